use std::collections::VecDeque;

use a3s_event_core::{
    Result,
    subject::SubjectPattern,
    types::{DeliverPolicy, Event},
};

use super::Store;
use crate::{
    aftermath::Aftermath,
    cursor::{Cursor, Fetch, Fetched},
    wakers::Prepared,
};

impl Store {
    pub(crate) fn open_cursor(
        &self,
        pattern: &SubjectPattern,
        policy: &DeliverPolicy,
        after: &mut Aftermath,
    ) -> Result<Cursor> {
        let everything = pattern == self.prefix()?.everything();
        let mut inner = self.open_expired(after)?;
        Ok(Cursor::open(&mut inner, pattern, everything, policy))
    }

    pub(crate) fn close_cursor(&self, cursor: &Cursor, after: &mut Aftermath) {
        self.lock().routes.leave(cursor.route(), after);
    }

    /// Fetches what comes next, or parks at `place` until something does.
    /// The second value says that nothing will ever come.
    pub(crate) fn fetch(
        &self,
        cursor: &mut Cursor,
        fetched: &mut VecDeque<Fetched>,
        place: Prepared<'_>,
        after: &mut Aftermath,
    ) -> (Fetch, bool) {
        let mut inner = self.lock_expired(after);
        let outcome = cursor.fetch(&mut inner, fetched);
        if outcome == Fetch::CaughtUp {
            inner.routes.wakers(cursor.route()).park(place, after);
        }
        (outcome, inner.sealed)
    }

    /// The event with this sequence, unless retention took it, and how many
    /// wait for `cursor`.
    pub(crate) fn event(
        &self,
        sequence: u64,
        cursor: &Cursor,
        after: &mut Aftermath,
    ) -> Option<(Event, Option<u64>)> {
        let inner = self.lock_expired(after);
        let event = inner.log.get(sequence)?.event.clone();
        Some((event, cursor.pending(&inner)))
    }

    /// How many retained events `cursor` has not fetched.
    pub(crate) fn pending(&self, cursor: &Cursor, after: &mut Aftermath) -> u64 {
        let mut inner = self.lock_expired(after);
        let mut count = cursor.count_retained(&inner);
        loop {
            if let Some(pending) = count.go_on(&inner) {
                return pending;
            }
            // Others may have the lock in between.
            drop(inner);
            inner = self.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Waker};

    use a3s_event_core::types::DeliverPolicy;

    use crate::{MemoryProvider, aftermath::Aftermath, store::tests::publish, wakers::Place};

    #[test]
    fn no_more_is_remembered_than_was_retained_at_once() {
        let built = MemoryProvider::builder()
            .max_events(100)
            .channel_capacity(usize::MAX)
            .build();
        let provider = built.unwrap();
        let store = provider.store();
        let pattern = store.prefix().unwrap().parse_pattern("events.a.*").unwrap();
        let open = |after: &mut Aftermath| store.open_cursor(&pattern, &DeliverPolicy::All, after);
        let mut cursor = Aftermath::after(open).unwrap();
        for sequence in 1..=10_000 {
            publish(store);
            let remembered = store.lock().routes.route(0).remembered();
            assert!(remembered <= 101, "{remembered} after {sequence}");
        }
        let (mut fetched, mut place) = (VecDeque::new(), Place::default());
        Aftermath::after(|after| {
            let place = place.prepare(Waker::noop());
            store.fetch(&mut cursor, &mut fetched, place, after);
        });
        assert_eq!(fetched[0].sequence, 9_901);
        assert_eq!(fetched[0].pending, Some(99));
        assert_eq!(cursor.missed(), 9_900);
    }

    #[test]
    fn others_get_to_the_store_while_what_waits_is_counted() {
        let built = MemoryProvider::builder().channel_capacity(10).build();
        let provider = built.unwrap();
        let store = provider.store();
        (0..5000).for_each(|_| publish(store));
        let pattern = store.prefix().unwrap().parse_pattern("events.a.*").unwrap();
        let policy = DeliverPolicy::ByStartSequence { sequence: 2 };
        let open = |after: &mut Aftermath| {
            let cursor = store.open_cursor(&pattern, &policy, after).unwrap();
            let pending = store.pending(&cursor, after);
            (cursor, pending)
        };
        let (cursor, pending) = Aftermath::after(open);
        assert_eq!(pending, 4999);

        let mut count = cursor.count_retained(&store.lock());
        let mut sections = 1;
        while count.go_on(&store.lock()).is_none() {
            publish(store);
            sections += 1;
        }
        assert_eq!(sections, 5);
        assert_eq!(count.go_on(&store.lock()), Some(4999), "as of the start");
    }
}

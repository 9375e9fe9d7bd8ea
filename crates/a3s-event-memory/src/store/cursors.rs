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
        let everything = pattern.covers(self.prefix()?.everything());
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
        let inner = self.lock_expired(after);
        cursor.retained_pending(&inner)
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
}

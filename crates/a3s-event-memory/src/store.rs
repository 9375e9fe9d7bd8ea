use std::{
    collections::{BinaryHeap, VecDeque, binary_heap::PeekMut},
    hash::BuildHasher,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use a3s_event_core::{
    EventError, Result,
    subject::{SubjectPattern, SubjectPrefix},
    types::{DeliverPolicy, Event, PublishOptions, StreamName},
};
use hashbrown::DefaultHashBuilder;

use crate::{
    aftermath::Aftermath,
    clock::{Clock, Nanos},
    cursor::{Cursor, Fetch, Fetched},
    dedup::{DedupWindow, Fingerprint, Fingerprinter},
    log::{Log, Slot},
    routes::{RouteId, Routes},
    subjects::Subjects,
    wakers::{Place, Prepared},
};

/// How many events a history call copies before it lets others at the store.
const HISTORY_CHUNK: usize = 1024;

/// How many events one section under the lock evicts for their age at most.
const AGED_CHUNK: usize = 128;

/// The stream with its indexes, shared by the provider and its consumers.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) limits: Limits,
    /// The subject rules, unless the configured prefix breaks them.
    prefix: Option<SubjectPrefix>,
    pub(crate) clock: Clock,
    /// How many ephemeral subscriptions are open.
    pub(crate) ephemerals: AtomicUsize,
    subject_hasher: DefaultHashBuilder,
    fingerprinter: Fingerprinter,
    inner: Mutex<Inner>,
    /// The log's first sequence, to be read without the lock.
    first: AtomicU64,
    /// When the oldest retained event becomes too old, to be read without the
    /// lock; the largest number for never.
    expires: AtomicU64,
    closed: AtomicBool,
    /// `Inner::sealed`, to be read without the lock; set before it.
    sealed: AtomicBool,
}

/// What is retained and what is taken. 0 is unlimited everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) prefix: String,
    pub(crate) max_events: usize,
    pub(crate) max_bytes: u64,
    pub(crate) max_age_millis: u64,
    pub(crate) max_event_bytes: usize,
    pub(crate) duplicate_window: u64,
    pub(crate) channel_capacity: usize,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) log: Log,
    pub(crate) subjects: Subjects,
    pub(crate) routes: Routes,
    dedup: DedupWindow,
    /// Nobody can publish any more: readers get what is left.
    sealed: bool,
}

/// An event on its way into the stream.
struct Incoming<'a> {
    event: &'a Event,
    size: u32,
    subject_hash: u64,
    fingerprint: Option<Fingerprint>,
    expected: Option<u64>,
}

impl Store {
    pub(crate) const STREAM: StreamName = StreamName::from_static("memory");

    pub(crate) fn new(limits: Limits) -> Self {
        let subject_hasher = DefaultHashBuilder::default();
        Self {
            clock: Clock::new(),
            ephemerals: AtomicUsize::new(0),
            inner: Mutex::new(Inner {
                log: Log::new(),
                subjects: Subjects::new(subject_hasher.clone()),
                routes: Routes::new(limits.channel_capacity),
                dedup: DedupWindow::new(limits.duplicate_window),
                sealed: false,
            }),
            subject_hasher,
            fingerprinter: Fingerprinter::default(),
            first: AtomicU64::new(1),
            expires: AtomicU64::new(Nanos::MAX),
            closed: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
            prefix: SubjectPrefix::parse(&limits.prefix).ok(),
            limits,
        }
    }

    /// The subject rules; an error when the configured prefix breaks them.
    pub(crate) fn prefix(&self) -> Result<&SubjectPrefix> {
        match &self.prefix {
            Some(prefix) => Ok(prefix),
            None => Err(match SubjectPrefix::parse(&self.limits.prefix) {
                Err(rule) => rule,
                Ok(_) => EventError::invalid_subject(&self.limits.prefix, "not a prefix"),
            }),
        }
    }

    /// Checks what can be known about an event without the stream.
    pub(crate) fn check(&self, event: &Event) -> Result<u32> {
        let size = event.measure()?;
        let mut limit = self.limits.max_event_bytes;
        if let Ok(max_bytes @ 1..) = usize::try_from(self.limits.max_bytes)
            && (limit == 0 || max_bytes < limit)
        {
            limit = max_bytes;
        }
        if limit > 0 && size > limit {
            return Err(EventError::too_large(&event.id, size, limit));
        }
        u32::try_from(size).map_err(|_| EventError::too_large(&event.id, size, u32::MAX as usize))
    }

    // The error is large: in a box it is not copied from hand to hand, as large
    // as it is, when all went well.

    /// Appends an event and returns its sequence.
    pub(crate) fn publish(&self, event: &Event) -> Result<u64, Box<EventError>> {
        self.publish_checked(event, None, None)
    }

    pub(crate) fn publish_with(
        &self,
        event: &Event,
        options: &PublishOptions,
    ) -> Result<u64, Box<EventError>> {
        options.validate()?;
        let msg_id = options.msg_id.as_deref();
        let fingerprint = msg_id.map(|id| self.fingerprinter.of(id));
        self.publish_checked(event, fingerprint, options.expected_sequence)
    }

    fn publish_checked(
        &self,
        event: &Event,
        fingerprint: Option<Fingerprint>,
        expected: Option<u64>,
    ) -> Result<u64, Box<EventError>> {
        let incoming = Incoming {
            event,
            size: self.check(event)?,
            subject_hash: self.subject_hasher.hash_one(event.subject.as_str()),
            fingerprint,
            expected,
        };
        Aftermath::after(|after| self.append(&incoming, after))
    }

    fn append(
        &self,
        incoming: &Incoming<'_>,
        after: &mut Aftermath,
    ) -> Result<u64, Box<EventError>> {
        let now = self.clock.now();
        let stored = self.clock.unix_millis(now);
        let mut inner = self.open_inner()?;
        let inner = &mut *inner;

        let subject = match inner
            .subjects
            .find(incoming.subject_hash, &incoming.event.subject)
        {
            Some(known) => Some(known),
            None => {
                self.prefix()?.check_subject(&incoming.event.subject)?;
                None
            }
        };
        let last = inner.log.last();
        if let Some(fingerprint) = incoming.fingerprint
            && let Some(original) = inner.dedup.find(fingerprint, now)
        {
            return match incoming.expected {
                Some(expected) if original.checked_sub(1) != Some(expected) => {
                    Err(EventError::conflict(expected, last).into())
                }
                _ => Ok(original),
            };
        }
        if let Some(expected) = incoming.expected
            && expected != last
        {
            return Err(EventError::conflict(expected, last).into());
        }

        let subject = subject.unwrap_or_else(|| {
            inner
                .subjects
                .insert(incoming.subject_hash, &incoming.event.subject)
        });
        let sequence = last + 1;
        let record = inner.subjects.get_mut(subject);
        let previous = std::mem::replace(&mut record.last, sequence);
        record.count += 1;
        inner.log.push(Slot {
            event: incoming.event.clone(),
            subject,
            size: incoming.size,
            previous,
            stored,
        });
        if let Some(fingerprint) = incoming.fingerprint {
            inner.dedup.insert(fingerprint, sequence, now);
        }
        let fed = inner.subjects.routes(subject, &inner.routes);
        let first = inner.log.first();
        inner.routes.feed(fed, sequence, first, after);
        self.retain(inner, stored, after);
        Ok(sequence)
    }

    /// The newest `limit` matching events, newest first.
    pub(crate) fn history(&self, filter: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let prefix = self.prefix()?;
        let pattern = filter
            .map(|filter| prefix.parse_pattern(filter))
            .transpose()?;
        let everything = pattern
            .as_ref()
            .is_none_or(|pattern| pattern.covers(prefix.everything()));

        let mut found = Vec::new();
        // The next sequences to return, one a subject; of everything, just one.
        let mut heads: Option<BinaryHeap<u64>> = None;
        while found.len() < limit {
            let chunk = HISTORY_CHUNK.min(limit - found.len());
            let more = self.with_current(|inner| {
                let heads = heads.get_or_insert_with(|| match &pattern {
                    Some(pattern) if !everything => inner.heads(&self.subject_hasher, pattern),
                    _ => vec![inner.log.last()].into(),
                });
                take_newest(&inner.log, heads, everything, chunk, &mut found)
            })?;
            if !more {
                break;
            }
        }
        Ok(found)
    }

    /// Events, bytes.
    pub(crate) fn size(&self) -> Result<(u64, u64)> {
        self.with_current(|inner| (inner.log.len() as u64, inner.log.bytes()))
    }

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

    /// Parks at `place` until retention has taken sequence `oldest`. Returns when
    /// that will be by its age, or `None` if it has already, or if the store was
    /// closed: nobody would wake it.
    pub(crate) fn park_full(
        &self,
        place: Prepared<'_>,
        oldest: u64,
        after: &mut Aftermath,
    ) -> Option<Nanos> {
        let mut inner = self.lock();
        if oldest < inner.log.first() || self.is_closed() {
            return None;
        }
        inner.routes.park_full(place, oldest, after);
        Some(self.expiry(inner.log.get(oldest)))
    }

    /// When age will take the event with this sequence.
    pub(crate) fn expires_at(&self, sequence: u64) -> Nanos {
        self.expiry(self.lock().log.get(sequence))
    }

    /// When age will take what is in `slot`; the largest number for never.
    fn expiry(&self, slot: Option<&Slot>) -> Nanos {
        match slot {
            Some(slot) if self.limits.max_age_millis > 0 => {
                let end = slot.stored.saturating_add(self.limits.max_age_millis);
                self.clock.at_unix_millis(end)
            }
            _ => Nanos::MAX,
        }
    }

    /// Evicts what is too old by now, so that [`is_evicted`](Self::is_evicted)
    /// knows of it. Takes the lock only if there is something.
    #[inline]
    pub(crate) fn expire_due(&self) {
        let due = self.expires.load(Ordering::Relaxed);
        if due < Nanos::MAX {
            self.expire_at(due);
        }
    }

    #[cold]
    fn expire_at(&self, due: Nanos) {
        if due <= self.clock.now() {
            Aftermath::after(|after| drop(self.lock_expired(after)));
        }
    }

    /// Gives up the places of a handle on `route`.
    pub(crate) fn leave(
        &self,
        route: Option<RouteId>,
        place: &mut Place,
        full: &mut Place,
        after: &mut Aftermath,
    ) {
        let mut inner = self.lock();
        if let Some(route) = route {
            inner.routes.wakers(route).leave(place, after);
        }
        inner.routes.leave_full(full, after);
    }

    /// Whether retention took this sequence, as of some moment ago.
    pub(crate) fn is_evicted(&self, sequence: u64) -> bool {
        sequence < self.first.load(Ordering::Relaxed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether nobody can publish any more. True for whoever a fetch told so.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::Acquire)
    }

    /// Ends everything: readers are woken and end.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.seal();
    }

    /// Nobody can publish any more: readers get what is left, then they end.
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
        Aftermath::after(|after| {
            let mut inner = self.lock();
            inner.sealed = true;
            inner.routes.wake_all(after);
        });
    }

    /// Works on the open store once everything has expired that has to.
    fn with_current<R>(&self, work: impl FnOnce(&mut Inner) -> R) -> Result<R> {
        Aftermath::after(|after| Ok(work(&mut *self.open_expired(after)?)))
    }

    fn open_expired(&self, after: &mut Aftermath) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.lock_expired(after);
        self.check_open()?;
        Ok(inner)
    }

    /// Locks the store with everything evicted that is too old.
    #[inline]
    fn lock_expired(&self, after: &mut Aftermath) -> MutexGuard<'_, Inner> {
        if self.limits.max_age_millis == 0 {
            return self.lock();
        }
        self.lock_and_expire(after)
    }

    #[inline(never)]
    fn lock_and_expire(&self, after: &mut Aftermath) -> MutexGuard<'_, Inner> {
        loop {
            let mut inner = self.lock();
            let now = self.clock.unix_millis(self.clock.now());
            if self.retain(&mut inner, now, after) {
                return inner;
            }
            // Others may have the lock in between.
        }
    }

    fn open_inner(&self) -> Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        self.check_open()?;
        Ok(inner)
    }

    /// Checked under the lock: what `close` overtook is refused.
    fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(EventError::closed("the memory provider"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No section under the lock panics half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evicts what exceeds the limits; returns whether that was all. Where many
    /// are too old at once, some of them stay until the next time.
    fn retain(&self, inner: &mut Inner, unix_millis: u64, after: &mut Aftermath) -> bool {
        let limits = &self.limits;
        let (mut changed, mut aged, mut is_done) = (false, 0, true);
        loop {
            let too_many = limits.max_events > 0 && inner.log.len() > limits.max_events;
            let too_large = limits.max_bytes > 0 && inner.log.bytes() > limits.max_bytes;
            let is_too_old =
                |oldest: &Slot| oldest.stored.saturating_add(limits.max_age_millis) <= unix_millis;
            let too_old = limits.max_age_millis > 0 && inner.log.front().is_some_and(is_too_old);
            if !(too_many || too_large) {
                if !too_old {
                    break;
                }
                if aged == AGED_CHUNK {
                    is_done = false;
                    break;
                }
                aged += 1;
            }
            let Some(slot) = inner.log.evict() else {
                break;
            };
            inner.subjects.evicted(slot.subject);
            after.free(slot.event);
            changed = true;
        }
        if changed {
            let first = inner.log.first();
            self.first.store(first, Ordering::Relaxed);
            inner.routes.evicted_before(first, after);
        }
        if limits.max_age_millis > 0 {
            let expires = self.expiry(inner.log.front());
            self.expires.store(expires, Ordering::Relaxed);
        }
        is_done
    }
}

impl Inner {
    /// The newest sequence of each retained subject that `pattern` selects.
    fn heads(&self, hasher: &DefaultHashBuilder, pattern: &SubjectPattern) -> BinaryHeap<u64> {
        let mut newest = Vec::new();
        if pattern.is_literal() {
            let subject = pattern.as_str();
            let found = self.subjects.find(hasher.hash_one(subject), subject);
            newest.extend(found.map(|id| self.subjects.get(id).last));
        } else {
            // Two passes, so that the reads of the second do not wait for each other.
            let selected = self.subjects.selected(pattern).into_iter();
            newest.extend(selected.map(|id| self.subjects.get(id).last));
        }
        newest.into()
    }
}

/// Moves up to `chunk` events to `found`, always the newest of the `heads`, and
/// each head on to the one before it: of `everything`, or of the same subject.
/// Returns whether there may be more.
fn take_newest(
    log: &Log,
    heads: &mut BinaryHeap<u64>,
    everything: bool,
    chunk: usize,
    found: &mut Vec<Event>,
) -> bool {
    if found.is_empty() && !heads.is_empty() {
        // Not for a huge limit: what is found decides.
        found.reserve(chunk.min(64));
    }
    let mut left = chunk;
    while left > 0 {
        let Some(mut head) = heads.peek_mut() else {
            return false;
        };
        let sequence = *head;
        let Some(slot) = log.get(sequence) else {
            // What is older on this subject is evicted too.
            PeekMut::pop(head);
            continue;
        };
        found.push(slot.event.clone());
        *head = if everything {
            sequence - 1
        } else {
            slot.previous
        };
        left -= 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, task::Waker, time::Duration};

    use a3s_event_core::types::{DeliverPolicy, Event};
    use serde_json::Value;

    use super::{AGED_CHUNK, Store};
    use crate::{MemoryProvider, aftermath::Aftermath, wakers::Place};

    fn publish(store: &Store) {
        let event = Event::new("events.a.x", "a", "", "", Value::Null);
        store.publish(&event).unwrap();
    }

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

    #[tokio::test(start_paused = true)]
    async fn no_publish_pays_for_all_that_became_too_old() {
        let age = Duration::from_secs(1);
        let built = MemoryProvider::builder().max_age(age).build();
        let provider = built.unwrap();
        let store = provider.store();
        (0..1000).for_each(|_| publish(store));
        tokio::time::advance(age).await;
        publish(store);
        assert_eq!(store.lock().log.len(), 1001 - AGED_CHUNK);
        // Whoever reads sees none of it.
        assert_eq!(store.size().unwrap().0, 1);
        assert!(store.is_evicted(1000));
    }

    #[test]
    fn nobody_parks_for_room_that_was_made_meanwhile() {
        let provider = MemoryProvider::builder().max_events(1).build().unwrap();
        let store = provider.store();
        publish(store);
        let park = |oldest| {
            let mut place = Place::default();
            let place = place.prepare(Waker::noop());
            Aftermath::after(|after| store.park_full(place, oldest, after))
        };
        assert!(park(1).is_some());
        publish(store);
        assert!(park(1).is_none(), "its eviction is over and wakes nobody");
        assert!(park(2).is_some());
        store.close();
        assert!(park(2).is_none(), "closing is over and wakes nobody");
    }
}

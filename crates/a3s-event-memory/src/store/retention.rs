use std::sync::{MutexGuard, atomic::Ordering};

use super::{Inner, Store};
use crate::{aftermath::Aftermath, clock::Nanos, log::Slot};

/// How many events one section under the lock evicts for their age at most.
const AGED_CHUNK: usize = 128;

impl Store {
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

    /// Whether retention took this sequence, as of some moment ago.
    pub(crate) fn is_evicted(&self, sequence: u64) -> bool {
        sequence < self.first.load(Ordering::Relaxed)
    }

    /// When age will take the event with this sequence.
    pub(crate) fn expires_at(&self, sequence: u64) -> Nanos {
        self.expiry(self.lock().log.get(sequence))
    }

    /// Locks the store with everything evicted that is too old.
    #[inline]
    pub(super) fn lock_expired(&self, after: &mut Aftermath) -> MutexGuard<'_, Inner> {
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

    /// Evicts what exceeds the limits; returns whether that was all. Where many
    /// are too old at once, some of them stay until the next time.
    pub(super) fn retain(
        &self,
        inner: &mut Inner,
        unix_millis: u64,
        after: &mut Aftermath,
    ) -> bool {
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

    /// When age will take what is in `slot`; the largest number for never.
    pub(super) fn expiry(&self, slot: Option<&Slot>) -> Nanos {
        match slot {
            Some(slot) if self.limits.max_age_millis > 0 => {
                let end = slot.stored.saturating_add(self.limits.max_age_millis);
                self.clock.at_unix_millis(end)
            }
            _ => Nanos::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::AGED_CHUNK;
    use crate::{MemoryProvider, store::tests::publish};

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
}

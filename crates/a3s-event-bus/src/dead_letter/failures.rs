use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

/// Most events whose failures are remembered; beyond, those with the lowest
/// sequences are forgotten first.
const MOST: usize = 10_000;

/// When the events that this process could not process failed, first and last.
#[derive(Default)]
pub(crate) struct Failures(Mutex<BTreeMap<Key, Times>>);

/// The sequence, and the durable consumer where there is one.
type Key = (u64, Option<Arc<str>>);

/// Unix milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Failures {
    /// Notes that `consumer` failed on event `sequence`, now.
    pub(crate) fn note(&self, consumer: Option<&Arc<str>>, sequence: u64) {
        let now = now_millis();
        let fresh = Times {
            first: now,
            last: now,
        };
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times
            .entry((sequence, consumer.cloned()))
            .and_modify(|times| times.last = now)
            .or_insert(fresh);
        if times.len() > MOST {
            times.pop_first();
        }
    }

    pub(crate) fn of(&self, consumer: Option<&Arc<str>>, sequence: u64) -> Option<Times> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.get(&(sequence, consumer.cloned())).copied()
    }

    pub(crate) fn forget(&self, consumer: Option<&Arc<str>>, sequence: u64) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.remove(&(sequence, consumer.cloned()));
    }
}

fn now_millis() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |elapsed| {
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Failures, MOST};

    #[test]
    fn the_first_failure_is_kept_until_the_event_is_settled() {
        let (failures, consumer) = (Failures::default(), Arc::from("c"));
        failures.note(Some(&consumer), 7);
        let first = failures.of(Some(&consumer), 7).unwrap().first;
        failures.note(Some(&consumer), 7);
        let times = failures.of(Some(&consumer), 7).unwrap();
        assert_eq!(times.first, first);
        assert!(times.last >= first);
        assert_eq!(failures.of(None, 7), None);

        failures.forget(Some(&consumer), 7);
        assert_eq!(failures.of(Some(&consumer), 7), None);
    }

    #[test]
    fn the_oldest_events_are_forgotten_at_the_bound() {
        let failures = Failures::default();
        for sequence in 0..=MOST as u64 {
            failures.note(None, sequence);
        }
        assert_eq!(failures.of(None, 0), None);
        assert!(failures.of(None, 1).is_some());
    }
}

use super::{Cursor, SCAN};
use crate::{
    routes::{Route, RouteId},
    store::Inner,
};

/// A count of the retained events that wait at a cursor.
///
/// One by one only from the middle of older history, where no number is known:
/// elsewhere it costs a step for each selected subject at most.
#[derive(Debug)]
pub(crate) struct Count {
    found: u64,
    /// The position.
    from: u64,
    /// The next sequences to count, one a subject.
    heads: Vec<u64>,
}

impl Cursor {
    /// How many matches are left, where they are counted.
    pub(super) fn outstanding(&self, route: &Route) -> Option<u64> {
        let known = self.backlog? + route.end() - self.end_at_start;
        Some(known.saturating_sub(self.taken + self.missed))
    }

    /// How many events wait at the position, where that is known.
    pub(crate) fn pending(&self, inner: &Inner) -> Option<u64> {
        match self.route {
            RouteId::Everything => {
                let following = (inner.log.last() + 1).saturating_sub(self.next);
                Some(self.snapshot.len() as u64 + following)
            }
            RouteId::Narrow(id) => self.pending_on(inner.routes.route(id)),
        }
    }

    pub(super) fn pending_on(&self, route: &Route) -> Option<u64> {
        if self.skipped {
            return None;
        }
        self.outstanding(route)
            .or_else(|| Some(route.end().saturating_sub(self.index?)))
    }

    /// Begins to count the retained events that wait at the position.
    pub(crate) fn count_retained(&self, inner: &Inner) -> Count {
        let first = inner.log.first();
        let from = self.next.max(first);
        // In order of sequences.
        let evicted = self.snapshot.partition_point(|&sequence| sequence < first);
        let mut count = Count {
            found: (self.snapshot.len() - evicted) as u64,
            from,
            heads: Vec::new(),
        };
        let RouteId::Narrow(id) = self.route else {
            count.found += (inner.log.last() + 1).saturating_sub(from);
            return count;
        };
        let route = inner.routes.route(id);
        if self.next >= first
            && let Some(pending) = self.pending_on(route)
        {
            count.found = pending.saturating_sub(evicted as u64);
        } else if from >= route.covered_from() {
            count.found += route.end() - route.index_of(route.base(), from);
        } else {
            let selected = inner.subjects.selected(route.pattern()).into_iter();
            let selected = selected.map(|id| inner.subjects.get(id));
            if from == first {
                count.found += selected.map(|subject| subject.count).sum::<u64>();
            } else {
                count.heads = selected.map(|subject| subject.last).collect();
            }
        }
        count
    }
}

impl Count {
    /// Counts on, a bounded number of events; returns how many there are once
    /// that is known.
    pub(crate) fn go_on(&mut self, inner: &Inner) -> Option<u64> {
        for _ in 0..SCAN {
            let Some(head) = self.heads.last_mut() else {
                return Some(self.found);
            };
            match inner.log.get(*head).filter(|_| *head >= self.from) {
                Some(slot) => {
                    self.found += 1;
                    *head = slot.previous;
                }
                None => {
                    self.heads.pop();
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use a3s_event_core::{
        provider::{EventProvider, Subscription},
        types::{DeliverPolicy, Event, SubscribeOptions},
    };
    use futures_util::FutureExt;
    use serde_json::Value;

    use crate::MemoryProvider;

    fn publish(provider: &MemoryProvider, count: usize) {
        for number in 0..count {
            let subject = format!("events.a.{}", number % 7);
            let event = Event::new(subject, "a", "", "", Value::Null);
            provider.store().publish(&event).unwrap();
            let other = Event::new("events.b.x", "b", "", "", Value::Null);
            provider.store().publish(&other).unwrap();
        }
    }

    /// What a durable that reads nothing is said to be behind.
    #[track_caller]
    fn check(provider: &MemoryProvider, name: &str, expected: u64) {
        let info = provider.consumer_info(name).now_or_never();
        assert_eq!(info.unwrap().unwrap().pending, expected);
    }

    fn subscribe(
        provider: &MemoryProvider,
        name: &str,
        deliver_policy: DeliverPolicy,
    ) -> Box<dyn Subscription> {
        let options = SubscribeOptions {
            deliver_policy,
            ..SubscribeOptions::default()
        };
        let subscribing = provider.subscribe_durable_with_options(name, "events.a.*", &options);
        subscribing.now_or_never().unwrap().unwrap()
    }

    fn provider(max_events: usize) -> MemoryProvider {
        let builder = MemoryProvider::builder().max_events(max_events);
        builder.channel_capacity(10).build().unwrap()
    }

    #[test]
    fn what_retention_took_is_not_said_to_wait() {
        let provider = provider(2000);
        publish(&provider, 1000);
        subscribe(&provider, "all", DeliverPolicy::All);
        subscribe(&provider, "last", DeliverPolicy::LastPerSubject);
        subscribe(&provider, "new", DeliverPolicy::New);
        let sequence = 1001;
        subscribe(
            &provider,
            "middle",
            DeliverPolicy::ByStartSequence { sequence },
        );
        for (name, expected) in [("all", 1000), ("last", 7), ("new", 0), ("middle", 500)] {
            check(&provider, name, expected);
        }
        publish(&provider, 400);
        for (name, expected) in [("all", 1000), ("last", 407), ("new", 400), ("middle", 900)] {
            check(&provider, name, expected);
        }
        publish(&provider, 598);
        // Of the newest of each subject at the start, two are left.
        for (name, expected) in [
            ("all", 1000),
            ("last", 1000),
            ("new", 998),
            ("middle", 1000),
        ] {
            check(&provider, name, expected);
        }
        publish(&provider, 10_000);
        for name in ["all", "last", "new", "middle"] {
            check(&provider, name, 1000);
        }
    }

    #[test]
    fn what_was_skipped_is_not_said_to_wait_before_it_is_counted() {
        let provider = provider(2000);
        let mut reader = subscribe(&provider, "new", DeliverPolicy::New);
        publish(&provider, 10_000);
        for left in (1..1000).rev() {
            let next = reader.next().now_or_never().unwrap().unwrap().unwrap();
            assert!(next.pending.is_none_or(|pending| pending == left));
            check(&provider, "new", left);
        }
        assert_eq!(reader.missed(), 9000);
    }
}

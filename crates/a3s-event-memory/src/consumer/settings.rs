use std::time::Duration;

use a3s_event_core::types::SubscribeOptions;

use crate::{clock::nanos, schedule::Schedule};

/// The options that make a consumer, normalized so that they compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Seconds to wait for an answer, unless there is a backoff.
    ack_wait_secs: u64,
    /// Seconds to wait for an answer after delivery 1, 2, …; the last repeats.
    backoff_secs: Vec<u64>,
    max_deliver: Option<u64>,
    pub(super) max_ack_pending: Option<u64>,
}

impl Settings {
    pub(crate) fn new(options: &SubscribeOptions) -> Self {
        Self {
            ack_wait_secs: options
                .ack_wait_secs
                .unwrap_or(SubscribeOptions::DEFAULT_ACK_WAIT_SECS),
            backoff_secs: options.backoff_secs.clone(),
            max_deliver: options.delivery_cap(),
            max_ack_pending: options.pending_bound(),
        }
    }

    /// What differs between these settings and the ones that are `wanted`.
    pub(crate) fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |field: &str, stored: String, wanted: String| {
            if stored != wanted {
                differences.push(difference(field, &wanted, &stored));
            }
        };
        let limit = |limit: Option<u64>| limit.map_or_else(|| "-1".to_owned(), |n| n.to_string());
        let steps = |settings: &Self| match settings.reachable_steps() {
            [] => "none".to_owned(),
            steps => format!("{steps:?}"),
        };
        compare("backoff_secs", steps(self), steps(wanted));
        // A backoff replaces the ack wait, which then says nothing.
        if self.reachable_steps().is_empty() && wanted.reachable_steps().is_empty() {
            compare(
                "ack_wait_secs",
                self.first_wait().to_string(),
                wanted.first_wait().to_string(),
            );
        }
        compare(
            "max_deliver",
            limit(self.max_deliver),
            limit(wanted.max_deliver),
        );
        compare(
            "max_ack_pending",
            limit(self.max_ack_pending),
            limit(wanted.max_ack_pending),
        );
        differences
    }

    /// The steps of the backoff that a further delivery follows.
    fn reachable_steps(&self) -> &[u64] {
        let steps = self.backoff_secs.as_slice();
        let cap = self.max_deliver.and_then(|cap| usize::try_from(cap).ok());
        match cap {
            Some(cap) if cap <= steps.len() => &steps[..cap - 1],
            _ => steps,
        }
    }

    /// The wait after the first delivery.
    fn first_wait(&self) -> u64 {
        let first = self.backoff_secs.first().copied();
        first.unwrap_or(self.ack_wait_secs)
    }

    pub(super) fn schedule(&self) -> Schedule {
        let waits = match self.backoff_secs.as_slice() {
            [] => std::slice::from_ref(&self.ack_wait_secs),
            steps => steps,
        };
        let wait = |&seconds: &u64| nanos(Duration::from_secs(seconds));
        Schedule::new(waits.iter().map(wait).collect())
    }

    /// Whether `deliveries` is as often as an event may be delivered.
    pub(super) fn is_exhausted(&self, deliveries: u32) -> bool {
        self.max_deliver
            .is_some_and(|cap| u64::from(deliveries) >= cap)
    }
}

/// How a difference between two consumers reads, on every provider.
pub(crate) fn difference(field: &str, wanted: &str, stored: &str) -> String {
    format!("{field}: {wanted} wanted, {stored} stored")
}

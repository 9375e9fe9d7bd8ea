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

    /// What differs between these settings and the ones that are asked for.
    pub(crate) fn differences(&self, asked: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |field: &str, stored: String, asked: String| {
            if stored != asked {
                differences.push(format!("{field} is {stored}, asked for {asked}"));
            }
        };
        let limit =
            |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |n| n.to_string());
        let steps = |settings: &Self| format!("{:?}", settings.backoff_secs);
        compare("backoff_secs", steps(self), steps(asked));
        // A backoff replaces the ack wait, which then says nothing.
        if self.backoff_secs.is_empty() && asked.backoff_secs.is_empty() {
            compare(
                "ack_wait_secs",
                self.ack_wait_secs.to_string(),
                asked.ack_wait_secs.to_string(),
            );
        }
        compare(
            "max_deliver",
            limit(self.max_deliver),
            limit(asked.max_deliver),
        );
        compare(
            "max_ack_pending",
            limit(self.max_ack_pending),
            limit(asked.max_ack_pending),
        );
        differences
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

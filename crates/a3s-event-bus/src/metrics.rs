//! What the bus counts: [`EventMetrics`].

mod histogram;
mod prometheus;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use a3s_event_core::{
    EventError,
    dlq::{DeadLetterKind, DlqHandler},
};
use serde::Serialize;

use crate::trace;
use histogram::Histogram;
pub use histogram::{BucketSnapshot, HistogramSnapshot};

/// Counters, gauges and the publish latency of one bus.
///
/// A cheap handle: clones share the figures. Everything is a relaxed atomic, so
/// reading blocks nobody, and figures of one [`snapshot`](Self::snapshot) may be
/// a few operations apart.
///
/// # Examples
///
/// ```
/// # use a3s_event_bus::EventBus;
/// # use a3s_event_memory::MemoryProvider;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> a3s_event_core::Result<()> {
/// let bus = EventBus::new(MemoryProvider::default());
/// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({"rate": 1.08})).await?;
///
/// assert_eq!(bus.metrics().snapshot().published, 1);
/// assert!(bus.metrics().render_prometheus().contains("messaging_client_sent_messages_total"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventMetrics(Arc<Figures>);

macro_rules! figures {
    ($($(#[doc = $doc:literal])+ $field:ident,)+) => {
        struct Figures {
            /// Label of every series.
            system: Box<str>,
            /// One publish in this many is timed; 0 is none.
            sampling: u32,
            $($field: AtomicU64,)+
            publish_errors: ErrorKinds,
            dead_lettered: [AtomicU64; DEAD_LETTER_KINDS.len()],
            active_subscriptions: AtomicU64,
            publish_latency: Histogram,
            /// Asked for its depth.
            dead_letters: RwLock<Option<Arc<dyn DlqHandler>>>,
        }

        /// The figures of a bus at one moment. JSON names are camelCase.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(rename_all = "camelCase")]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $($(#[doc = $doc])+ pub $field: u64,)+
            /// Publishes that failed, by [`EventError::kind`]; a batch counts once.
            pub publish_errors: BTreeMap<&'static str, u64>,
            /// Events that a dead-letter handler took.
            pub dead_lettered: u64,
            /// The same by [`DeadLetterKind::as_str`].
            pub dead_lettered_by_kind: BTreeMap<&'static str, u64>,
            /// Dead letters in store, where the handler can tell at once.
            pub dlq_depth: Option<u64>,
            /// Open subscriptions.
            pub active_subscriptions: u64,
            /// How long providers took to publish single events, failures included.
            pub publish_latency: HistogramSnapshot,
        }

        impl Figures {
            fn new(system: &str, sampling: u32) -> Self {
                Self {
                    system: system.into(),
                    sampling,
                    $($field: AtomicU64::default(),)+
                    publish_errors: ErrorKinds::default(),
                    dead_lettered: Default::default(),
                    active_subscriptions: AtomicU64::default(),
                    publish_latency: Histogram::default(),
                    dead_letters: RwLock::default(),
                }
            }

            fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot {
                    $($field: self.$field.load(Relaxed),)+
                    publish_errors: self.publish_errors.snapshot(),
                    dead_lettered: self.dead_lettered.iter().map(|kind| kind.load(Relaxed)).sum(),
                    dead_lettered_by_kind: nonzero(
                        DEAD_LETTER_KINDS.map(DeadLetterKind::as_str),
                        &self.dead_lettered,
                    ),
                    dlq_depth: self.dlq_depth(),
                    active_subscriptions: self.active_subscriptions.load(Relaxed),
                    publish_latency: self.publish_latency.snapshot(self.sampling),
                }
            }
        }
    };
}

figures! {
    /// Events that were published.
    published,
    /// Deliveries that reached the bus.
    received,
    /// Deliveries of events that had been delivered before.
    redelivered,
    /// Deliveries that were acknowledged.
    acked,
    /// Deliveries that were refused.
    nacked,
    /// Deliveries that their reader terminated.
    terminated,
    /// Deliveries that their reader dropped without an answer.
    unanswered,
    /// Events terminated above their cap on deliveries, where no dead-letter handler takes them.
    exhausted,
    /// Dead letters that the handler did not take.
    dead_letter_errors,
    /// Publishes that a schema refused.
    schema_rejections,
    /// Payloads that were encrypted.
    encrypted,
    /// Payloads that could not be encrypted.
    encryption_failures,
    /// Payloads that were decrypted.
    decrypted,
    /// Payloads that could not be decrypted, or that policy refused.
    decryption_failures,
}

const DEAD_LETTER_KINDS: [DeadLetterKind; 5] = [
    DeadLetterKind::Rejected,
    DeadLetterKind::Exhausted,
    DeadLetterKind::Terminated,
    DeadLetterKind::Undecodable,
    DeadLetterKind::Undecryptable,
];

/// How a delivery was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acked,
    Nacked,
    Terminated,
}

// Recording: the one place where figures change.
impl EventMetrics {
    pub(crate) fn new(provider: &str, sampling: u32) -> Self {
        Self(Arc::new(Figures::new(trace::system(provider), sampling)))
    }

    pub(crate) fn watch_depth_of(&self, handler: Arc<dyn DlqHandler>) {
        let mut watched = self
            .0
            .dead_letters
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *watched = Some(handler);
    }

    /// Starts the clock for one publish in `sampling`. Reading it costs a good
    /// part of what a publish in memory does.
    pub(crate) fn start_publish(&self) -> Option<Instant> {
        let due = match self.0.sampling {
            0 => false,
            sampling => self
                .0
                .published
                .load(Relaxed)
                .is_multiple_of(sampling.into()),
        };
        due.then(Instant::now)
    }

    #[inline]
    pub(crate) fn publish_took(&self, started: Option<Instant>) {
        if let Some(started) = started {
            self.0.publish_latency.record(started.elapsed());
        }
    }

    pub(crate) fn published(&self, events: u64) {
        self.0.published.fetch_add(events, Relaxed);
    }

    #[cold]
    pub(crate) fn publish_failed(&self, error: &EventError) {
        let cause = match error {
            EventError::PartialBatch { stored, source, .. } => {
                self.published(stored.len() as u64);
                source
            }
            error => error,
        };
        if matches!(cause, EventError::SchemaValidation { .. }) {
            self.0.schema_rejections.fetch_add(1, Relaxed);
        }
        self.0.publish_errors.add(cause.kind());
    }

    pub(crate) fn received(&self, num_delivered: u64) {
        self.0.received.fetch_add(1, Relaxed);
        if num_delivered > 1 {
            self.0.redelivered.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn answered(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Acked => &self.0.acked,
            Outcome::Nacked => &self.0.nacked,
            Outcome::Terminated => &self.0.terminated,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn unanswered(&self) {
        self.0.unanswered.fetch_add(1, Relaxed);
    }

    pub(crate) fn exhausted(&self) {
        self.0.exhausted.fetch_add(1, Relaxed);
    }

    pub(crate) fn dead_lettered(&self, kind: DeadLetterKind) {
        if let Some(index) = DEAD_LETTER_KINDS.iter().position(|known| *known == kind) {
            self.0.dead_lettered[index].fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn dead_letter_failed(&self) {
        self.0.dead_letter_errors.fetch_add(1, Relaxed);
    }

    pub(crate) fn encrypted(&self, success: bool) {
        let counter = match success {
            true => &self.0.encrypted,
            false => &self.0.encryption_failures,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn decrypted(&self, success: bool) {
        let counter = match success {
            true => &self.0.decrypted,
            false => &self.0.decryption_failures,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts a subscription as open until the guard is dropped.
    pub(crate) fn subscription_opened(&self) -> ActiveSubscription {
        self.0.active_subscriptions.fetch_add(1, Relaxed);
        ActiveSubscription(self.clone())
    }
}

// Reading.
impl EventMetrics {
    /// Returns all figures.
    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        self.0.snapshot()
    }

    /// Returns all figures in the text format of Prometheus, under the names of
    /// the OpenTelemetry conventions for messaging. The number of series does
    /// not depend on subjects, ids or subscribers.
    #[must_use]
    pub fn render_prometheus(&self) -> String {
        prometheus::render(&self.0.system, &self.snapshot())
    }
}

impl fmt::Debug for EventMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(f)
    }
}

impl Figures {
    fn dlq_depth(&self) -> Option<u64> {
        let handler = self
            .dead_letters
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        handler?.depth()
    }
}

/// An open subscription, as the gauge counts it.
pub(crate) struct ActiveSubscription(EventMetrics);

impl Drop for ActiveSubscription {
    fn drop(&mut self) {
        self.0.0.active_subscriptions.fetch_sub(1, Relaxed);
    }
}

/// The kinds of [`EventError`], and one for those of the future.
const ERROR_KINDS: [&str; 24] = [
    "invalid_subject",
    "invalid_option",
    "not_found",
    "conflict",
    "timeout",
    "too_large",
    "unsupported",
    "closed",
    "schema_validation",
    "incompatible",
    "encryption",
    "key_unknown",
    "key_disabled",
    "key_destroyed",
    "undecodable",
    "exhausted",
    "consumer_mismatch",
    "stream_mismatch",
    "partial_batch",
    "state",
    "serialization",
    "connection",
    "provider",
    "_OTHER",
];

/// A counter for each of [`ERROR_KINDS`].
#[derive(Default)]
struct ErrorKinds([AtomicU64; ERROR_KINDS.len()]);

impl ErrorKinds {
    fn add(&self, kind: &str) {
        let other = ERROR_KINDS.len() - 1;
        let index = ERROR_KINDS.iter().position(|known| *known == kind);
        self.0[index.unwrap_or(other)].fetch_add(1, Relaxed);
    }

    fn snapshot(&self) -> BTreeMap<&'static str, u64> {
        nonzero(ERROR_KINDS, &self.0)
    }
}

fn nonzero<const N: usize>(
    names: [&'static str; N],
    counters: &[AtomicU64; N],
) -> BTreeMap<&'static str, u64> {
    names
        .into_iter()
        .zip(counters)
        .map(|(name, counter)| (name, counter.load(Relaxed)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

#[cfg(test)]
mod tests;

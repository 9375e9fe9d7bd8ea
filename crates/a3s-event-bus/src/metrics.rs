//! What the bus counts: [`EventMetrics`].

#[cfg(feature = "metrics")]
mod bridge;
mod figures;
mod histogram;
mod instruments;
mod kinds;
mod names;
mod prometheus;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Instant,
};

use a3s_event_core::{
    EventError,
    dlq::{DeadLetterKind, DlqHandler},
};

use crate::trace;
use figures::Figures;
pub use figures::MetricsSnapshot;
pub use histogram::{BucketSnapshot, HistogramSnapshot};
use instruments::Meter;

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

/// How a delivery was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acked,
    Nacked,
    Terminated,
}

// Recording: the one place where figures change.
impl EventMetrics {
    /// Figures of a bus above `provider`, also in the recorder that is current.
    pub(crate) fn new(provider: &str) -> Self {
        Meter::with(trace::system(provider), Self::with_meter)
    }

    /// The same, in `recorder`.
    #[cfg(feature = "metrics")]
    pub(crate) fn in_recorder(provider: &str, recorder: &dyn metrics::Recorder) -> Self {
        Self::with_meter(Meter::new(trace::system(provider), recorder))
    }

    /// Figures that stay at zero.
    pub(crate) fn off(provider: &str) -> Self {
        Self::with_meter(Meter::off(trace::system(provider)))
    }

    fn with_meter(meter: Meter<'_>) -> Self {
        Self(Arc::new(Figures::new(meter)))
    }

    /// Times one publish in `one_in`; 0 is none.
    pub(crate) fn sample(&self, one_in: u32) {
        self.0.sampling.set(one_in.into());
        let first = if one_in == 0 { u64::MAX } else { 0 };
        self.0.next_timed.store(first, Relaxed);
    }

    pub(crate) fn watch_depth_of(&self, handler: Arc<dyn DlqHandler>) {
        self.0.watch_depth_of(handler);
    }

    /// Starts the clock for one publish in `sampling`. Reading it costs a good
    /// part of what a publish in memory does.
    pub(crate) fn start_publish(&self) -> Option<Instant> {
        let published = self.0.published.get();
        if published < self.0.next_timed.load(Relaxed) {
            return None;
        }
        let sampling = self.0.sampling.get();
        if sampling > 1 {
            self.0.next_timed.store(published + sampling, Relaxed);
        }
        Some(Instant::now())
    }

    #[inline]
    pub(crate) fn publish_took(&self, started: Option<Instant>) {
        if let Some(started) = started {
            self.0.publish_latency.record(started.elapsed());
        }
    }

    pub(crate) fn published(&self, events: u64) {
        self.0.published.add(events);
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
            self.0.schema_rejections.add(1);
        }
        self.0.publish_failed(cause.kind());
    }

    pub(crate) fn received(&self, num_delivered: u64) {
        self.0.received.add(1);
        if num_delivered > 1 {
            self.0.redelivered.add(1);
        }
    }

    pub(crate) fn missed(&self, events: u64) {
        self.0.missed.add(events);
    }

    pub(crate) fn answered(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Acked => &self.0.acked,
            Outcome::Nacked => &self.0.nacked,
            Outcome::Terminated => &self.0.terminated,
        };
        counter.add(1);
    }

    pub(crate) fn unanswered(&self) {
        self.0.unanswered.add(1);
    }

    pub(crate) fn exhausted(&self) {
        self.0.exhausted.add(1);
    }

    pub(crate) fn dead_lettered(&self, kind: DeadLetterKind) {
        self.0.dead_lettered(kind.as_str());
    }

    pub(crate) fn dead_letter_failed(&self) {
        self.0.dead_letter_errors.add(1);
    }

    pub(crate) fn encrypted(&self, success: bool) {
        let counter = match success {
            true => &self.0.encrypted,
            false => &self.0.encryption_failures,
        };
        counter.add(1);
    }

    pub(crate) fn decrypted(&self, success: bool) {
        let counter = match success {
            true => &self.0.decrypted,
            false => &self.0.decryption_failures,
        };
        counter.add(1);
    }

    /// Counts a subscription as open until the guard is dropped.
    pub(crate) fn subscription_opened(&self) -> ActiveSubscription {
        self.0.active_subscriptions.rise();
        ActiveSubscription(self.clone())
    }
}

// Reading.
impl EventMetrics {
    /// Returns all figures. With the feature `metrics`, the recorder learns the
    /// depth of the dead letters at that moment.
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

/// An open subscription, as the gauge counts it.
pub(crate) struct ActiveSubscription(EventMetrics);

impl Drop for ActiveSubscription {
    fn drop(&mut self) {
        self.0.0.active_subscriptions.fall();
    }
}

#[cfg(test)]
mod tests;

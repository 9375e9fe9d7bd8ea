use std::{fmt, sync::Arc};

use a3s_event_core::provider::EventProvider;

use crate::{EncryptionPolicy, EventBus, EventMetrics};

/// Builds an [`EventBus`] that differs from the default.
///
/// Schemas, encryptor, dead-letter handler and state store are attached to the
/// bus itself, before it is shared.
///
/// # Examples
///
/// ```
/// use a3s_event_bus::{EncryptionPolicy, EventBus};
/// use a3s_event_memory::MemoryProvider;
///
/// let bus = EventBus::builder(MemoryProvider::default())
///     .deduplicate(true)
///     .encryption_policy(EncryptionPolicy::Required)
///     .build();
/// assert_eq!(bus.provider_name(), "memory");
/// ```
#[must_use]
pub struct EventBusBuilder {
    pub(crate) provider: Arc<dyn EventProvider>,
    pub(crate) deduplicate: bool,
    pub(crate) best_effort: bool,
    pub(crate) encryption_policy: EncryptionPolicy,
    pub(crate) counts: bool,
    pub(crate) latency_sampling: Option<u32>,
    /// Set where a recorder was given.
    pub(crate) metrics: Option<EventMetrics>,
}

impl EventBusBuilder {
    pub(crate) fn new(provider: Arc<dyn EventProvider>) -> Self {
        Self {
            provider,
            deduplicate: false,
            best_effort: false,
            encryption_policy: EncryptionPolicy::default(),
            counts: true,
            latency_sampling: None,
            metrics: None,
        }
    }

    /// Uses the id of each event as its `msg_id`, unless the caller gives one:
    /// publishing an event again within the provider's window stores nothing and
    /// returns the first sequence.
    ///
    /// Off by default. A provider without deduplication then refuses every
    /// publish. Batches are published one event after the other, because a
    /// batch carries no ids.
    pub const fn deduplicate(mut self, deduplicate: bool) -> Self {
        self.deduplicate = deduplicate;
        self
    }

    /// Leaves out every option that the provider does not support, with one
    /// warning, even where that changes what a call means.
    ///
    /// Off by default: then such options are refused, and only those that tune
    /// (`timeout_secs`, `max_ack_pending`, `backoff_secs`, `ack_wait_secs`,
    /// `prefetch`) are left out.
    pub const fn best_effort(mut self, best_effort: bool) -> Self {
        self.best_effort = best_effort;
        self
    }

    /// Says what becomes of payloads that are read;
    /// [`EncryptionPolicy::Optional`] by default.
    pub const fn encryption_policy(mut self, policy: EncryptionPolicy) -> Self {
        self.encryption_policy = policy;
        self
    }

    /// Says whether the bus counts what it does.
    ///
    /// It does by default: a counter costs a few instructions. Otherwise
    /// [`EventBus::metrics`] stays at zero but for the depth of the dead letters, no
    /// publish is timed, and the recorder that is current learns nothing of the
    /// bus. Spans are not concerned.
    pub const fn metrics(mut self, metrics: bool) -> Self {
        self.counts = metrics;
        self
    }

    /// Times one publish in `one_in`; 1 is each, 0 none.
    ///
    /// By default each is timed, and one in 16 on a provider that runs inside
    /// the process, where reading the clock costs as much as the publish.
    pub const fn latency_sampling(mut self, one_in: u32) -> Self {
        self.latency_sampling = Some(one_in);
        self
    }

    /// Gives the figures of the bus to `recorder` as well, instead of the one that
    /// is current when the bus is built. **Feature `metrics`.**
    ///
    /// Everything is described and resolved now; the bus keeps the handles, not
    /// the recorder. Buses of one kind of provider add up in one recorder.
    ///
    /// # Examples
    ///
    /// ```
    /// use a3s_event_bus::EventBus;
    /// use a3s_event_memory::MemoryProvider;
    /// use metrics_exporter_prometheus::PrometheusBuilder;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let recorder = PrometheusBuilder::new().with_recommended_naming(true).build_recorder();
    /// let bus = EventBus::builder(MemoryProvider::default()).recorder(&recorder).build();
    /// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({"rate": 1.08})).await?;
    ///
    /// assert!(recorder.handle().render().contains("messaging_client_sent_messages_total"));
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "metrics")]
    pub fn recorder(mut self, recorder: &dyn metrics::Recorder) -> Self {
        self.metrics = Some(EventMetrics::in_recorder(self.provider.name(), recorder));
        self
    }

    /// Builds the bus. With the feature `metrics`, its figures also go to the
    /// recorder that is current now: install one first.
    #[must_use]
    pub fn build(self) -> EventBus {
        EventBus::from_builder(self)
    }
}

impl fmt::Debug for EventBusBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBusBuilder")
            .field("provider", &self.provider.name())
            .field("deduplicate", &self.deduplicate)
            .field("best_effort", &self.best_effort)
            .field("encryption_policy", &self.encryption_policy)
            .field("metrics", &self.counts)
            .field("latency_sampling", &self.latency_sampling)
            .finish_non_exhaustive()
    }
}

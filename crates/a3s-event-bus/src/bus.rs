use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use a3s_event_core::{
    Result,
    crypto::EventEncryptor,
    dlq::DlqHandler,
    provider::{EventProvider, ProviderInfo},
    schema::SchemaRegistry,
    state::StateStore,
};

use crate::{
    EventBusBuilder, EventMetrics, backend::Backend, dead_letter::Failures, encryption::Encryption,
    registry::Registry,
};

/// Publishes, receives and queries events through any provider.
///
/// Attach what is needed (schemas, encryptor, dead-letter handler, state), then
/// share the bus: everything else takes `&self`. An [`Arc`] around it is the way
/// to hand it to several tasks.
///
/// # Examples
///
/// ```
/// use a3s_event_bus::EventBus;
/// use a3s_event_memory::MemoryProvider;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> a3s_event_core::Result<()> {
/// let bus = EventBus::new(MemoryProvider::default());
/// let event = bus
///     .publish("market", "forex.usd_cny", "USD/CNY", "reuters", serde_json::json!({"rate": 7.35}))
///     .await?;
///
/// let events = bus.list_events(Some("market"), 50).await?;
/// assert_eq!(events, [event]);
/// # Ok(())
/// # }
/// ```
pub struct EventBus {
    pub(crate) backend: Arc<Backend>,
    pub(crate) schema_registry: Option<Arc<dyn SchemaRegistry>>,
    pub(crate) encryption: Encryption,
    pub(crate) deduplicate: bool,
    pub(crate) metrics: EventMetrics,
    pub(crate) dlq_handler: Option<Arc<dyn DlqHandler>>,
    pub(crate) failures: Arc<Failures>,
    pub(crate) registry: Arc<Registry>,
    state_store: Option<Arc<dyn StateStore>>,
    /// Whether a publish may go straight to the provider. Cached, because it is
    /// asked on every publish.
    pub(crate) is_direct: AtomicBool,
}

/// One publish in this many is timed on a provider inside the process.
const IN_PROCESS_SAMPLING: u32 = 16;

impl EventBus {
    /// A bus above `provider`, with defaults.
    #[must_use]
    pub fn new(provider: impl EventProvider + 'static) -> Self {
        Self::builder(provider).build()
    }

    /// A bus above a provider that is shared with others.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use a3s_event_bus::EventBus;
    /// use a3s_event_core::provider::EventProvider;
    /// use a3s_event_memory::MemoryProvider;
    ///
    /// let provider: Arc<dyn EventProvider> = Arc::new(MemoryProvider::default());
    /// let bus = EventBus::from_provider(Arc::clone(&provider));
    /// assert_eq!(bus.provider_name(), provider.name());
    /// ```
    #[must_use]
    pub fn from_provider(provider: Arc<dyn EventProvider>) -> Self {
        EventBusBuilder::new(provider).build()
    }

    /// A bus above `provider` that checks payloads against `registry`, as
    /// [`set_schema_registry`](Self::set_schema_registry) says.
    #[must_use]
    pub fn with_schema_registry(
        provider: impl EventProvider + 'static,
        registry: Arc<dyn SchemaRegistry>,
    ) -> Self {
        let mut bus = Self::new(provider);
        bus.set_schema_registry(registry);
        bus
    }

    /// Begins a bus above `provider` that differs from the default.
    pub fn builder(provider: impl EventProvider + 'static) -> EventBusBuilder {
        EventBusBuilder::new(Arc::new(provider))
    }

    pub(crate) fn from_builder(builder: EventBusBuilder) -> Self {
        let backend = Arc::new(Backend::new(builder.provider, builder.best_effort));
        let sampling = match builder.latency_sampling {
            _ if !builder.counts => 0,
            Some(one_in) => one_in,
            None if backend.capabilities.in_process => IN_PROCESS_SAMPLING,
            None => 1,
        };
        let metrics = match builder.metrics {
            _ if !builder.counts => EventMetrics::off(backend.name()),
            Some(metrics) => metrics,
            None => EventMetrics::new(backend.name()),
        };
        metrics.sample(sampling);
        let bus = Self {
            metrics,
            registry: Arc::new(Registry::new(Arc::clone(&backend))),
            backend,
            schema_registry: None,
            encryption: Encryption {
                encryptor: None,
                policy: builder.encryption_policy,
            },
            deduplicate: builder.deduplicate,
            dlq_handler: None,
            failures: Arc::default(),
            state_store: None,
            is_direct: AtomicBool::new(false),
        };
        bus.update_direct();
        bus
    }

    /// Gives events that leave the normal path to `handler`: refused on their
    /// last permitted delivery, delivered again after it, terminated by their
    /// reader, no event at all, or not decryptable.
    ///
    /// A letter is stored first and the event settled second. While the handler
    /// fails, the event stays unanswered and comes again after the ack wait.
    /// Without a handler such events are terminated, and `next` returns one
    /// error for each. Subscriptions that are open keep what they have.
    ///
    /// Every failure to decrypt counts, an unknown key included: add a key to
    /// all readers before the first writer uses it. The letter, and the stream,
    /// keep the ciphertext.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use a3s_event_bus::{EventBus, MemoryDlqHandler};
    /// use a3s_event_memory::MemoryProvider;
    ///
    /// let mut bus = EventBus::new(MemoryProvider::default());
    /// bus.set_dlq_handler(Arc::new(MemoryDlqHandler::default()));
    /// assert!(bus.dlq_handler().is_some());
    /// ```
    pub fn set_dlq_handler(&mut self, handler: Arc<dyn DlqHandler>) {
        self.metrics.watch_depth_of(Arc::clone(&handler));
        self.dlq_handler = Some(handler);
    }

    /// Checks payloads against `registry` when they are published, in plaintext.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use a3s_event_bus::EventBus;
    /// use a3s_event_core::{EventError, schema::{EventSchema, SchemaRegistry}, types::Event};
    /// use a3s_event_memory::MemoryProvider;
    /// use a3s_event_schema::MemorySchemaRegistry;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let registry = MemorySchemaRegistry::new();
    /// registry.register(EventSchema {
    ///     event_type: "forex.rate_change".to_string(),
    ///     version: 1,
    ///     required_fields: vec!["rate".to_string()],
    ///     description: "A reference rate changed".to_string(),
    /// })?;
    /// let mut bus = EventBus::new(MemoryProvider::default());
    /// bus.set_schema_registry(Arc::new(registry));
    ///
    /// let payload = serde_json::json!({"price": 1.08});
    /// let event = Event::typed(
    ///     "events.market.forex", "market", "forex.rate_change", 1, "EUR/USD", "ecb", payload,
    /// );
    /// let refused = bus.publish_event(&event).await;
    /// assert!(matches!(refused, Err(EventError::SchemaValidation { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_schema_registry(&mut self, registry: Arc<dyn SchemaRegistry>) {
        self.schema_registry = Some(registry);
        self.update_direct();
    }

    /// Encrypts every payload that is published, and decrypts what is read as
    /// the [policy](EventBusBuilder::encryption_policy) says.
    ///
    /// Subject, category, type, summary, source, metadata and size stay
    /// readable. Subscriptions that are open keep what they have.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use a3s_event_bus::EventBus;
    /// use a3s_event_core::crypto::EncryptedPayload;
    /// use a3s_event_crypto::{Aes256GcmEncryptor, SecretKey};
    /// use a3s_event_memory::MemoryProvider;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let mut bus = EventBus::new(MemoryProvider::default());
    /// bus.set_encryptor(Arc::new(Aes256GcmEncryptor::with_key("2031", SecretKey::generate()?)?));
    ///
    /// let event = bus.publish("order", "paid", "", "shop", serde_json::json!({"card": 4711})).await?;
    /// assert_eq!(bus.list_events(None, 1).await?, [event]);
    ///
    /// let stored = bus.provider().history(None, 1).await?;
    /// assert!(EncryptedPayload::is_encrypted(&stored[0].payload));
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_encryptor(&mut self, encryptor: Arc<dyn EventEncryptor>) {
        self.encryption.encryptor = Some(encryptor);
        self.update_direct();
    }

    /// Loads the subscriptions that `store` keeps, and saves every change there
    /// from now on.
    ///
    /// What was registered before wins over what is loaded under the same id,
    /// and everything else is kept; if that differs from the store, it is saved.
    /// Durable consumers that nobody needs any more are removed, as
    /// [`update_subscription`](Self::update_subscription) does. While a store is
    /// set, only this bus should save there.
    ///
    /// # Errors
    ///
    /// Those of the store, and
    /// [`EventError::State`](a3s_event_core::EventError::State) for a filter that
    /// the bus would not accept. Then the bus and the store are as they were.
    ///
    /// # Cancellation
    ///
    /// A dropped call may have saved what was merged; the bus is as it was, or
    /// uses the store already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use a3s_event_bus::EventBus;
    /// use a3s_event_core::types::SubscriptionFilter;
    /// use a3s_event_memory::MemoryProvider;
    /// use a3s_event_state::MemoryStateStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let store = Arc::new(MemoryStateStore::new());
    /// let mut bus = EventBus::new(MemoryProvider::default());
    /// bus.set_state_store(store.clone()).await?;
    /// bus.update_subscription(SubscriptionFilter {
    ///     subscriber_id: "analyst".to_string(),
    ///     subjects: vec!["events.market.>".to_string()],
    ///     ..Default::default()
    /// })
    /// .await?;
    ///
    /// let mut restarted = EventBus::new(MemoryProvider::default());
    /// restarted.set_state_store(store).await?;
    /// assert!(restarted.get_subscription("analyst").await.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn set_state_store(&mut self, store: Arc<dyn StateStore>) -> Result<()> {
        self.backend.ensure_open()?;
        self.registry.restore(Arc::clone(&store)).await?;
        self.state_store = Some(store);
        Ok(())
    }

    /// Describes the backend.
    ///
    /// # Errors
    ///
    /// [`EventError::Closed`](a3s_event_core::EventError::Closed), and what the
    /// provider reports.
    pub async fn info(&self) -> Result<ProviderInfo> {
        self.backend.ensure_open()?;
        self.backend.provider().info().await
    }

    /// Whether the backend answers.
    ///
    /// # Errors
    ///
    /// [`EventError::Closed`](a3s_event_core::EventError::Closed) after
    /// [`close`](Self::close).
    pub async fn health(&self) -> Result<bool> {
        self.backend.ensure_open()?;
        self.backend.provider().health().await
    }

    /// Closes the bus and its provider: subscriptions end with `None`, answers
    /// under way are flushed, later calls are
    /// [`EventError::Closed`](a3s_event_core::EventError::Closed). May be
    /// repeated. Dropping the bus does not close the provider.
    ///
    /// Close it last: an event that a handler still holds can no longer be
    /// answered afterwards, and comes again. So stop the readers first, let them
    /// finish what is in hand, and close their subscriptions.
    ///
    /// # Errors
    ///
    /// What the provider reports; the bus is closed all the same.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::EventError;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// assert!(bus.health().await?);
    /// bus.close().await?;
    /// assert!(matches!(bus.info().await, Err(EventError::Closed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) -> Result<()> {
        self.backend.close();
        self.update_direct();
        self.backend.provider().close().await
    }

    /// The provider. Calls on it go around the pipeline: no schema, no
    /// encryption, no dead letters, no metrics.
    #[must_use]
    pub fn provider(&self) -> &dyn EventProvider {
        self.backend.provider()
    }

    /// A handle on the provider; the remark on [`provider`](Self::provider) holds.
    #[must_use]
    pub fn provider_arc(&self) -> Arc<dyn EventProvider> {
        self.backend.provider_arc()
    }

    /// The name of the provider: `memory`, `nats`, …
    #[must_use]
    pub fn provider_name(&self) -> &str {
        self.backend.name()
    }

    /// What the bus counted so far.
    #[must_use]
    pub const fn metrics(&self) -> &EventMetrics {
        &self.metrics
    }

    /// The dead-letter handler, if one is set.
    #[must_use]
    pub fn dlq_handler(&self) -> Option<&dyn DlqHandler> {
        self.dlq_handler.as_deref()
    }

    /// The encryptor, if one is set.
    #[must_use]
    pub fn encryptor(&self) -> Option<&dyn EventEncryptor> {
        self.encryption.encryptor.as_deref()
    }

    /// The state store, if one is set.
    #[must_use]
    pub fn state_store(&self) -> Option<&dyn StateStore> {
        self.state_store.as_deref()
    }

    /// The schema registry, if one is set.
    #[must_use]
    pub fn schema_registry(&self) -> Option<&dyn SchemaRegistry> {
        self.schema_registry.as_deref()
    }
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBus")
            .field("provider", &self.provider_name())
            .field("subscriptions", &self.registry.list().len())
            .field("schema_registry", &self.schema_registry.is_some())
            .field("encryptor", &self.encryption.encryptor.is_some())
            .field("encryption_policy", &self.encryption.policy)
            .field("dlq_handler", &self.dlq_handler.is_some())
            .field("state_store", &self.state_store.is_some())
            .finish_non_exhaustive()
    }
}

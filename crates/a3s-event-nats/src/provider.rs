use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use a3s_event_core::{
    EventError, Result, async_trait,
    provider::{Capabilities, ConsumerInfo, EventProvider, ProviderInfo, Subscription},
    subject::{SubjectPattern, SubjectPrefix, validate_consumer_name},
    types::{DeliverPolicy, Event, PublishOptions, StreamName, SubscribeOptions},
};
use futures_util::future::join_all;
use serde_json::Value;

use crate::{
    api::{Api, ConsumerState, StreamInfo, no_stream, number},
    client::NatsProviderBuilder,
    config::NatsConfig,
    connection::Connection,
    consumer::{ExistingDurable, Plan, stored_first_sequence},
    durable, ephemeral,
    error::{ApiError, NATS, failed},
    history,
    incarnation::Incarnation,
    names,
    pull::Requests,
    reader::{Gaps, Inbox, Reader, Source},
    settle::Link,
    subscription::{NatsSubscription, SharedReader, WeakReader},
};

/// Events in a JetStream stream.
///
/// Reconnects by itself; subscriptions go on. Dropping it leaves its
/// subscriptions working; [`close`](EventProvider::close) ends them, writes
/// what is unsent and closes the connection. Everything happens on the tokio
/// runtime that it was connected on.
///
/// # Examples
///
/// ```no_run
/// use a3s_event_core::provider::EventProvider;
/// use a3s_event_nats::{NatsConfig, NatsProvider, StorageType};
///
/// # async fn connect() -> a3s_event_core::Result<()> {
/// let provider = NatsProvider::connect(NatsConfig {
///     url: "nats://127.0.0.1:4222".to_string(),
///     stream_name: "A3S_EVENTS".to_string(),
///     subject_prefix: "events".to_string(),
///     storage: StorageType::File,
///     max_events: 100_000,
///     max_age_secs: 604_800,
///     ..Default::default()
/// })
/// .await?;
/// assert!(provider.health().await?);
/// # Ok(())
/// # }
/// ```
pub struct NatsProvider {
    shared: Arc<Shared>,
}

/// What a provider and its subscriptions share.
pub(crate) struct Shared {
    pub(crate) connection: Arc<Connection>,
    pub(crate) api: Arc<Api>,
    /// When the stream was created, as the server writes it.
    pub(crate) created: String,
    pub(crate) stream: StreamName,
    pub(crate) settings: Settings,
    /// Most bytes of a message with its headers, where the stream has a limit.
    pub(crate) max_message: Option<usize>,
    /// Whether the stream answers direct reads.
    pub(crate) direct: bool,
    /// Whether the stream holds nothing but our events.
    ours_alone: bool,
    readers: Mutex<Vec<WeakReader>>,
    /// The durables that were opened, by name: which each was, and whether it
    /// is gone.
    durables: Mutex<HashMap<String, (Incarnation, Arc<AtomicBool>)>>,
}

/// What the builder says about the provider itself.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: SubjectPrefix,
    pub(crate) prefetch: usize,
    pub(crate) on_existing_durable: ExistingDurable,
}

impl NatsProvider {
    /// Connects and makes sure that the stream exists.
    ///
    /// The stream is created if it is missing. If it exists, it is compared
    /// with the configuration field by field.
    ///
    /// # Errors
    ///
    /// Those of [`NatsProviderBuilder::connect`].
    pub async fn connect(config: NatsConfig) -> Result<Self> {
        Self::builder(config).connect().await
    }

    /// Starts to set what the configuration has no field for.
    pub fn builder(config: NatsConfig) -> NatsProviderBuilder {
        NatsProviderBuilder::new(config)
    }

    pub(crate) fn new(
        connection: Connection,
        api: Api,
        stream: StreamInfo,
        settings: Settings,
    ) -> Self {
        let subjects = stream.config.get("subjects").and_then(Value::as_array);
        let ours_alone = subjects.is_some_and(|subjects| {
            matches!(&subjects[..], [only] if only == settings.prefix.everything().as_str())
        });
        Self {
            shared: Arc::new(Shared {
                connection: Arc::new(connection),
                stream: StreamName::from(api.stream.as_str()),
                api: Arc::new(api),
                created: stream.created,
                max_message: usize::try_from(number(&stream.config, "max_msg_size"))
                    .ok()
                    .filter(|&limit| limit > 0),
                direct: stream.config.get("allow_direct") == Some(&Value::Bool(true)),
                settings,
                ours_alone,
                readers: Mutex::default(),
                durables: Mutex::default(),
            }),
        }
    }
}

impl Shared {
    async fn open_ephemeral(
        self: &Arc<Self>,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let plan = self.plan(filter_subject, options).await?;
        let inbox = self.inbox().await?;
        let name = ephemeral::new_name(self);
        let created = ephemeral::create(self, name, &plan, None, None, &inbox.subject);
        let (link, info) = created.await?;
        Ok(self.subscription(Source::Ephemeral, plan, link, &info, inbox))
    }

    async fn open_durable(
        self: &Arc<Self>,
        consumer_name: &str,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.connection.check_open()?;
        validate_consumer_name(consumer_name)?;
        let plan = self.plan(filter_subject, options).await?;
        let inbox = self.inbox().await?;
        let info = durable::open(
            &self.connection,
            &self.api,
            consumer_name,
            &plan,
            self.settings.on_existing_durable,
        )
        .await?;
        let wire_name = names::wire_name(consumer_name);
        let mut link = Link::new(self, &plan, wire_name, &info, &inbox.subject);
        link.gone = self.mark_of(consumer_name, &link.incarnation);
        let source = Source::Durable(consumer_name.to_owned());
        Ok(self.subscription(source, plan, link, &info, inbox))
    }

    /// The mark of a durable. An earlier one of the name is gone.
    fn mark_of(&self, name: &str, incarnation: &Incarnation) -> Arc<AtomicBool> {
        let mut durables = self.durables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, gone)) = durables.get(name) {
            if !incarnation.differs_from(known) {
                return Arc::clone(gone);
            }
            gone.store(true, Ordering::Release);
        }
        let gone = Arc::new(AtomicBool::new(false));
        durables.insert(name.to_owned(), (incarnation.clone(), Arc::clone(&gone)));
        gone
    }

    /// The mark of a durable that was opened.
    fn known(&self, name: &str) -> Option<Arc<AtomicBool>> {
        let durables = self.durables.lock().unwrap_or_else(PoisonError::into_inner);
        durables.get(name).map(|(_, gone)| Arc::clone(gone))
    }

    /// Marks a durable as gone.
    fn forget(&self, name: &str, gone: &Arc<AtomicBool>) {
        gone.store(true, Ordering::Release);
        let mut durables = self.durables.lock().unwrap_or_else(PoisonError::into_inner);
        if durables
            .get(name)
            .is_some_and(|(_, known)| Arc::ptr_eq(known, gone))
        {
            durables.remove(name);
        }
    }

    async fn plan(&self, filter_subject: &str, options: &SubscribeOptions) -> Result<Plan> {
        self.connection.check_open()?;
        let Settings {
            prefix, prefetch, ..
        } = &self.settings;
        let mut plan = Plan::new(prefix, filter_subject, options, *prefetch)?;
        // A replica that lags would take for new, or for the last one, what is neither.
        let start = match plan.options.deliver_policy {
            DeliverPolicy::New if self.connection.is_clustered() => {
                Some(self.stream_info().await?.state.last_seq + 1)
            }
            DeliverPolicy::Last if self.connection.is_clustered() => {
                history::newest_of_leader(self, &plan.filter).await?
            }
            _ => None,
        };
        if let Some(sequence) = start {
            plan.options.deliver_policy = DeliverPolicy::ByStartSequence { sequence };
        }
        Ok(plan)
    }

    pub(crate) async fn inbox(&self) -> Result<Inbox> {
        let client = self.connection.client();
        let generation = self.connection.generation();
        let subject = client.new_inbox();
        let subscribed = client.subscribe(Requests::inbox_pattern(&subject));
        let subscribed = self.connection.in_time("subscribe", subscribed).await?;
        Ok(Inbox {
            subscriber: subscribed.map_err(|error| failed("subscribe", error))?,
            subject,
            generation,
        })
    }

    fn subscription(
        self: &Arc<Self>,
        source: Source,
        plan: Plan,
        link: Link,
        info: &ConsumerState,
        inbox: Inbox,
    ) -> Box<dyn Subscription> {
        let first = match source {
            Source::Durable(_) => stored_first_sequence(info),
            Source::Ephemeral => plan.first_sequence(),
        };
        let snapshot = info.config.get("deliver_policy") == Some(&"last_per_subject".into());
        let everything = self.ours_alone
            && !snapshot
            && plan.filter == self.settings.prefix.everything().as_str();
        let gaps = Gaps::new(first, info.position(first), everything);
        let shortest_wait = plan.shortest_wait();
        let reader = Reader::new(
            Arc::clone(self),
            source,
            Arc::new(plan),
            Arc::new(link),
            inbox,
            gaps,
        );
        let reader = SharedReader::new(reader);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| reader.upgrade().is_some());
        readers.push(reader.downgrade());
        drop(readers);
        Box::new(NatsSubscription::new(
            reader,
            self.stream.clone(),
            shortest_wait,
        ))
    }

    /// The filter of a history.
    fn history_filter(&self, filter_subject: Option<&str>) -> Result<String> {
        let prefix = &self.settings.prefix;
        let pattern: SubjectPattern = match filter_subject {
            Some(filter) => prefix.parse_pattern(filter)?,
            None => prefix.everything().clone(),
        };
        Ok(pattern.as_str().to_owned())
    }

    pub(crate) async fn stream_info(&self) -> Result<StreamInfo> {
        match self.api.stream_info(&self.connection).await? {
            Ok(info) => Ok(info),
            Err(error) if error.is(ApiError::STREAM_NOT_FOUND) => Err(no_stream(&self.stream)),
            Err(error) => Err(error.during("read the stream")),
        }
    }
}

#[async_trait]
impl EventProvider for NatsProvider {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.shared.publish(event, &PublishOptions::default()).await
    }

    async fn publish_with_options(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        self.shared.publish(event, options).await
    }

    async fn publish_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
        self.shared.publish_batch(events).await
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        self.shared
            .open_ephemeral(filter_subject, &SubscribeOptions::default())
            .await
    }

    async fn subscribe_with_options(
        &self,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.shared.open_ephemeral(filter_subject, options).await
    }

    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        self.shared
            .open_durable(consumer_name, filter_subject, &SubscribeOptions::default())
            .await
    }

    async fn subscribe_durable_with_options(
        &self,
        consumer_name: &str,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.shared
            .open_durable(consumer_name, filter_subject, options)
            .await
    }

    async fn history(&self, filter_subject: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        self.shared.connection.check_open()?;
        let filter = self.shared.history_filter(filter_subject)?;
        history::newest(&self.shared, &filter, limit).await
    }

    async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
        let shared = &self.shared;
        shared.connection.check_open()?;
        validate_consumer_name(consumer_name)?;
        let name = names::wire_name(consumer_name);
        // Only what is open now ends: the name may have another durable once the answer is here.
        let removed = shared.known(consumer_name);
        shared
            .api
            .delete_consumer(&shared.connection, &name)
            .await?;
        if let Some(gone) = removed {
            shared.forget(consumer_name, &gone);
        }
        Ok(())
    }

    async fn info(&self) -> Result<ProviderInfo> {
        self.shared.connection.check_open()?;
        let state = self.shared.stream_info().await?.state;
        Ok(ProviderInfo::new(NATS)
            .with_messages(state.messages)
            .with_bytes(state.bytes)
            .with_consumers(state.consumer_count))
    }

    async fn consumer_info(&self, consumer_name: &str) -> Result<ConsumerInfo> {
        let shared = &self.shared;
        shared.connection.check_open()?;
        validate_consumer_name(consumer_name)?;
        let name = names::wire_name(consumer_name);
        match shared.api.consumer_info(&shared.connection, &name).await? {
            Ok(state) => Ok(ConsumerInfo::new(state.num_pending, state.num_ack_pending)),
            Err(error) if error.no_consumer() => {
                Err(EventError::not_found("consumer", consumer_name))
            }
            Err(error) => Err(error.during("read the consumer")),
        }
    }

    async fn health(&self) -> Result<bool> {
        self.shared.connection.check_open()?;
        Ok(self.shared.connection.is_up() && self.shared.stream_info().await.is_ok())
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        self.shared.settings.prefix.subject(category, topic)
    }

    fn category_subject(&self, category: &str) -> String {
        self.shared.settings.prefix.category_pattern(category)
    }

    fn name(&self) -> &str {
        NATS
    }

    fn subject_prefix(&self) -> &str {
        self.shared.settings.prefix.as_str()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    async fn close(&self) -> Result<()> {
        let shared = &self.shared;
        if !shared.connection.mark_closed() {
            return Ok(());
        }
        let readers = {
            let mut readers = shared
                .readers
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *readers)
        };
        let closing = readers.iter().filter_map(WeakReader::upgrade);
        let closed = join_all(closing.map(|reader| reader.close(None))).await;
        shared.connection.end().await;
        closed.into_iter().collect()
    }
}

impl fmt::Debug for NatsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsProvider")
            .field("connection", &self.shared.connection)
            .field("stream", &self.shared.stream)
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}

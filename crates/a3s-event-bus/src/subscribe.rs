mod answer;
mod handle;
mod merged;
mod route;

use std::sync::Arc;

use a3s_event_core::{
    EventError, Result,
    provider::Subscription,
    subject::SubjectPattern,
    types::{SubscribeOptions, SubscriptionFilter},
};

use crate::{
    EventBus,
    dead_letter::DeadLetters,
    registry::{Retired, Retirement, Subscriber, consumer_name},
};
use handle::{BusSubscription, Feed};
use merged::Merged;
use route::{Origin, Route};

impl EventBus {
    /// Subscribes to everything that matches `pattern`: what is retained, then
    /// what follows. The position ends with the subscription.
    ///
    /// Events arrive decrypted; what the pipeline cannot hand over leaves it as
    /// the [dead-letter handler](Self::set_dlq_handler) says. What was attached
    /// to the bus before counts; a subscription that is open does not change.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`] for a malformed pattern or one that can
    /// match nothing below the prefix, [`EventError::Closed`], and what the
    /// provider reports.
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
    /// let mut rates = bus.subscribe("events.market.>").await?;
    /// while let Some(pending) = rates.next_manual_ack().await? {
    ///     assert_eq!(pending.received.event.payload["rate"], 1.08);
    ///     pending.ack().await?;
    /// #   break;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribe(&self, pattern: &str) -> Result<Box<dyn Subscription>> {
        self.subscribe_with_options(pattern, &SubscribeOptions::default())
            .await
    }

    /// Subscribes as [`subscribe`](Self::subscribe) does, with options: from now
    /// on only, with a cap on deliveries, with another ack wait.
    ///
    /// # Errors
    ///
    /// Those of `subscribe`; [`EventError::InvalidOption`];
    /// [`EventError::Unsupported`] for an option that changes what the
    /// subscription means and that the provider does not offer. One that only
    /// tunes is left out, with one warning.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::types::{DeliverPolicy, SubscribeOptions};
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({"rate": 1.08})).await?;
    ///
    /// let from_now = SubscribeOptions::default().with_deliver_policy(DeliverPolicy::New);
    /// let mut rates = bus.subscribe_with_options("events.market.>", &from_now).await?;
    /// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({"rate": 1.09})).await?;
    ///
    /// let received = rates.next().await?.expect("the bus is open");
    /// assert_eq!(received.event.payload["rate"], 1.09);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribe_with_options(
        &self,
        pattern: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.backend.ensure_open()?;
        let pattern = self.backend.parse_pattern(pattern)?;
        let asked = self.backend.honored_subscribe(options)?;
        let provider = self.backend.provider();
        let subscription = provider.subscribe_with_options(pattern.as_str(), &asked);
        let feed = Feed::One {
            subscription: subscription.await?,
            origin: Origin::default(),
        };
        Ok(self.through_pipeline(feed, Some(options), pattern.as_str().to_owned(), None))
    }

    /// Registers a subscriber, or replaces its filter, and saves that in the
    /// [state store](Self::set_state_store) before it returns.
    ///
    /// Nothing is opened: see [`create_subscriber`](Self::create_subscriber) and
    /// [`subscribe_as`](Self::subscribe_as). A subject that another one of the
    /// list covers is dropped.
    ///
    /// The cost does not depend on how many subscribers there are, except that a
    /// state store writes all of them.
    ///
    /// # Durable subscriptions
    ///
    /// Each subject has a consumer of its own, called
    /// `<subscriber id> <subject>`, so that its position does not depend on its
    /// place in the list. Subjects that stay keep their order, and added ones
    /// follow: who hands over an event that several of them match must not
    /// change. The consumer of a subject that is no longer in the
    /// filter is removed once nothing there is unanswered; until then, the
    /// subscriber's handles read it on. With a provider that cannot tell, it
    /// stays until [`remove_subscription`](Self::remove_subscription).
    ///
    /// Other options than those that a consumer was created with are
    /// [`EventError::ConsumerMismatch`] when it is opened, except `max_deliver`
    /// and `prefetch`, which belong to the reader.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidOption`] for an id that is empty, begins with `$`,
    /// holds control characters or is too long for the name of a consumer, and
    /// for options without meaning; [`EventError::InvalidSubject`] for a list
    /// that is empty or holds a bad pattern; [`EventError::Unsupported`] for an
    /// option, or for durability, that the provider does not offer; those of the
    /// state store. After an error nothing has changed.
    ///
    /// # Cancellation
    ///
    /// A dropped call has changed nothing or everything; the store may be ahead
    /// until the next change.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::types::SubscriptionFilter;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// bus.update_subscription(SubscriptionFilter {
    ///     subscriber_id: "analyst".to_string(),
    ///     subjects: vec!["events.market.>".to_string()],
    ///     durable: true,
    ///     ..Default::default()
    /// })
    /// .await?;
    /// assert!(bus.get_subscription("analyst").await.is_some());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update_subscription(&self, filter: SubscriptionFilter) -> Result<()> {
        self.backend.ensure_open()?;
        self.registry.update(filter).await
    }

    /// Forgets a subscriber, removes its durable consumers, answered or not, and
    /// saves that before it returns. Succeeds when there is no such subscriber.
    ///
    /// # Errors
    ///
    /// Those of the state store, and then nothing has changed. Those of the
    /// provider when a consumer could not be removed: the subscriber is
    /// forgotten, and a repeated call tries the consumer again.
    ///
    /// # Cancellation
    ///
    /// A consumer that a dropped call left behind is removed by a repeated call,
    /// or when the state is loaded the next time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// let bus = EventBus::new(MemoryProvider::default());
    /// bus.remove_subscription("analyst").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn remove_subscription(&self, subscriber_id: &str) -> Result<()> {
        self.backend.ensure_open()?;
        self.registry.remove(subscriber_id).await
    }

    /// Returns all registered filters, sorted by subscriber.
    pub async fn list_subscriptions(&self) -> Vec<SubscriptionFilter> {
        self.registry.list()
    }

    /// Returns the filter of a subscriber, as it is in force.
    pub async fn get_subscription(&self, subscriber_id: &str) -> Option<SubscriptionFilter> {
        self.registry.find(subscriber_id)
    }

    /// Opens a registered subscriber: one subscription for each of its subjects,
    /// in their order.
    ///
    /// An event that several subjects match comes once on each. After a subject
    /// was removed while events there were unanswered, there is one more: it
    /// gives these, and ends when they are answered.
    ///
    /// # Errors
    ///
    /// [`EventError::NotFound`] for a subscriber that is not registered,
    /// [`EventError::ConsumerMismatch`] when a durable consumer exists with
    /// other options, and what the provider reports.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::types::SubscriptionFilter;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// # let bus = EventBus::new(MemoryProvider::default());
    /// bus.update_subscription(SubscriptionFilter {
    ///     subscriber_id: "auditor".to_string(),
    ///     subjects: vec!["events.market.>".to_string(), "events.system.>".to_string()],
    ///     ..Default::default()
    /// })
    /// .await?;
    /// let subscriptions = bus.create_subscriber("auditor").await?;
    /// assert_eq!(subscriptions.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_subscriber(
        &self,
        subscriber_id: &str,
    ) -> Result<Vec<Box<dyn Subscription>>> {
        let changes = self.registry.changes(subscriber_id);
        let view = self.registry.view(subscriber_id);
        let (filter, durable) = self.registered(subscriber_id, &view)?;
        let mut subscriptions = Vec::with_capacity(filter.subjects.len());
        for (pattern, subscription) in self.open_all(filter, durable).await? {
            let name = consumer_name(subscriber_id, pattern.as_str());
            let consumer: Option<Arc<str>> = durable.then(|| name.into());
            let feed = Feed::One {
                subscription,
                origin: Origin {
                    consumer: consumer.clone(),
                    registry: Arc::downgrade(&self.registry),
                },
            };
            let template = pattern.as_str().to_owned();
            let cap = filter.options.as_ref();
            subscriptions.push(self.through_pipeline(feed, cap, template, consumer));
        }
        for retired in self.draining(&view).await? {
            let registry = &self.registry;
            let changes = changes.clone();
            let merged = Merged::draining(registry, subscriber_id, changes, &view, &retired);
            let consumer = Some(Arc::from(retired.consumer.as_str()));
            let options = retired.options.as_ref();
            let feed = Feed::Many(merged);
            subscriptions.push(self.through_pipeline(feed, options, retired.subject, consumer));
        }
        Ok(subscriptions)
    }

    /// Opens a registered subscriber as one subscription over all its subjects,
    /// in fair turns.
    ///
    /// An event that several subjects match is handed over once: it belongs to
    /// the first of them, and the others acknowledge it unseen.
    ///
    /// Each subject keeps the order of the stream; events of different subjects
    /// may overtake each other. Where their order matters, one pattern that selects
    /// them all keeps it: `events.order.>` in place of two subjects below it.
    ///
    /// The subscription of a durable subscriber follows its filter: it begins
    /// with added subjects, and hands over what is unanswered of removed ones.
    /// Around such a change an event may come twice. When the subscriber is
    /// removed it ends with [`EventError::NotFound`]. The cap on deliveries stays
    /// the one it was opened with. An ephemeral subscription keeps its subjects.
    ///
    /// # Errors
    ///
    /// Those of [`create_subscriber`](Self::create_subscriber).
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_core::types::SubscriptionFilter;
    /// # use a3s_event_memory::MemoryProvider;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> a3s_event_core::Result<()> {
    /// # let bus = EventBus::new(MemoryProvider::default());
    /// bus.update_subscription(SubscriptionFilter {
    ///     subscriber_id: "auditor".to_string(),
    ///     subjects: vec!["events.market.>".to_string(), "events.*.forex".to_string()],
    ///     durable: true,
    ///     ..Default::default()
    /// })
    /// .await?;
    /// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({})).await?;
    ///
    /// let mut events = bus.subscribe_as("auditor").await?;
    /// let received = events.next().await?.expect("the bus is open");
    /// assert_eq!(received.event.subject, "events.market.forex");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribe_as(&self, subscriber_id: &str) -> Result<Box<dyn Subscription>> {
        let changes = self.registry.changes(subscriber_id);
        let view = self.registry.view(subscriber_id);
        let (filter, durable) = self.registered(subscriber_id, &view)?;
        let opened = self.open_all(filter, durable).await?;
        let registry = &self.registry;
        let feed = if durable {
            Feed::Many(Merged::durable(
                registry,
                subscriber_id,
                changes,
                &view,
                opened,
            ))
        } else {
            match <[_; 1]>::try_from(opened) {
                Ok([(_, subscription)]) => Feed::One {
                    subscription,
                    origin: Origin::default(),
                },
                Err(opened) => Feed::Many(Merged::ephemeral(registry, subscriber_id, opened)),
            }
        };
        let group = Some(Arc::from(subscriber_id));
        let template = filter.subjects.join(",");
        Ok(self.through_pipeline(feed, filter.options.as_ref(), template, group))
    }

    /// The filter of a subscriber, and whether the provider makes it durable.
    fn registered<'a>(
        &self,
        subscriber_id: &str,
        view: &'a Subscriber,
    ) -> Result<(&'a SubscriptionFilter, bool)> {
        self.backend.ensure_open()?;
        let filter = view.filter.as_ref();
        let filter = filter.ok_or_else(|| EventError::not_found("subscription", subscriber_id))?;
        let durable = self.backend.honored_durability(filter.durable)?;
        Ok((filter, durable))
    }

    /// Opens every subject of `filter`.
    async fn open_all(
        &self,
        filter: &SubscriptionFilter,
        durable: bool,
    ) -> Result<Vec<(SubjectPattern, Box<dyn Subscription>)>> {
        let options = filter.options.clone().unwrap_or_default();
        let mut opened = Vec::with_capacity(filter.subjects.len());
        for subject in &filter.subjects {
            let pattern = self.backend.parse_pattern(subject)?;
            let subscription = if durable {
                let id = &filter.subscriber_id;
                let opened = self.registry.open_durable(id, subject, &options).await?;
                if !self.registry.keep_opened(id, subject).await? {
                    if self.registry.find(id).is_none() {
                        return Err(EventError::not_found("subscription", id));
                    }
                    // Taken out of the filter meanwhile.
                    continue;
                }
                opened
            } else {
                let options = self.backend.honored_subscribe(&options)?;
                let provider = self.backend.provider();
                provider.subscribe_with_options(subject, &options).await?
            };
            opened.push((pattern, subscription));
        }
        Ok(opened)
    }

    /// The retired consumers in which something rests and that have no handle by
    /// their subject; what is drained goes now.
    async fn draining(&self, view: &Subscriber) -> Result<Vec<Retired>> {
        let mut draining = Vec::new();
        let subjects = view.filter.iter().filter(|filter| filter.durable);
        let subjects: Vec<&String> = subjects.flat_map(|filter| &filter.subjects).collect();
        for retired in view.retired.values() {
            let retirement = self.registry.finish(&retired.consumer, false).await?;
            let rests = matches!(retirement, Retirement::Draining { .. });
            if rests && !subjects.contains(&&retired.subject) {
                draining.push(retired.clone());
            }
        }
        Ok(draining)
    }

    fn through_pipeline(
        &self,
        feed: Feed,
        options: Option<&SubscribeOptions>,
        template: String,
        group: Option<Arc<str>>,
    ) -> Box<dyn Subscription> {
        let dead_letters = self.dlq_handler.clone().map(|handler| DeadLetters {
            handler,
            failures: Arc::clone(&self.failures),
            metrics: self.metrics.clone(),
        });
        let route = Route {
            status: Arc::clone(&self.backend.status),
            encryption: self.encryption.clone(),
            dead_letters,
            metrics: self.metrics.clone(),
            cap: options.and_then(SubscribeOptions::delivery_cap),
            template,
            group,
        };
        Box::new(BusSubscription::new(feed, route))
    }
}

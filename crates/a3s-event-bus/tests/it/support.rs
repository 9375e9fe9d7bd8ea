//! What the tests share: events, deadlines, and providers that do one thing.

use std::{
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use a3s_event_bus::EventBus;
use a3s_event_core::{
    BoxFuture, EventError, Result, async_trait,
    dlq::{DeadLetterEvent, DlqHandler},
    provider::{
        Answer, Capabilities, ConsumerInfo, Delivery, DeliveryHandle, EventProvider, PendingEvent,
        ProviderInfo, Settle, Settled, Subscription,
    },
    types::{Event, PublishOptions, ReceivedEvent, SubscribeOptions, SubscriptionFilter},
};
use a3s_event_memory::MemoryProvider;
use serde_json::json;

/// Waits for `future`, but not for ever.
#[track_caller]
pub(crate) fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let patience = Duration::from_secs(60);
    let caller = std::panic::Location::caller();
    async move {
        let outcome = tokio::time::timeout(patience, future).await;
        outcome.unwrap_or_else(|_| panic!("nothing happened in time at {caller}"))
    }
}

/// Polls `future` as often as it asks for it without time passing; `None` when
/// it waits for something else.
pub(crate) async fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(1), future)
        .await
        .ok()
}

pub(crate) fn event(subject: &str, payload: serde_json::Value) -> Event {
    let category = subject.split('.').nth(1).unwrap_or_default();
    Event::new(subject, category, "summary", "test", payload)
}

pub(crate) async fn publish(bus: &EventBus, subject: &str) -> u64 {
    bus.publish_event(&event(subject, json!({}))).await.unwrap()
}

pub(crate) fn filter(id: &str, subjects: &[&str]) -> SubscriptionFilter {
    SubscriptionFilter {
        subscriber_id: id.to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) fn durable(id: &str, subjects: &[&str]) -> SubscriptionFilter {
    SubscriptionFilter {
        durable: true,
        ..filter(id, subjects)
    }
}

pub(crate) fn capped(id: &str, subjects: &[&str], max_deliver: i64) -> SubscriptionFilter {
    SubscriptionFilter {
        options: Some(SubscribeOptions::default().with_max_deliver(max_deliver)),
        ..durable(id, subjects)
    }
}

/// The next event of a subscription that is open.
pub(crate) async fn next(subscription: &mut Box<dyn Subscription>) -> ReceivedEvent {
    within(subscription.next()).await.unwrap().unwrap()
}

pub(crate) async fn next_pending(subscription: &mut Box<dyn Subscription>) -> PendingEvent {
    within(subscription.next_manual_ack())
        .await
        .unwrap()
        .unwrap()
}

/// Only the nine required methods, on top of the memory provider.
#[derive(Default)]
pub(crate) struct Nine(pub MemoryProvider);

#[async_trait]
impl EventProvider for Nine {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.0.publish(event).await
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        self.0.subscribe(filter_subject).await
    }

    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        self.0
            .subscribe_durable(consumer_name, filter_subject)
            .await
    }

    async fn history(&self, filter_subject: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        self.0.history(filter_subject, limit).await
    }

    async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
        self.0.unsubscribe(consumer_name).await
    }

    async fn info(&self) -> Result<ProviderInfo> {
        self.0.info().await
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        self.0.build_subject(category, topic)
    }

    fn category_subject(&self, category: &str) -> String {
        self.0.category_subject(category)
    }

    fn name(&self) -> &str {
        "nine"
    }
}

type Opened = (String, Option<String>, SubscribeOptions);

/// A backend of a script: stores nothing, delivers what it was given, and
/// remembers what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) capabilities: Capabilities,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    deliveries: Mutex<Vec<Delivery>>,
    answers: Mutex<Vec<(u64, Answer)>>,
    published: Mutex<Vec<(Event, PublishOptions)>>,
    opened: Mutex<Vec<Opened>>,
    publishes_before_failure: Mutex<Option<usize>>,
    answers_fail: Mutex<bool>,
    unsubscribed: Mutex<Vec<String>>,
    unsubscribes_fail: Mutex<bool>,
    opens_fail: Mutex<bool>,
    info: Mutex<Option<ConsumerInfo>>,
}

impl Scripted {
    pub(crate) fn claiming(capabilities: Capabilities) -> Self {
        Self {
            capabilities,
            ..Self::default()
        }
    }

    /// Adds a delivery of `event` in stream `SCRIPT`; its answers are noted
    /// under its sequence.
    pub(crate) fn deliver(&self, event: Event, sequence: u64, num_delivered: u64) {
        let received = ReceivedEvent::new(event, sequence, num_delivered, "SCRIPT");
        let pending = PendingEvent::with_handle(received, self.handle(sequence));
        self.push(Delivery::Event(pending));
    }

    pub(crate) fn push(&self, delivery: Delivery) {
        self.shared.deliveries.lock().unwrap().insert(0, delivery);
    }

    pub(crate) fn handle(&self, sequence: u64) -> DeliveryHandle {
        DeliveryHandle::new(Arc::<Shared>::clone(&self.shared), sequence)
    }

    pub(crate) fn answers(&self) -> Vec<(u64, Answer)> {
        self.shared.answers.lock().unwrap().clone()
    }

    pub(crate) fn published(&self) -> Vec<(Event, PublishOptions)> {
        self.shared.published.lock().unwrap().clone()
    }

    /// What was subscribed to: pattern, consumer, options.
    pub(crate) fn opened(&self) -> Vec<Opened> {
        self.shared.opened.lock().unwrap().clone()
    }

    pub(crate) fn fail_publishes_after(&self, count: usize) {
        *self.shared.publishes_before_failure.lock().unwrap() = Some(count);
    }

    pub(crate) fn fail_unsubscribes(&self, fail: bool) {
        *self.shared.unsubscribes_fail.lock().unwrap() = fail;
    }

    /// What every consumer says about itself; `None` never answers.
    pub(crate) fn set_info(&self, info: Option<ConsumerInfo>) {
        *self.shared.info.lock().unwrap() = info;
    }

    pub(crate) fn fail_opens(&self, fail: bool) {
        *self.shared.opens_fail.lock().unwrap() = fail;
    }

    pub(crate) fn unsubscribed(&self) -> Vec<String> {
        self.shared.unsubscribed.lock().unwrap().clone()
    }

    pub(crate) fn fail_answers(&self, fail: bool) {
        *self.shared.answers_fail.lock().unwrap() = fail;
    }

    fn open(
        &self,
        pattern: &str,
        consumer: Option<&str>,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        if *self.shared.opens_fail.lock().unwrap() {
            return Err(EventError::connection("nowhere", "offline"));
        }
        let consumer = consumer.map(str::to_owned);
        let opened = (pattern.to_owned(), consumer, options.clone());
        self.shared.opened.lock().unwrap().push(opened);
        Ok(Box::new(ScriptedSubscription {
            shared: Arc::clone(&self.shared),
            yielded: false,
        }))
    }
}

pub(crate) fn offline(operation: &'static str) -> EventError {
    EventError::provider("scripted", operation, "offline")
}

#[async_trait]
impl EventProvider for Scripted {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.publish_with_options(event, &PublishOptions::default())
            .await
    }

    async fn publish_with_options(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        tokio::task::yield_now().await;
        tracing::info!("the script stores an event");
        let mut published = self.shared.published.lock().unwrap();
        let limit = *self.shared.publishes_before_failure.lock().unwrap();
        if limit.is_some_and(|limit| published.len() >= limit) {
            return Err(offline("publish"));
        }
        published.push((event.clone(), options.clone()));
        Ok(published.len() as u64)
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        self.open(filter_subject, None, &SubscribeOptions::default())
    }

    async fn subscribe_with_options(
        &self,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.open(filter_subject, None, options)
    }

    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        self.open(
            filter_subject,
            Some(consumer_name),
            &SubscribeOptions::default(),
        )
    }

    async fn subscribe_durable_with_options(
        &self,
        consumer_name: &str,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.open(filter_subject, Some(consumer_name), options)
    }

    async fn history(&self, _: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let published = self.shared.published.lock().unwrap();
        Ok(published
            .iter()
            .rev()
            .take(limit)
            .map(|(event, _)| event.clone())
            .collect())
    }

    async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
        if *self.shared.unsubscribes_fail.lock().unwrap() {
            return Err(offline("unsubscribe"));
        }
        let mut unsubscribed = self.shared.unsubscribed.lock().unwrap();
        unsubscribed.push(consumer_name.to_owned());
        Ok(())
    }

    async fn consumer_info(&self, _: &str) -> Result<ConsumerInfo> {
        let info = *self.shared.info.lock().unwrap();
        match info {
            Some(info) => Ok(info),
            None => std::future::pending().await,
        }
    }

    async fn info(&self) -> Result<ProviderInfo> {
        Ok(ProviderInfo::new("scripted"))
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        format!("events.{category}.{topic}")
    }

    fn category_subject(&self, category: &str) -> String {
        format!("events.{category}.>")
    }

    fn name(&self) -> &str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}

struct ScriptedSubscription {
    shared: Arc<Shared>,
    /// Kept across calls: a dropped one must lose nothing.
    yielded: bool,
}

#[async_trait]
impl Subscription for ScriptedSubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        match self.next_manual_ack().await? {
            Some(pending) => {
                let received = pending.received.clone();
                pending.ack().await?;
                Ok(Some(received))
            }
            None => Ok(None),
        }
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        match self.next_delivery().await? {
            Some(Delivery::Event(pending)) => Ok(Some(pending)),
            Some(Delivery::Undecodable(message)) => Err(message.terminate().await),
            _ => Ok(None),
        }
    }

    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        if !self.yielded {
            self.yielded = true;
            tokio::task::yield_now().await;
        }
        let delivery = self.shared.deliveries.lock().unwrap().pop();
        match delivery {
            Some(delivery) => {
                self.yielded = false;
                tracing::info!("the script delivers");
                Ok(Some(delivery))
            }
            // More may be added, and nobody would say so.
            None => std::future::pending().await,
        }
    }
}

impl Settle for Shared {
    fn settle(&self, delivery: u64, answer: Answer) -> Settled {
        let failed = *self.answers_fail.lock().unwrap();
        if failed {
            return Settled::Now(Err(offline("answer")));
        }
        tracing::info!("the script takes an answer");
        self.answers.lock().unwrap().push((delivery, answer));
        let later: BoxFuture<'static, Result<()>> = Box::pin(async {
            tokio::task::yield_now().await;
            tracing::info!("the script took an answer");
            Ok(())
        });
        Settled::Later(later)
    }
}

/// A dead-letter handler that fails a number of times before it works.
#[derive(Default)]
pub(crate) struct FailingFirst {
    pub(crate) failures: AtomicUsize,
    pub(crate) letters: Mutex<Vec<DeadLetterEvent>>,
}

impl FailingFirst {
    pub(crate) fn times(failures: usize) -> Arc<Self> {
        Arc::new(Self {
            failures: failures.into(),
            letters: Mutex::default(),
        })
    }
}

#[async_trait]
impl DlqHandler for FailingFirst {
    async fn handle(&self, event: DeadLetterEvent) -> Result<()> {
        let left = |failures: usize| failures.checked_sub(1);
        if self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
            .is_ok()
        {
            return Err(offline("store a dead letter"));
        }
        self.letters.lock().unwrap().push(event);
        Ok(())
    }

    async fn count(&self) -> Result<usize> {
        Ok(self.letters.lock().unwrap().len())
    }

    async fn list(&self, limit: usize) -> Result<Vec<DeadLetterEvent>> {
        let letters = self.letters.lock().unwrap();
        Ok(letters.iter().rev().take(limit).cloned().collect())
    }
}

//! Providers that claim little pass by refusing the rest: the other half of
//! every case.

use std::sync::Arc;

use a3s_event_core::{
    BoxFuture, EventError, Result, async_trait,
    provider::{Answer, Capabilities, EventProvider, PendingEvent, ProviderInfo, Subscription},
    types::{Event, ReceivedEvent},
};
use a3s_event_memory::MemoryProvider;
use a3s_event_testkit::{Clock, Harness, conformance};

/// The nine methods and nothing else, as a first provider is written: events
/// are answered by two callbacks, options are left to the defaults.
struct FirstProvider(MemoryProvider);

struct FirstSubscription(Box<dyn Subscription>);

#[async_trait]
impl EventProvider for FirstProvider {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.0.publish(event).await
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        let subscription = self.0.subscribe(filter_subject).await?;
        Ok(Box::new(FirstSubscription(subscription)))
    }

    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        let subscription = self
            .0
            .subscribe_durable(consumer_name, filter_subject)
            .await?;
        Ok(Box::new(FirstSubscription(subscription)))
    }

    async fn history(&self, filter_subject: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        self.0.history(filter_subject, limit).await
    }

    async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
        self.0.unsubscribe(consumer_name).await
    }

    async fn info(&self) -> Result<ProviderInfo> {
        let info = self.0.info().await?;
        Ok(ProviderInfo::new(self.name())
            .with_messages(info.messages)
            .with_bytes(info.bytes)
            .with_consumers(info.consumers))
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        self.0.build_subject(category, topic)
    }

    fn category_subject(&self, category: &str) -> String {
        self.0.category_subject(category)
    }

    fn name(&self) -> &str {
        "first"
    }

    // Closing is part of the contract, not an option.
    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[async_trait]
impl Subscription for FirstSubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        self.0.next().await
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        let Some(pending) = self.0.next_manual_ack().await? else {
            return Ok(None);
        };
        let (received, ack) = pending.into_parts();
        let nak = ack.clone();
        Ok(Some(PendingEvent::new(
            received,
            move || -> BoxFuture<'static, Result<()>> {
                Box::pin(async move { ack.answer(Answer::Ack).await })
            },
            move || -> BoxFuture<'static, Result<()>> {
                Box::pin(async move { nak.answer(Answer::Nak).await })
            },
        )))
    }

    async fn close(&mut self) -> Result<()> {
        self.0.close().await
    }
}

struct FirstHarness;

#[async_trait]
impl Harness for FirstHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        Arc::new(FirstProvider(MemoryProvider::default()))
    }

    fn clock(&self) -> Clock {
        Clock::Tokio
    }
}

conformance!(first, FirstHarness);

/// No durables and no redelivery: a plain broadcast with a history.
struct BroadcastProvider(FirstProvider);

struct BroadcastSubscription(Box<dyn Subscription>);

#[async_trait]
impl EventProvider for BroadcastProvider {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.0.publish(event).await
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        let subscription = self.0.subscribe(filter_subject).await?;
        Ok(Box::new(BroadcastSubscription(subscription)))
    }

    async fn subscribe_durable(&self, _: &str, _: &str) -> Result<Box<dyn Subscription>> {
        Err(EventError::unsupported("first", "durable consumers"))
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
        self.0.name()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
            .with_durability(false)
            .with_redelivery(false)
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}

#[async_trait]
impl Subscription for BroadcastSubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        self.0.next().await
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        let Some(pending) = self.0.next_manual_ack().await? else {
            return Ok(None);
        };
        let (received, ack) = pending.into_parts();
        Ok(Some(PendingEvent::new(
            received,
            move || -> BoxFuture<'static, Result<()>> {
                Box::pin(async move { ack.answer(Answer::Ack).await })
            },
            || Box::pin(async { Err(EventError::unsupported("first", "nak")) }),
        )))
    }

    async fn close(&mut self) -> Result<()> {
        self.0.close().await
    }
}

struct BroadcastHarness;

#[async_trait]
impl Harness for BroadcastHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        let provider = FirstProvider(MemoryProvider::default());
        Arc::new(BroadcastProvider(provider))
    }

    fn clock(&self) -> Clock {
        Clock::Tokio
    }
}

conformance!(broadcast, BroadcastHarness);

//! Subscribers that change while they are opened.

use std::sync::Arc;

use a3s_event_bus::EventBus;
use a3s_event_core::{
    EventError, Result, async_trait,
    provider::{EventProvider, ProviderInfo, Subscription},
    types::Event,
};
use tokio::sync::Notify;

use crate::support::{Nine, durable, within};

/// Holds back the opening of durables until it is let go.
#[derive(Default)]
struct Slow {
    inner: Nine,
    asked: Notify,
    let_go: Notify,
}

#[async_trait]
impl EventProvider for Slow {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.inner.publish(event).await
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        self.inner.subscribe(filter_subject).await
    }

    async fn subscribe_durable(&self, name: &str, filter: &str) -> Result<Box<dyn Subscription>> {
        self.asked.notify_one();
        self.let_go.notified().await;
        self.inner.subscribe_durable(name, filter).await
    }

    async fn history(&self, filter_subject: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        self.inner.history(filter_subject, limit).await
    }

    async fn unsubscribe(&self, name: &str) -> Result<()> {
        self.inner.unsubscribe(name).await
    }

    async fn info(&self) -> Result<ProviderInfo> {
        self.inner.info().await
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        self.inner.build_subject(category, topic)
    }

    fn category_subject(&self, category: &str) -> String {
        self.inner.category_subject(category)
    }

    fn name(&self) -> &str {
        "slow"
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_is_removed_while_it_is_opened_leaves_no_consumer() {
    let provider = Arc::new(Slow::default());
    let bus = EventBus::from_provider(provider.clone());
    bus.update_subscription(durable("a", &["events.a.>"]))
        .await
        .unwrap();
    let removing = async {
        provider.asked.notified().await;
        bus.remove_subscription("a").await.unwrap();
        provider.let_go.notify_one();
    };
    let (opened, ()) = within(async { tokio::join!(bus.subscribe_as("a"), removing) }).await;

    assert!(matches!(opened, Err(EventError::NotFound { .. })));
    assert_eq!(bus.info().await.unwrap().consumers, 0);
}

//! Implementations that fail, to test what is built on top.

use std::{collections::HashMap, io};

use a3s_event_core::{
    EventError, Result, async_trait,
    dlq::{DeadLetterEvent, DlqHandler},
    provider::{EventProvider, ProviderInfo, Subscription},
    state::StateStore,
    types::{Event, SubscriptionFilter},
};

/// A provider whose backend is never there: every call is
/// [`EventError::Connection`], `health` is `Ok(false)`.
///
/// # Examples
///
/// ```
/// use a3s_event_testkit::{EventProvider, sample_event, stubs::FailingProvider};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let event = sample_event(&FailingProvider, "forex");
/// assert!(FailingProvider.publish(&event).await.unwrap_err().is_retryable());
/// # });
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct FailingProvider;

fn unreachable<T>() -> Result<T> {
    Err(EventError::connection("stub", broken()))
}

fn broken() -> io::Error {
    io::Error::other("a stub always fails")
}

#[async_trait]
impl EventProvider for FailingProvider {
    async fn publish(&self, _event: &Event) -> Result<u64> {
        unreachable()
    }

    async fn subscribe(&self, _filter_subject: &str) -> Result<Box<dyn Subscription>> {
        unreachable()
    }

    async fn subscribe_durable(
        &self,
        _consumer_name: &str,
        _filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        unreachable()
    }

    async fn history(&self, _filter_subject: Option<&str>, _limit: usize) -> Result<Vec<Event>> {
        unreachable()
    }

    async fn unsubscribe(&self, _consumer_name: &str) -> Result<()> {
        unreachable()
    }

    async fn info(&self) -> Result<ProviderInfo> {
        unreachable()
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        format!("events.{category}.{topic}")
    }

    fn category_subject(&self, category: &str) -> String {
        format!("events.{category}.>")
    }

    fn name(&self) -> &str {
        "failing"
    }
}

/// A state store that neither saves nor loads: every call is
/// [`EventError::State`].
#[derive(Debug, Clone, Copy, Default)]
pub struct FailingStateStore;

#[async_trait]
impl StateStore for FailingStateStore {
    async fn save(&self, _subscriptions: &HashMap<String, SubscriptionFilter>) -> Result<()> {
        Err(EventError::state("save", "stub", broken()))
    }

    async fn load(&self) -> Result<HashMap<String, SubscriptionFilter>> {
        Err(EventError::state("load", "stub", broken()))
    }
}

/// A dead-letter handler that stores nothing: every call is
/// [`EventError::Connection`].
#[derive(Debug, Clone, Copy, Default)]
pub struct FailingDlqHandler;

#[async_trait]
impl DlqHandler for FailingDlqHandler {
    async fn handle(&self, _event: DeadLetterEvent) -> Result<()> {
        unreachable()
    }

    async fn count(&self) -> Result<usize> {
        unreachable()
    }

    async fn list(&self, _limit: usize) -> Result<Vec<DeadLetterEvent>> {
        unreachable()
    }
}

//! The specification's custom provider, to the letter. A real one is in
//! `docs/custom-providers.md`.

#![allow(
    clippy::todo,
    unreachable_pub,
    unused_imports,
    unused_variables,
    reason = "the sample is a skeleton"
)]

use serde_json::json;

#[rustfmt::skip]
mod sample {
use a3s_event::provider::{EventProvider, Subscription, PendingEvent, ProviderInfo};
use a3s_event::types::{Event, ReceivedEvent};
use a3s_event::Result;
use async_trait::async_trait;

pub struct RedisProvider { /* ... */ }

#[async_trait]
impl EventProvider for RedisProvider {
    async fn publish(&self, event: &Event) -> Result<u64> {
        // Publish to Redis Streams
        todo!()
    }

    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        // Create Redis consumer group
        todo!()
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        todo!()
    }

    async fn history(
        &self,
        filter_subject: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        todo!()
    }

    async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
        todo!()
    }

    async fn info(&self) -> Result<ProviderInfo> {
        todo!()
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        format!("events.{}.{}", category, topic)
    }

    fn category_subject(&self, category: &str) -> String {
        format!("events.{}.>", category)
    }

    fn name(&self) -> &str {
        "redis"
    }
}
}

#[tokio::test]
async fn the_bus_takes_the_custom_provider() {
    use a3s_event::{EventBus, EventError};

    let bus = EventBus::new(sample::RedisProvider {});
    assert_eq!(bus.provider_name(), "redis");
    assert_eq!(bus.provider().subject_prefix(), "events");

    let refused = bus.publish("no.category", "forex", "", "", json!({})).await;
    assert!(matches!(refused, Err(EventError::InvalidSubject { .. })));
}

impl sample::RedisProvider {
    fn new(_config: ()) -> Self {
        Self {}
    }
}

#[rustfmt::skip]
#[tokio::test]
#[should_panic(expected = "not yet implemented")]
async fn the_bus_publishes_through_the_custom_provider() {
    use a3s_event::EventBus;
    use sample::RedisProvider;

    let (payload, config) = (json!({}), ());
    let sample = async {
let bus = EventBus::new(RedisProvider::new(config));
bus.publish("market", "forex", "Rate change", "source", payload).await?;
        Ok::<(), a3s_event::EventError>(())
    };
    drop(sample.await);
}

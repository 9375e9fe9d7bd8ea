//! Every sample of the specification, to the letter but for
//! `..Default::default()` in a `SubscriptionFilter`.
//!
//! What they print is kept, so that it can be checked.

use std::{cell::RefCell, time::Duration};

use a3s_event_testkit::within;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    static PRINTED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// What the samples mean by `println!`.
macro_rules! println {
    ($($argument:tt)*) => {
        PRINTED.with_borrow_mut(|printed| printed.push(format!($($argument)*)))
    };
}

fn printed() -> Vec<String> {
    PRINTED.with_borrow(Vec::clone)
}

/// Lets others run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, waiting).await;
}

#[rustfmt::skip]
mod basic_usage {
    use super::{PRINTED, printed};

use a3s_event::{EventBus, Event};
use a3s_event::provider::memory::MemoryProvider;

#[tokio::main]
async fn main() -> a3s_event::Result<()> {
    // Create an event bus with any provider
    let bus = EventBus::new(MemoryProvider::default());

    // Publish an event
    let event = bus.publish(
        "market",
        "forex.usd_cny",
        "USD/CNY broke through 7.35",
        "reuters",
        serde_json::json!({"rate": 7.3521}),
    ).await?;

    println!("Published: {}", event.id);

    // Query history
    let events = bus.list_events(Some("market"), 50).await?;
    println!("Market events: {}", events.len());

    Ok(())
}

    #[test]
    fn the_first_sample_publishes_and_queries() {
        main().unwrap();
        let printed = printed();
        assert!(printed[0].starts_with("Published: evt-"));
        assert_eq!(printed[1], "Market events: 1");
        // The sample imports it without use.
        let _: Option<Event> = None;
    }
}

#[rustfmt::skip]
#[test]
fn a_memory_provider_is_configured_by_a_literal() {
use a3s_event::provider::memory::{MemoryProvider, MemoryConfig};

let provider = MemoryProvider::new(MemoryConfig {
    subject_prefix: "events".to_string(),
    max_events: 100_000,
    channel_capacity: 10_000,
});

// Or use defaults
let provider = { drop(provider); MemoryProvider::default() };
    assert!(format!("{provider:?}").contains("events"));
}

#[rustfmt::skip]
#[tokio::test]
async fn the_bus_sample_runs() -> a3s_event::Result<()> {
    let payload = json!({"rate": 7.3521});

use a3s_event::{EventBus, SubscriptionFilter};
use a3s_event::provider::memory::MemoryProvider;

// Create bus with any provider
let bus = EventBus::new(MemoryProvider::default());

// Publish with convenience parameters
let event = bus.publish("market", "forex", "Rate change", "reuters", payload).await?;

// Publish a pre-built event
let seq = bus.publish_event(&event).await?;

// List events (optionally filtered by category)
let events = bus.list_events(Some("market"), 50).await?;

// Get event counts by category
let counts = bus.counts(1000).await?;

// Manage subscriptions
bus.update_subscription(SubscriptionFilter {
    subscriber_id: "analyst".to_string(),
    subjects: vec!["events.market.>".to_string()],
    durable: true,
    ..Default::default()
}).await?;

let subs = bus.create_subscriber("analyst").await?;
    assert_eq!(subs.len(), 1);
bus.remove_subscription("analyst").await?;

// Provider info
let info = bus.info().await?;
println!("{}: {} messages", info.provider, info.messages);

    assert_eq!((seq, events.len(), counts.categories["market"], counts.total), (2, 2, 2, 2));
    assert_eq!(printed(), ["memory: 2 messages"]);
    assert!(bus.list_subscriptions().await.is_empty());
    Ok(())
}

#[rustfmt::skip]
#[tokio::test]
async fn the_provider_sample_runs() -> a3s_event::Result<()> {
    let provider = a3s_event::provider::memory::MemoryProvider::default();
    let event = a3s_event::Event::new("events.market.forex.usd", "market", "", "", json!({}));

use a3s_event::provider::EventProvider;

// All providers implement:
provider.publish(&event).await?;
provider.subscribe("events.market.>").await?;
provider.subscribe_durable("consumer-1", "events.market.>").await?;
provider.history(Some("events.market.>"), 100).await?;
provider.unsubscribe("consumer-1").await?;
provider.info().await?;
provider.build_subject("market", "forex.usd");  // → "events.market.forex.usd"
provider.category_subject("market");             // → "events.market.>"
provider.name();                                 // → "memory" | "nats"

    assert_eq!(provider.build_subject("market", "forex.usd"), "events.market.forex.usd");
    assert_eq!(provider.category_subject("market"), "events.market.>");
    assert_eq!(provider.name(), "memory");
    assert_eq!(provider.info().await?.messages, 1);
    Ok(())
}

#[rustfmt::skip]
#[tokio::test]
async fn the_subscription_sample_acknowledges_by_itself() -> a3s_event::Result<()> {
    use a3s_event::{Event, provider::{EventProvider, memory::MemoryProvider}};

    let provider = MemoryProvider::default();
    let event = Event::new("events.market.forex", "market", "Rate change", "", json!({}));
    provider.publish(&event).await?;

    let sample = async {
// Auto-ack mode
let mut sub = provider.subscribe("events.>").await?;
while let Some(received) = sub.next().await? {
    println!("{}: {}", received.event.id, received.event.summary);
}
        Ok(())
    };
    let closing = async {
        until(|| printed().len() == 1).await;
        provider.close().await
    };
    within(PATIENCE, async { tokio::try_join!(sample, closing) }).await?;
    assert_eq!(printed(), [format!("{}: Rate change", event.id)]);
    Ok(())
}

#[rustfmt::skip]
#[tokio::test]
async fn the_subscription_sample_answers_by_itself() -> a3s_event::Result<()> {
    use a3s_event::{Event, provider::{EventProvider, memory::MemoryProvider}};

    let provider = MemoryProvider::default();
    let event = Event::new("events.market.forex", "market", "Rate change", "", json!({}));
    provider.publish(&event).await?;
    let mut sub = provider.subscribe("events.>").await?;
    let seen = RefCell::new(Vec::new());
    let process = |event: &Event| {
        seen.borrow_mut().push(event.summary.clone());
        if seen.borrow().len() == 1 { Err("later") } else { Ok(()) }
    };

    let sample = async {
// Manual ack mode
while let Some(pending) = sub.next_manual_ack().await? {
    match process(&pending.received.event) {
        Ok(_) => pending.ack().await?,
        Err(_) => pending.nak().await?,  // request redelivery
    }
}
        Ok(())
    };
    let closing = async {
        until(|| seen.borrow().len() == 2).await;
        provider.close().await
    };
    within(PATIENCE, async { tokio::try_join!(sample, closing) }).await?;
    assert_eq!(*seen.borrow(), ["Rate change", "Rate change"]);
    Ok(())
}

#[cfg(feature = "full")]
#[rustfmt::skip]
mod nats {
    /// Connects to a port that nothing here may assume: it compiles.
    #[expect(dead_code, reason = "compiling is the test")]
    async fn connects() -> a3s_event::Result<NatsProvider> {
use a3s_event::provider::nats::{NatsProvider, NatsConfig, StorageType};

let provider = NatsProvider::connect(NatsConfig {
    url: "nats://127.0.0.1:4222".to_string(),
    stream_name: "A3S_EVENTS".to_string(),
    subject_prefix: "events".to_string(),
    storage: StorageType::File,
    max_events: 100_000,
    max_age_secs: 604_800,  // 7 days
    ..Default::default()
}).await?;
        Ok(provider)
    }

use a3s_event::provider::nats::{NatsConfig, NatsProvider, StorageType};

    #[test]
    fn a_nats_configuration_is_a_literal_of_its_defaults() {
let config = NatsConfig {
    url: "nats://127.0.0.1:4222".to_string(),
    token: None,
    credentials_path: None,
    stream_name: "A3S_EVENTS".to_string(),
    subject_prefix: "events".to_string(),
    storage: StorageType::File,
    max_events: 100_000,
    max_age_secs: 604_800,  // 7 days
    max_bytes: 0,            // unlimited
    connect_timeout_secs: 5,
    request_timeout_secs: 10,
};
        assert_eq!(config, NatsConfig::default());
    }
}

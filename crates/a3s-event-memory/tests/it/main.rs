//! What is particular to the memory provider; what every provider must do is in
//! the conformance suite.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod alike;
mod conformance;
mod foreign;
mod lag;
mod model;
mod redelivery;
mod retention;
mod stress;
mod timers;

use std::time::Duration;

use a3s_event_core::{
    provider::{EventProvider, Subscription},
    types::{Event, ReceivedEvent},
};
use a3s_event_memory::{MemoryConfig, MemoryProvider};
use serde_json::json;

fn provider(max_events: usize, channel_capacity: usize) -> MemoryProvider {
    MemoryProvider::new(MemoryConfig {
        max_events,
        channel_capacity,
        ..MemoryConfig::default()
    })
}

fn event(subject: &str, number: u64) -> Event {
    Event::new(subject, "test", "", "tests", json!({ "number": number }))
}

async fn publish(provider: &MemoryProvider, subject: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        provider.publish(&event(subject, number)).await.unwrap();
    }
}

/// Waits for the next event under a deadline.
async fn next(subscription: &mut dyn Subscription) -> ReceivedEvent {
    let next = tokio::time::timeout(Duration::from_secs(600), subscription.next());
    let received = next.await.expect("an event comes").unwrap();
    received.expect("the subscription is open")
}

/// Whether nothing comes, for longer than any deadline of the test.
async fn is_quiet(subscription: &mut dyn Subscription) -> bool {
    let next = tokio::time::timeout(Duration::from_secs(86_400), subscription.next());
    next.await.is_err()
}

use std::sync::Arc;

use a3s_event::{
    Event,
    provider::{
        EventProvider,
        memory::{MemoryConfig, MemoryProvider},
    },
};
use serde_json::{Value, json};

/// How many subjects [`events`] are spread over.
pub const SUBJECTS: usize = 64;

/// The payload of a rate, with four fields.
#[must_use]
pub fn payload() -> Value {
    json!({"rate": 7.3521, "pair": "usd_cny", "bid": 7.35, "ask": 7.3545})
}

/// A payload of about `bytes` of JSON: some fields, and one long text.
#[must_use]
pub fn payload_of(bytes: usize) -> Value {
    let mut payload = payload();
    let rest = bytes.saturating_sub(payload.to_string().len() + r#","text":"""#.len());
    let text = "The quick brown fox jumps over the lazy dog. "
        .chars()
        .cycle();
    payload["text"] = text.take(rest).collect::<String>().into();
    payload
}

/// An event on `subject`.
#[must_use]
pub fn event(subject: &str, payload: Value) -> Event {
    Event::new(
        subject,
        "market",
        "USD/CNY broke through 7.35",
        "reuters",
        payload,
    )
}

/// The subjects of [`events`], which `events.market.>` selects.
#[must_use]
pub fn subjects() -> Vec<String> {
    (0..SUBJECTS)
        .map(|number| format!("events.market.forex.s{number}"))
        .collect()
}

/// Distinct events, as an application publishes them: each of them once.
#[must_use]
pub fn events(count: usize) -> Vec<Event> {
    let subjects = subjects();
    let subject = subjects.iter().cycle();
    subject
        .take(count)
        .map(|subject| event(subject, payload()))
        .collect()
}

/// An empty memory provider, seen as an application sees it. `max_events` of 0
/// is unlimited.
#[must_use]
pub fn memory(max_events: usize) -> Arc<dyn EventProvider> {
    Arc::new(MemoryProvider::new(MemoryConfig {
        max_events,
        ..MemoryConfig::default()
    }))
}

/// A name that nobody has used: for a stream, a prefix or a consumer.
#[must_use]
pub fn unique_name() -> String {
    event("", Value::Null).id.clone()
}

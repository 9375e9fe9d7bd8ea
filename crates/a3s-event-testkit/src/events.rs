use a3s_event_core::{provider::EventProvider, types::Event};
use serde_json::json;

/// The category of all sample events.
pub(crate) const CATEGORY: &str = "sample";

/// An event on `topic` below the prefix of `provider`, in the category `sample`.
///
/// # Examples
///
/// ```
/// use a3s_event_testkit::{sample_event, stubs::FailingProvider};
///
/// let event = sample_event(&FailingProvider, "forex.usd");
/// assert_eq!(event.subject, "events.sample.forex.usd");
/// ```
#[must_use]
pub fn sample_event(provider: &dyn EventProvider, topic: &str) -> Event {
    Event::new(
        provider.build_subject(CATEGORY, topic),
        CATEGORY,
        "a sample",
        "a3s-event-testkit",
        json!({"topic": topic, "rate": 7.3521}),
    )
}

/// A name that no other call returned, of letters and digits: for streams,
/// prefixes and folders of a harness.
///
/// # Examples
///
/// ```
/// assert_ne!(a3s_event_testkit::fresh_name(), a3s_event_testkit::fresh_name());
/// ```
#[must_use]
pub fn fresh_name() -> String {
    let id = Event::new("", "", "", "", serde_json::Value::Null)
        .into_fields()
        .id;
    format!("t{}", id.trim_start_matches("evt-").to_lowercase())
}

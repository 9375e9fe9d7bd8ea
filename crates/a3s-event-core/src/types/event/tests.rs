use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Event, EventFields, MAX_PAYLOAD_DEPTH};
use crate::EventError;

fn sample() -> Event {
    Event::new(
        "events.market.forex",
        "market",
        "summary",
        "reuters",
        json!({"rate": 7.3521}),
    )
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| json!([inner]))
}

#[test]
fn ids_are_prefixed_unique_and_sort_by_time() {
    let ids: Vec<String> = (0..100).map(|_| sample().into_fields().id).collect();
    let distinct: std::collections::HashSet<&String> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert!(
        ids.iter()
            .all(|id| id.starts_with("evt-") && id.len() == 30)
    );
}

#[test]
fn a_clone_shares_the_fields_until_one_handle_writes() {
    let mut event = sample();
    let shared = event.clone();
    assert!(event.ptr_eq(&shared));

    event.payload["rate"] = json!(1);
    event.summary.push('!');

    assert!(!event.ptr_eq(&shared));
    assert_eq!(shared.payload["rate"], 7.3521);
    assert_eq!(shared.summary, "summary");
    assert_ne!(event, shared);
}

#[test]
fn json_is_camel_case_with_every_field() {
    let event = sample().with_metadata("desk", "fx");
    let value = serde_json::to_value(&event).unwrap();
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "category",
            "eventType",
            "id",
            "metadata",
            "payload",
            "source",
            "subject",
            "summary",
            "timestamp",
            "version"
        ]
    );
}

#[test]
fn events_of_older_and_newer_writers_read() {
    let old = r#"{"id":"evt-1","subject":"events.a.b","category":"a","payload":null,
        "summary":"","source":"s","timestamp":5,"addedLater":{"x":1}}"#;
    let event: Event = serde_json::from_str(old).unwrap();
    assert_eq!((event.event_type.as_str(), event.version), ("", 1));
    assert_eq!(event.metadata, HashMap::new());
}

#[test]
fn debug_shows_sizes_and_no_contents() {
    let event = Event::new(
        "events.a.b",
        "a",
        "top secret",
        "s",
        json!({"pin": "4711-0815"}),
    )
    .with_metadata("token", "hunter2");
    for shown in [format!("{event:?}"), format!("{:?}", event.into_fields())] {
        for secret in ["4711", "pin", "hunter2", "top secret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("payload_bytes"), "{shown}");
    }
}

#[test]
fn a_payload_at_the_depth_limit_reads_back_and_a_deeper_one_is_refused() {
    let mut event = sample();
    event.payload = nested(MAX_PAYLOAD_DEPTH);
    assert!(event.measure().is_ok());
    let text = serde_json::to_string(&event).unwrap();
    assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);

    event.payload = nested(MAX_PAYLOAD_DEPTH + 1);
    assert!(matches!(
        event.measure(),
        Err(EventError::InvalidOption { option, .. }) if option == "payload"
    ));
}

#[test]
fn the_measured_size_is_near_the_json_size() {
    let event = sample().with_metadata("desk", "fx");
    let exact = serde_json::to_vec(&event).unwrap().len();
    let measured = event.measure().unwrap();
    assert!(measured.abs_diff(exact) < 40, "{measured} against {exact}");
}

#[test]
fn time_reads_the_timestamp_and_survives_any_value() {
    let mut event = sample();
    event.timestamp = 1_700_000_000_123;
    assert_eq!(event.time().unix_timestamp(), 1_700_000_000);
    assert_eq!(event.time().millisecond(), 123);
    event.timestamp = u64::MAX;
    assert_eq!(event.time().year(), 9999);
}

#[test]
fn fields_convert_both_ways() {
    let event = sample();
    let fields = EventFields::from(event.clone());
    assert_eq!(Event::from(fields), event);
}

proptest! {
    #[test]
    fn numbers_survive_json_bit_for_bit(bits: u64) {
        let number = f64::from_bits(bits);
        prop_assume!(number.is_finite());
        let mut event = sample();
        event.payload = json!(number);
        let text = serde_json::to_string(&event).unwrap();
        let read: Event = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read.payload.as_f64().unwrap().to_bits(), bits);
    }
}

//! Publishing: sequences, visibility, and what a stored event keeps.

use std::{collections::HashSet, slice};

use a3s_event_core::{
    EventError,
    types::{Event, MAX_PAYLOAD_DEPTH, PublishOptions},
};
use serde_json::{Value, json};

use crate::{Case, reader::poll_once, within};

/// "Sequences start at 1 and strictly increase."
pub async fn sequences_start_at_one_and_strictly_increase(case: Case) {
    let mut last = 0;
    for round in 0..5 {
        let sequence = case.publish(["a", "b", "a.b"][round % 3]).await;
        assert!(sequence > last, "{sequence} after {last}");
        assert!(round > 0 || sequence == 1, "the first sequence");
        last = sequence;
    }
}

/// "All methods may be called concurrently": 8 publishers of 25 events get 200
/// sequences, each for the event that history has at that place.
pub async fn concurrent_publishers_get_distinct_sequences(case: Case) {
    let publishers: Vec<_> = (0..8)
        .map(|publisher| {
            let provider = case.shared();
            let topic = format!("publisher.{publisher}");
            let events: Vec<Event> = (0..25).map(|_| case.event(&topic)).collect();
            tokio::spawn(async move {
                let mut stored = Vec::new();
                for event in events {
                    let sequence = provider.publish(&event).await.unwrap();
                    stored.push((sequence, event.id.clone()));
                }
                assert!(
                    stored.is_sorted(),
                    "a publisher's own events keep their order"
                );
                stored
            })
        })
        .collect();
    let mut stored = Vec::new();
    for publisher in publishers {
        stored.extend(publisher.await.unwrap());
    }
    stored.sort_unstable();
    let sequences: Vec<u64> = stored.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (1..=200).collect::<Vec<u64>>());
    let ids: Vec<String> = stored.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, case.stored_ids().await);
}

/// "What `publish` returned is visible to `history` and to every subscription."
pub async fn an_event_is_visible_when_publish_returns(case: Case) {
    let mut early = case.subscribe_all().await;
    for _ in 0..20 {
        let event = case.event("visible");
        let sequence = case.provider.publish(&event).await.unwrap();
        let history = case.provider.history(None, 1).await.unwrap();
        assert_eq!(history, slice::from_ref(&event));
        let received = early.received().await;
        assert_eq!((received.sequence, &received.event), (sequence, &event));
    }
    let mut late = case.subscribe_all().await;
    assert_eq!(late.received().await.sequence, 1);
}

/// An event is stored as it is: every field comes back, from history and from a
/// subscription.
pub async fn every_field_of_the_envelope_survives(case: Case) {
    let mut event = Event::typed(
        case.subject("forex.usd_cny"),
        "sample",
        "forex.rate_change",
        7,
        "USD/CNY broke through 7.35",
        "reuters",
        json!({"rate": 7.3521}),
    )
    .with_metadata("desk", "fx")
    .with_metadata("empty", "");
    event.id = "an-id-of-another-kind".to_owned();
    event.timestamp = 1;
    assert_survives(&case, event).await;
}

/// Texts of an event are free: Unicode, line breaks, quotes, nothing at all.
pub async fn awkward_text_survives_in_every_field(case: Case) {
    for text in [
        "",
        " ",
        "line\r\nbreak",
        "\u{0}\u{7f}\u{200b}",
        "日本 é 😀",
        "\"\\",
    ] {
        let mut event = case.event("text");
        event.summary = text.to_owned();
        event.source = text.to_owned();
        event.event_type = text.to_owned();
        event.payload = json!({text: [text]});
        event.metadata.insert(text.to_owned(), text.to_owned());
        assert_survives(&case, event).await;
    }
}

/// Trace headers travel in the metadata; a malformed or foreign one is kept as
/// it is and never overwritten.
pub async fn trace_context_in_the_metadata_survives(case: Case) {
    for (parent, state) in [
        (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "vendor=value,other=1",
        ),
        ("no trace at all", ""),
        ("00-0\r\nNats-Msg-Id: x", "\u{0}"),
    ] {
        let event = case
            .event("trace")
            .with_metadata("traceparent", parent)
            .with_metadata("tracestate", state);
        assert_survives(&case, event).await;
    }
}

/// The payload is any JSON.
pub async fn every_shape_of_payload_survives(case: Case) {
    for payload in [
        Value::Null,
        json!(true),
        json!(""),
        json!("text"),
        json!([]),
        json!({}),
        json!({"": {"": []}}),
        json!([null, [1, "two", {"three": [false]}]]),
        json!({"encrypted": true, "keyId": "k", "nonce": "n", "ciphertext": "c"}),
    ] {
        assert_survives(&case, with_payload(&case, payload)).await;
    }
}

/// "Payload numbers survive bit for bit."
pub async fn numbers_survive_bit_for_bit(case: Case) {
    let numbers = [
        json!(0),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(9_007_199_254_740_993_u64),
        json!(0.1 + 0.2),
        json!(-0.0),
        json!(1.0),
        json!(f64::MAX),
        json!(f64::MIN_POSITIVE),
        json!(5e-324),
        json!(0.104_729_224_543_163_04),
    ];
    for number in numbers {
        let event = with_payload(&case, json!({"number": number}));
        case.provider.publish(&event).await.unwrap();
        let history = case.provider.history(None, 1).await.unwrap();
        let read = &history[0].payload["number"];
        // `==` on numbers does not tell 0.0 from -0.0, their text does.
        assert_eq!(read.to_string(), number.to_string());
        assert_eq!(read, &number);
    }
}

/// A large event is an event like any other.
pub async fn a_payload_of_200_kib_survives(case: Case) {
    let event = with_payload(&case, json!("é".repeat(100 * 1024)));
    assert_survives(&case, event).await;
}

/// "An event larger than the backend takes is refused at once": with a stated
/// limit, twice of it is refused and half of it taken; without one, a large
/// event is taken.
pub async fn an_event_above_the_limit_is_refused(case: Case) {
    let Some(limit) = case.harness().max_event_bytes() else {
        let event = with_payload(&case, json!("x".repeat(2 * 1024 * 1024)));
        return assert_survives(&case, event).await;
    };
    let event = with_payload(&case, json!("x".repeat(2 * limit)));
    let refused = within(case.patience(), case.provider.publish(&event)).await;
    let Err(EventError::TooLarge {
        event_id,
        size,
        limit: stated,
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(event_id, event.id);
    assert!(
        size > stated && size >= 2 * limit,
        "{size} against {stated}"
    );
    case.assert_nothing_stored().await;
    let event = with_payload(&case, json!("x".repeat(limit / 2)));
    assert_survives(&case, event).await;
}

/// A payload may nest to the documented depth.
pub async fn a_payload_at_the_depth_limit_survives(case: Case) {
    assert_survives(&case, with_payload(&case, nested(MAX_PAYLOAD_DEPTH))).await;
}

/// "Every provider refuses a deeper payload at publish, so that nothing is
/// stored that nobody can read."
pub async fn a_payload_nested_too_deep_is_refused(case: Case) {
    for depth in [MAX_PAYLOAD_DEPTH + 1, 1000] {
        let event = with_payload(&case, nested(depth));
        for refused in [
            case.provider.publish(&event).await,
            case.provider
                .publish_with_options(&event, &PublishOptions::default())
                .await,
        ] {
            assert!(
                matches!(refused, Err(EventError::InvalidOption { .. })),
                "{refused:?}"
            );
        }
    }
    case.assert_nothing_stored().await;
}

/// Only a `msg_id` makes a repeat: the same event, published twice, is stored
/// twice.
pub async fn publishing_an_event_twice_stores_two(case: Case) {
    let event = case.event("twice");
    let first = case.provider.publish(&event).await.unwrap();
    let second = case.provider.publish(&event).await.unwrap();
    assert!(second > first);
    assert_eq!(
        case.stored_ids().await,
        [event.id.clone(), event.id.clone()]
    );
}

/// Default options ask for nothing special.
pub async fn default_options_publish_as_publish_does(case: Case) {
    let event = case.event("plain");
    let options = PublishOptions::default();
    let first = case.provider.publish_with_options(&event, &options).await;
    let second = case.provider.publish_with_options(&event, &options).await;
    assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
    assert_eq!(case.stored_ids().await.len(), 2);
}

/// `timeout_secs` bounds the call and changes nothing about one that is in time.
pub async fn a_publish_within_its_timeout_is_stored(case: Case) {
    let options = PublishOptions::default().with_timeout_secs(5);
    let Some(stored) = case.publish_with("timely", &options).await else {
        return;
    };
    assert_eq!(stored.unwrap(), 1);
    assert_eq!(case.stored_ids().await.len(), 1);
}

/// "A dropped publish may or may not be stored" and "leaves the provider
/// usable": afterwards events are stored in order, each at most once.
pub async fn a_cancelled_publish_leaves_the_provider_usable(case: Case) {
    let mut expected = Vec::new();
    for _ in 0..10 {
        let cancelled = case.event("cancelled");
        drop(poll_once(case.provider.publish(&cancelled)).await);
        let event = case.event("kept");
        within(case.patience(), case.provider.publish(&event))
            .await
            .unwrap();
        expected.push(event.id.clone());
    }
    let stored = case.stored_ids().await;
    let kept: Vec<&String> = stored.iter().filter(|id| expected.contains(id)).collect();
    assert_eq!(kept, expected.iter().collect::<Vec<_>>());
    let distinct: HashSet<&String> = stored.iter().collect();
    assert_eq!(distinct.len(), stored.len());
}

fn with_payload(case: &Case, payload: Value) -> Event {
    let mut event = case.event("payload");
    event.payload = payload;
    event
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(Value::Null, |inner, _| json!([inner]))
}

/// Publishes `event` and reads it back on both ways.
async fn assert_survives(case: &Case, event: Event) {
    let sequence = case.provider.publish(&event).await.unwrap();
    let history = case.provider.history(None, 1).await.unwrap();
    assert!(history == [event.clone()], "history changed {event:?}");
    let mut reader = case.subscribe(&event.subject).await;
    loop {
        let received = reader.received().await;
        if received.sequence == sequence {
            assert!(received.event == event, "delivery changed {event:?}");
            return reader.close().await;
        }
    }
}

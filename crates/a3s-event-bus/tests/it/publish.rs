use a3s_event_bus::EventBus;
use a3s_event_core::{
    EventError,
    provider::Capabilities,
    types::{Event, PublishOptions},
};
use a3s_event_memory::MemoryProvider;
use serde_json::json;

use crate::support::{Nine, Scripted, event, offline};

#[tokio::test]
async fn publish_returns_the_event_that_is_stored() {
    let bus = EventBus::new(MemoryProvider::default());
    let published = bus
        .publish(
            "market",
            "forex.usd_cny",
            "USD/CNY",
            "reuters",
            json!({"rate": 7.3521}),
        )
        .await
        .unwrap();
    assert_eq!(published.subject, "events.market.forex.usd_cny");
    assert_eq!(published.payload["rate"], 7.3521);
    assert_eq!(
        bus.list_events(Some("market"), 10).await.unwrap(),
        [published]
    );
}

#[tokio::test]
async fn publishing_an_event_copies_no_payload() {
    let bus = EventBus::new(MemoryProvider::default());
    let event = event("events.a.b", json!({"large": "x".repeat(10_000)}));
    bus.publish_event(&event).await.unwrap();
    assert!(bus.list_events(None, 1).await.unwrap()[0].ptr_eq(&event));
}

#[tokio::test]
async fn bad_names_are_refused_before_anything_is_sent() {
    let bus = EventBus::new(Nine::default());
    for (category, topic) in [
        ("", "t"),
        ("c", ""),
        ("c.d", "t"),
        ("c", ".t"),
        ("c", "t."),
        ("c", "t..u"),
        ("*", "t"),
        ("c", ">"),
        ("c", "t.*"),
        ("c d", "t"),
        ("c\r\nPUB x 0", "t"),
        ("c", "t\u{0}"),
        ("c", "t\u{2028}u"),
    ] {
        let refused = bus.publish(category, topic, "", "", json!({})).await;
        assert!(
            matches!(refused, Err(EventError::InvalidSubject { .. })),
            "{category:?} {topic:?}"
        );
    }
    assert_eq!(bus.info().await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_pre_built_event_outside_the_prefix_is_refused_for_every_provider() {
    let scripted = Scripted::default();
    for bus in [
        EventBus::new(MemoryProvider::default()),
        EventBus::new(scripted.clone()),
    ] {
        for subject in [
            "other.a.b",
            "events",
            "events.a.>",
            "events..b",
            "events.a\r\nb",
            "",
        ] {
            let refused = bus.publish_event(&event(subject, json!({}))).await;
            assert!(
                matches!(refused, Err(EventError::InvalidSubject { .. })),
                "{subject:?}"
            );
        }
    }
    assert!(scripted.published().is_empty());
}

#[tokio::test]
async fn a_batch_keeps_its_order() {
    let bus = EventBus::new(MemoryProvider::default());
    let events: Vec<Event> = (0..100).map(|n| event("events.a.b", json!(n))).collect();
    let sequences = bus.publish_batch(&events).await.unwrap();
    assert_eq!(sequences, (1..=100).collect::<Vec<u64>>());
    assert_eq!(bus.metrics().snapshot().published, 100);
    assert!(bus.publish_batch(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_with_a_bad_event_sends_nothing() {
    let scripted = Scripted::default();
    let bus = EventBus::new(scripted.clone());
    let events = [event("events.a.b", json!(1)), event("other.a.b", json!(2))];
    let refused = bus.publish_batch(&events).await;
    assert!(matches!(refused, Err(EventError::InvalidSubject { .. })));
    assert!(scripted.published().is_empty());
}

#[tokio::test]
async fn a_batch_that_fails_on_the_way_says_what_is_stored() {
    let scripted = Scripted::default();
    scripted.fail_publishes_after(2);
    let bus = EventBus::new(scripted.clone());
    let events: Vec<Event> = (0..4).map(|n| event("events.a.b", json!(n))).collect();
    let failed = bus.publish_batch(&events).await.unwrap_err();
    let EventError::PartialBatch { stored, source, .. } = failed else {
        panic!("{failed}");
    };
    assert_eq!(stored, [1, 2]);
    assert_eq!(source.kind(), offline("publish").kind());

    let figures = bus.metrics().snapshot();
    assert_eq!(figures.published, 2);
    assert_eq!(figures.publish_errors["provider"], 1);
}

#[tokio::test]
async fn deduplication_stores_an_event_once() {
    let bus = EventBus::builder(MemoryProvider::default())
        .deduplicate(true)
        .build();
    let first = event("events.a.b", json!(1));
    assert_eq!(bus.publish_event(&first).await.unwrap(), 1);
    assert_eq!(bus.publish_event(&first).await.unwrap(), 1);
    let options = PublishOptions::default();
    assert_eq!(
        bus.publish_event_with_options(&first, &options)
            .await
            .unwrap(),
        1
    );

    let batch = [first, event("events.a.b", json!(2))];
    assert_eq!(bus.publish_batch(&batch).await.unwrap(), [1, 2]);
    assert_eq!(bus.publish_batch(&batch).await.unwrap(), [1, 2]);
    assert_eq!(bus.info().await.unwrap().messages, 2);
}

#[tokio::test]
async fn deduplication_leaves_the_callers_id_alone() {
    let scripted = Scripted::claiming(Capabilities::all());
    let bus = EventBus::builder(scripted.clone())
        .deduplicate(true)
        .build();
    let event = event("events.a.b", json!(1));
    let options = PublishOptions::default().with_msg_id("mine");
    bus.publish_event_with_options(&event, &options)
        .await
        .unwrap();
    bus.publish_event(&event).await.unwrap();
    let ids: Vec<_> = scripted
        .published()
        .into_iter()
        .map(|(_, options)| options.msg_id)
        .collect();
    assert_eq!(ids, [Some("mine".to_owned()), Some(event.id.clone())]);
}

#[tokio::test]
async fn deduplication_refuses_an_event_whose_id_cannot_be_one() {
    let bus = EventBus::builder(MemoryProvider::default())
        .deduplicate(true)
        .build();
    for id in ["", "a\r\nb"] {
        let mut bad = event("events.a.b", json!(1));
        bad.id = id.to_owned();
        let batch = [event("events.a.b", json!(2)), bad.clone()];
        let single = bus.publish_event(&bad).await;
        assert!(matches!(single, Err(EventError::InvalidOption { .. })));
        let batched = bus.publish_batch(&batch).await;
        assert!(matches!(batched, Err(EventError::InvalidOption { .. })));
    }
    assert_eq!(bus.info().await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_bus_on_a_shared_provider_sees_what_others_publish() {
    use std::sync::Arc;

    use a3s_event_core::provider::EventProvider;

    let provider: Arc<dyn EventProvider> = Arc::new(MemoryProvider::default());
    let (one, other) = (
        EventBus::from_provider(Arc::clone(&provider)),
        EventBus::new(Arc::clone(&provider)),
    );
    one.publish("a", "b", "", "", json!(1)).await.unwrap();
    assert_eq!(other.counts(10).await.unwrap().total, 1);
    assert_eq!(one.provider_name(), "memory");
    assert!(one.health().await.unwrap());
}

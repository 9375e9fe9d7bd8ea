use a3s_event_bus::EventBus;
use a3s_event_core::EventError;
use a3s_event_memory::MemoryProvider;
use serde_json::{Value, json};

use crate::support::{durable, event, filter, next, publish};

#[tokio::test]
async fn bad_filters_are_refused_and_not_registered() {
    let bus = EventBus::new(MemoryProvider::default());
    for subjects in [
        &[][..],
        &[""],
        &["events.a.>", ""],
        &["events..a"],
        &["events.a*"],
        &["events.>.a"],
        &["events.a b"],
        &["events.a\r\nSUB x 1"],
        &["other.>"],
        &["events"],
    ] {
        let refused = bus.update_subscription(durable("a", subjects)).await;
        assert!(
            matches!(refused, Err(EventError::InvalidSubject { .. })),
            "{subjects:?}"
        );
    }
    let long = "x".repeat(2_000);
    for id in ["", "a\nb", "\u{0}", "$retired a events.a.>", &long] {
        let refused = bus.update_subscription(durable(id, &["events.a.>"])).await;
        assert!(
            matches!(refused, Err(EventError::InvalidOption { .. })),
            "{id:?}"
        );
    }
    assert!(bus.list_subscriptions().await.is_empty());
    assert_eq!(bus.info().await.unwrap().consumers, 0);
}

#[tokio::test]
async fn ids_of_any_script_are_names_of_their_own() {
    let bus = EventBus::new(MemoryProvider::default());
    publish(&bus, "events.a.b").await;
    for id in [
        "acme.eu",
        "acme-eu",
        "acme eu",
        "ACME.EU",
        "株式会社",
        "a/b",
        "a>b",
        "a*",
    ] {
        bus.update_subscription(durable(id, &["events.a.>"]))
            .await
            .unwrap();
        let mut subscription = bus.subscribe_as(id).await.unwrap();
        assert_eq!(next(&mut subscription).await.sequence, 1, "{id}");
        subscription.close().await.unwrap();
    }
    assert_eq!(bus.info().await.unwrap().consumers, 8);
}

#[tokio::test]
async fn consumer_names_do_not_meet() {
    let bus = EventBus::new(MemoryProvider::default());
    for (id, subject) in [
        ("a events.b.>", "events.c.>"),
        ("a", "events.b.>"),
        ("a events.c.>", "events.b.>"),
    ] {
        bus.update_subscription(durable(id, &[subject]))
            .await
            .unwrap();
        bus.create_subscriber(id).await.unwrap();
    }
    assert_eq!(bus.info().await.unwrap().consumers, 3);
}

#[tokio::test]
async fn a_subscriber_that_was_never_registered_is_not_found() {
    let bus = EventBus::new(MemoryProvider::default());
    for id in ["", "nobody", "a\r\nb", "*", "$retired x"] {
        assert!(matches!(
            bus.create_subscriber(id).await.err(),
            Some(EventError::NotFound { .. })
        ));
        assert!(matches!(
            bus.subscribe_as(id).await.err(),
            Some(EventError::NotFound { .. })
        ));
        assert!(bus.get_subscription(id).await.is_none());
        bus.remove_subscription(id).await.unwrap();
    }
}

#[tokio::test]
async fn bad_patterns_are_refused_by_subscribe() {
    let bus = EventBus::new(MemoryProvider::default());
    for pattern in [
        "",
        "events.",
        "events.a*",
        ">.a",
        "other.>",
        "events.a\nb",
        "events.\u{85}",
    ] {
        let refused = bus.subscribe(pattern).await.err();
        assert!(
            matches!(refused, Some(EventError::InvalidSubject { .. })),
            "{pattern:?}"
        );
    }
    assert_eq!(bus.info().await.unwrap().consumers, 0);
    assert!(bus.subscribe(">").await.is_ok());
}

#[tokio::test]
async fn limits_may_be_anything() {
    let bus = EventBus::new(MemoryProvider::default());
    publish(&bus, "events.a.b").await;
    assert!(bus.list_events(None, 0).await.unwrap().is_empty());
    assert_eq!(bus.list_events(None, usize::MAX).await.unwrap().len(), 1);
    assert_eq!(bus.counts(0).await.unwrap().total, 0);
    assert_eq!(bus.counts(usize::MAX).await.unwrap().total, 1);
    for category in ["", "a.b", "*", ">", "a\r\nb", " "] {
        let refused = bus.list_events(Some(category), 10).await;
        assert!(
            matches!(refused, Err(EventError::InvalidSubject { .. })),
            "{category:?}"
        );
    }
}

#[tokio::test]
async fn payloads_of_any_size_and_script_come_back() {
    let bus = EventBus::new(MemoryProvider::default());
    let mut subscription = bus.subscribe("events.>").await.unwrap();
    for payload in [
        Value::Null,
        json!("\u{0}\r\n\u{2028}🦀"),
        json!({"": [[], {}, -0.0, 1e308, u64::MAX]}),
        json!("x".repeat(5_000_000)),
    ] {
        let sent = event("events.größe.日本", payload);
        bus.publish_event(&sent).await.unwrap();
        assert_eq!(next(&mut subscription).await.event, sent);
    }
}

#[tokio::test]
async fn a_payload_that_nobody_could_read_is_refused() {
    let bus = EventBus::new(MemoryProvider::default());
    let mut deep = Value::Null;
    for _ in 0..1_000 {
        deep = Value::Array(vec![deep]);
    }
    let refused = bus.publish_event(&event("events.a.b", deep)).await;
    assert!(matches!(refused, Err(EventError::InvalidOption { .. })));
}

#[tokio::test]
async fn an_update_with_a_bad_filter_leaves_the_old_one() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(filter("a", &["events.a.>"]))
        .await
        .unwrap();
    bus.update_subscription(filter("a", &["events..b"]))
        .await
        .unwrap_err();
    assert_eq!(
        bus.get_subscription("a").await.unwrap().subjects,
        ["events.a.>"]
    );
}

use a3s_event_bus::EventBus;
use a3s_event_core::{EventError, types::PublishOptions};
use a3s_event_memory::MemoryProvider;
use serde_json::json;

use crate::support::{Scripted, at_once, durable, event, next, publish, within};

#[tokio::test]
async fn every_call_on_a_closed_bus_says_so() {
    let mut bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.a.>"]))
        .await
        .unwrap();
    bus.close().await.unwrap();
    bus.close().await.unwrap();

    let event = event("events.a.b", json!(1));
    let options = PublishOptions::default();
    let outcomes = [
        bus.publish("a", "b", "", "", json!(1)).await.err(),
        bus.publish_event(&event).await.err(),
        bus.publish_event_with_options(&event, &options).await.err(),
        bus.publish_batch(&[event]).await.err(),
        bus.publish_batch(&[]).await.err(),
        bus.list_events(None, 1).await.err(),
        bus.counts(1).await.err(),
        bus.info().await.err(),
        bus.health().await.err(),
        bus.subscribe("events.>").await.err(),
        bus.create_subscriber("a").await.err(),
        bus.subscribe_as("a").await.err(),
        bus.update_subscription(durable("b", &["events.b.>"]))
            .await
            .err(),
        bus.remove_subscription("a").await.err(),
        bus.set_state_store(std::sync::Arc::new(NoStore))
            .await
            .err(),
    ];
    for (index, outcome) in outcomes.into_iter().enumerate() {
        assert!(
            matches!(outcome, Some(EventError::Closed { .. })),
            "call {index}: {outcome:?}"
        );
    }
    // What needs no backend still works.
    assert_eq!(bus.list_subscriptions().await.len(), 1);
}

struct NoStore;

#[a3s_event_core::async_trait]
impl a3s_event_core::state::StateStore for NoStore {
    async fn save(
        &self,
        _: &std::collections::HashMap<String, a3s_event_core::types::SubscriptionFilter>,
    ) -> a3s_event_core::Result<()> {
        panic!("a closed bus saves nothing");
    }

    async fn load(
        &self,
    ) -> a3s_event_core::Result<
        std::collections::HashMap<String, a3s_event_core::types::SubscriptionFilter>,
    > {
        panic!("a closed bus loads nothing");
    }
}

#[tokio::test]
async fn open_subscriptions_end_when_the_bus_closes() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    let mut plain = bus.subscribe("events.>").await.unwrap();
    let mut merged = bus.subscribe_as("a").await.unwrap();
    let (plain, merged, ()) = tokio::join!(within(plain.next()), within(merged.next()), async {
        tokio::task::yield_now().await;
        bus.close().await.unwrap();
    });
    assert_eq!(plain.unwrap(), None);
    assert_eq!(merged.unwrap(), None);
}

#[tokio::test]
async fn a_subscription_of_a_provider_without_close_ends_too() {
    let scripted = Scripted::default();
    let bus = EventBus::new(scripted.clone());
    let mut subscription = bus.subscribe("events.>").await.unwrap();
    bus.close().await.unwrap();
    scripted.deliver(event("events.a.b", json!(1)), 1, 1);
    assert_eq!(within(subscription.next()).await.unwrap(), None);
    assert!(
        within(subscription.next_manual_ack())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_closed_subscription_gives_nothing_more() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    publish(&bus, "events.a.b").await;
    for mut subscription in [
        bus.subscribe("events.>").await.unwrap(),
        bus.subscribe_as("a").await.unwrap(),
    ] {
        next(&mut subscription).await;
        // It waits for more when it is closed.
        assert!(at_once(subscription.next()).await.is_none());
        within(subscription.close()).await.unwrap();
        within(subscription.close()).await.unwrap();
        assert_eq!(within(subscription.next()).await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_subscription_gives_unseen_events_to_other_handles_at_once() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    for subject in ["events.a.x", "events.b.x", "events.a.y", "events.b.y"] {
        publish(&bus, subject).await;
    }
    let mut first = bus.subscribe_as("a").await.unwrap();
    next(&mut first).await;
    next(&mut first).await;
    first.close().await.unwrap();

    let mut second = bus.subscribe_as("a").await.unwrap();
    let mut seen: Vec<u64> = Vec::new();
    for _ in 0..3 {
        // All within the ack wait: nothing has to time out first.
        let received = at_once(second.next()).await.unwrap().unwrap().unwrap();
        seen.push(received.sequence);
    }
    seen.sort_unstable();
    // The last one that the first handle took comes again; the one before it is done.
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[1..], [3, 4]);
    assert!(seen[0] <= 2);
}

#[tokio::test]
async fn subscriptions_end_when_the_last_owner_drops_the_bus() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    let mut plain = bus.subscribe("events.>").await.unwrap();
    let mut merged = bus.subscribe_as("a").await.unwrap();
    publish(&bus, "events.a.b").await;
    drop(bus);
    for subscription in [&mut plain, &mut merged] {
        // What is there is read first.
        next(subscription).await;
        assert_eq!(within(subscription.next()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_closed_subscription_of_a_provider_without_close_gives_nothing_more_either() {
    let scripted = Scripted::default();
    let bus = EventBus::new(scripted.clone());
    let mut subscription = bus.subscribe("events.>").await.unwrap();
    subscription.close().await.unwrap();
    scripted.deliver(event("events.a.b", json!(1)), 1, 1);
    assert_eq!(within(subscription.next()).await.unwrap(), None);
    assert!(
        within(subscription.next_manual_ack())
            .await
            .unwrap()
            .is_none()
    );
}

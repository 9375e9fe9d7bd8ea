//! Many at once, through the bus: nothing is lost, doubled or out of order.

use std::{sync::Arc, time::Duration};

use a3s_event::{
    EventBus, SubscriptionFilter,
    provider::{Subscription, memory::MemoryProvider},
};
use a3s_event_testkit::{eventually, within};
use serde_json::json;
use tokio::task::JoinSet;

const PUBLISHERS: usize = 50;
const EVENTS_EACH: usize = 40;
const TOTAL: usize = PUBLISHERS * EVENTS_EACH;
const CATEGORIES: usize = 5;
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads `count` events, in the order of the stream, and then nothing more.
async fn read(mut subscription: Box<dyn Subscription>, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    let mut last = 0;
    for _ in 0..count {
        let received = subscription.next().await.unwrap().unwrap();
        assert!(
            received.sequence > last,
            "{} after {last}",
            received.sequence
        );
        assert_eq!(received.num_delivered, 1);
        last = received.sequence;
        ids.push(received.event.id.clone());
    }
    assert!(subscription.next().await.unwrap().is_none());
    ids
}

/// Reads and answers until the bus closes.
async fn work(mut subscription: Box<dyn Subscription>) -> Vec<String> {
    let mut ids = Vec::new();
    while let Some(pending) = subscription.next_manual_ack().await.unwrap() {
        ids.push(pending.received.event.id.clone());
        pending.ack().await.unwrap();
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_publishers_and_twenty_readers_agree_on_every_event() {
    let bus = Arc::new(EventBus::new(MemoryProvider::default()));
    let pool = SubscriptionFilter {
        subscriber_id: "pool".to_string(),
        subjects: vec!["events.>".to_string()],
        durable: true,
        ..Default::default()
    };
    bus.update_subscription(pool).await.unwrap();

    // Ten readers of everything, five of a category each, and five that share one position.
    let (mut all, mut some, mut shared) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for _ in 0..10 {
        all.spawn(read(bus.subscribe("events.>").await.unwrap(), TOTAL));
    }
    for category in 0..CATEGORIES {
        let pattern = format!("events.c{category}.>");
        some.spawn(read(
            bus.subscribe(&pattern).await.unwrap(),
            TOTAL / CATEGORIES,
        ));
    }
    for _ in 0..5 {
        shared.spawn(work(bus.subscribe_as("pool").await.unwrap()));
    }

    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        publishers.spawn(publish(Arc::clone(&bus), publisher));
    }
    let published = within(PATIENCE, publishers.join_all()).await.concat();
    let answers = (10 + 1 + 1) * TOTAL as u64;
    let metrics = bus.metrics();
    eventually(PATIENCE, async || metrics.snapshot().acked >= answers).await;

    let counts = bus.counts(usize::MAX).await.unwrap();
    assert_eq!(counts.total, TOTAL as u64);
    for category in 0..CATEGORIES {
        let count = counts.categories[&format!("c{category}")];
        assert_eq!(count, (TOTAL / CATEGORIES) as u64);
    }
    let mut history = bus.list_events(None, usize::MAX).await.unwrap();
    history.reverse();
    let order: Vec<String> = history.iter().map(|event| event.id.clone()).collect();
    assert_eq!(sorted(order.clone()), sorted(published));

    bus.close().await.unwrap();
    for seen in within(PATIENCE, all.join_all()).await {
        assert_eq!(seen, order);
    }
    let by_category = within(PATIENCE, some.join_all()).await.concat();
    assert_eq!(sorted(by_category), sorted(order.clone()));
    let worked = within(PATIENCE, shared.join_all()).await.concat();
    assert_eq!(sorted(worked), sorted(order));

    let figures = bus.metrics().snapshot();
    assert_eq!(figures.published, TOTAL as u64);
    assert_eq!((figures.received, figures.acked), (answers, answers));
    assert_eq!((figures.redelivered, figures.unanswered), (0, 0));
}

async fn publish(bus: Arc<EventBus>, publisher: usize) -> Vec<String> {
    let category = format!("c{}", publisher % CATEGORIES);
    let topic = format!("publisher_{publisher}");
    let mut ids = Vec::with_capacity(EVENTS_EACH);
    for number in 0..EVENTS_EACH {
        let payload = json!({ "number": number });
        let event = bus.publish(&category, &topic, "", "stress", payload).await;
        ids.push(event.unwrap().id.clone());
    }
    ids
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort_unstable();
    ids
}

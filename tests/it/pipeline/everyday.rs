//! What every application does: publish, read, query, share, close.

use std::{collections::HashSet, sync::Arc};

use a3s_event::{Event, EventBus, EventError, types::PublishOptions};
use a3s_event_testkit::within;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    stage::Stage,
    support::{PATIENCE, durable, event, next, next_pending, read_until, settled},
};

cases! {
    what_is_published_is_in_history_and_counts
    a_repeat_is_stored_once
    a_wrong_expected_sequence_is_a_conflict
    fifty_publishers_and_five_workers_agree_on_every_event
    a_removed_subject_goes_with_its_last_event
    a_closed_bus_ends_its_readers_and_refuses
}

async fn bus(stage: &Stage) -> EventBus {
    EventBus::from_provider(stage.process().await)
}

async fn what_is_published_is_in_history_and_counts(stage: Stage) {
    let bus = bus(&stage).await;
    let mut published = Vec::new();
    for (category, topic) in [
        ("market", "forex.usd"),
        ("system", "up"),
        ("market", "metal"),
    ] {
        let event = bus
            .publish(category, topic, topic, "test", json!({"topic": topic}))
            .await;
        published.push(event.unwrap());
    }
    let [dollar, _, metal] = &published[..] else {
        unreachable!("three were published");
    };
    // Another process sees the same.
    let other = EventBus::from_provider(stage.process().await);
    let market = other.list_events(Some("market"), 50).await.unwrap();
    assert_eq!(market, [metal.clone(), dollar.clone()]);
    let counts = other.counts(1000).await.unwrap();
    assert_eq!(
        (counts.categories["market"], counts.categories["system"]),
        (2, 1)
    );
    assert_eq!((counts.total, other.info().await.unwrap().messages), (3, 3));
    assert!(other.health().await.unwrap());
}

async fn a_repeat_is_stored_once(stage: Stage) {
    let bus = EventBus::builder(stage.process().await)
        .deduplicate(true)
        .build();
    let event = event(&stage, "market.forex", json!({}));
    for _ in 0..3 {
        assert_eq!(bus.publish_event(&event).await.unwrap(), 1);
    }
    assert_eq!(bus.info().await.unwrap().messages, 1);
}

async fn a_wrong_expected_sequence_is_a_conflict(stage: Stage) {
    let bus = bus(&stage).await;
    let event = event(&stage, "market.forex", json!({}));
    let publish = async |sequence| {
        let options = PublishOptions::default().with_expected_sequence(sequence);
        bus.publish_event_with_options(&event, &options).await
    };
    assert_eq!(publish(0).await.unwrap(), 1);
    let Err(EventError::Conflict {
        expected, actual, ..
    }) = publish(0).await
    else {
        panic!("the stream holds an event");
    };
    assert_eq!((expected, actual), (0, 1));
    assert_eq!(publish(1).await.unwrap(), 2);
}

async fn fifty_publishers_and_five_workers_agree_on_every_event(stage: Stage) {
    const PUBLISHERS: usize = 50;
    const EACH: usize = 10;

    let bus = Arc::new(bus(&stage).await);
    bus.update_subscription(durable(&stage, "pool", &["market.>"]))
        .await
        .unwrap();
    let mut workers = JoinSet::new();
    for _ in 0..5 {
        let mut worker = bus.subscribe_as("pool").await.unwrap();
        workers.spawn(async move {
            let mut ids = Vec::new();
            while let Some(pending) = worker.next_manual_ack().await.unwrap() {
                ids.push(pending.received.event.id.clone());
                pending.ack().await.unwrap();
            }
            ids
        });
    }
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let bus = Arc::clone(&bus);
        publishers.spawn(async move {
            let mut ids = Vec::new();
            for number in 0..EACH {
                let topic = format!("publisher_{publisher}");
                let payload = json!({"number": number});
                let event: Event = bus
                    .publish("market", &topic, "", "test", payload)
                    .await
                    .unwrap();
                ids.push(event.id.clone());
            }
            ids
        });
    }
    let published = within(PATIENCE, publishers.join_all()).await.concat();
    settled(&bus, &format!("pool {}", stage.below("market.>"))).await;
    assert_eq!(
        bus.counts(10_000).await.unwrap().total,
        (PUBLISHERS * EACH) as u64
    );
    bus.close().await.unwrap();

    let worked = within(PATIENCE, workers.join_all()).await.concat();
    assert_eq!(worked.len(), PUBLISHERS * EACH);
    let published: HashSet<String> = published.into_iter().collect();
    assert_eq!(worked.into_iter().collect::<HashSet<_>>(), published);
}

/// The question whether it is drained does not overtake the acknowledgement of
/// the last event there.
async fn a_removed_subject_goes_with_its_last_event(stage: Stage) {
    let bus = bus(&stage).await;
    let filter = durable(&stage, "reader", &["market.forex", "market.metal"]);
    bus.update_subscription(filter).await.unwrap();
    bus.publish_event(&event(&stage, "market.metal", json!("gold")))
        .await
        .unwrap();
    let mut reader = bus.subscribe_as("reader").await.unwrap();
    let gold = next_pending(&mut reader).await;
    let filter = durable(&stage, "reader", &["market.forex"]);
    bus.update_subscription(filter).await.unwrap();
    gold.nak().await.unwrap();

    let gold = next_pending(&mut reader).await;
    assert_eq!(
        (gold.received.sequence, gold.received.num_delivered),
        (1, 2)
    );
    bus.publish_event(&event(&stage, "market.forex", json!("dollar")))
        .await
        .unwrap();
    gold.ack().await.unwrap();
    assert_eq!(next(&mut reader).await.sequence, 2);
    read_until(&mut reader, async || {
        bus.info().await.unwrap().consumers == 1
    })
    .await;
}

async fn a_closed_bus_ends_its_readers_and_refuses(stage: Stage) {
    let bus = bus(&stage).await;
    let mut reader = bus.subscribe(&stage.below(">")).await.unwrap();
    let waiting = tokio::spawn(async move { reader.next().await });
    for _ in 0..2 {
        bus.close().await.unwrap();
    }
    assert!(within(PATIENCE, waiting).await.unwrap().unwrap().is_none());
    let refused = bus.publish("market", "forex", "", "test", json!({})).await;
    assert!(matches!(refused, Err(EventError::Closed { .. })));
    assert!(matches!(bus.health().await, Err(EventError::Closed { .. })));
}

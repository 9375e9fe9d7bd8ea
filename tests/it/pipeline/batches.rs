//! Many events in one call.

use std::sync::Arc;

use a3s_event::{Event, EventBus, EventError, crypto::EncryptedPayload};
use serde_json::json;

use super::{
    stage::{MAX_EVENT_BYTES, Stage},
    support::{at_rest, durable, encrypting, event, next_pending, settled},
};

cases! {
    an_encrypted_batch_keeps_its_order
    a_member_that_is_too_large_is_refused_before_anything_is_sent
    a_deduplicated_batch_says_what_is_stored_and_is_repeated_as_a_whole
    a_member_that_only_its_envelope_makes_too_large_is_refused_before_anything_is_sent
}

/// More than a provider keeps in flight.
const MANY: u64 = 600;

async fn an_encrypted_batch_keeps_its_order(stage: Stage) {
    let writer = encrypting(&stage, "key-1").await;
    let events: Vec<Event> = (0..MANY)
        .map(|number| event(&stage, "orders.placed", json!({ "number": number })))
        .collect();
    let sequences = writer.publish_batch(&events).await.unwrap();
    assert_eq!(sequences, (1..=MANY).collect::<Vec<u64>>());
    let stored = at_rest(writer.provider()).await;
    assert!(EncryptedPayload::is_encrypted(&stored.payload));

    let bus = encrypting(&stage, "key-1").await;
    let filter = durable(&stage, "reader", &["orders.>"]);
    bus.update_subscription(filter).await.unwrap();
    let mut subscription = bus.subscribe_as("reader").await.unwrap();
    for (sent, sequence) in events.iter().zip(1..) {
        let pending = next_pending(&mut subscription).await;
        assert_eq!(pending.received.sequence, sequence);
        assert_eq!(pending.received.event, *sent);
        pending.ack().await.unwrap();
    }
    let consumer = format!("reader {}", stage.below("orders.>"));
    settled(&bus, &consumer).await;
    let mut history = bus.list_events(None, usize::MAX).await.unwrap();
    history.reverse();
    assert_eq!(history, events);
}

/// Publishes a batch with one large event in the middle, of which nothing may
/// be stored.
async fn refused(bus: &EventBus, stage: &Stage, bytes: usize) {
    let small = event(stage, "orders.placed", json!({"number": 1}));
    let large = event(stage, "orders.placed", json!("x".repeat(bytes)));
    let batch = bus.publish_batch(&[small.clone(), large, small]).await;
    let Err(EventError::PartialBatch { stored, source, .. }) = batch else {
        panic!("{batch:?}");
    };
    assert!(stored.is_empty(), "{stored:?}");
    let too_large = *source;
    let EventError::TooLarge { size, limit, .. } = too_large else {
        panic!("{too_large}");
    };
    assert!(
        size > limit && limit == MAX_EVENT_BYTES,
        "{size} of {limit}"
    );
    assert_eq!(bus.info().await.unwrap().messages, 0);
}

async fn a_member_that_is_too_large_is_refused_before_anything_is_sent(stage: Stage) {
    let bus = EventBus::from_provider(stage.process().await);
    refused(&bus, &stage, MAX_EVENT_BYTES).await;
}

async fn a_member_that_only_its_envelope_makes_too_large_is_refused_before_anything_is_sent(
    stage: Stage,
) {
    // An envelope is a third larger than what is in it.
    let bytes = MAX_EVENT_BYTES * 9 / 10;
    let bus = encrypting(&stage, "key-1").await;
    refused(&bus, &stage, bytes).await;

    let plain = EventBus::from_provider(Arc::clone(&bus.provider_arc()));
    let fits = event(&stage, "orders.placed", json!("x".repeat(bytes)));
    assert_eq!(plain.publish_event(&fits).await.unwrap(), 1);
}

async fn a_deduplicated_batch_says_what_is_stored_and_is_repeated_as_a_whole(stage: Stage) {
    let provider = stage.process().await;
    let bus = EventBus::builder(provider).deduplicate(true).build();
    let small = |number: u64| event(&stage, "orders.placed", json!({ "number": number }));
    let mut batch = [small(1), small(2), small(3)];
    batch[1].payload = json!("x".repeat(MAX_EVENT_BYTES));
    let outcome = bus.publish_batch(&batch).await;
    let Err(EventError::PartialBatch { stored, source, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(matches!(*source, EventError::TooLarge { .. }));
    assert_eq!(stored, [1]);
    assert_eq!(bus.info().await.unwrap().messages, 1);

    batch[1].payload = json!({"number": 2});
    assert_eq!(bus.publish_batch(&batch).await.unwrap(), [1, 2, 3]);
    batch.reverse();
    assert_eq!(bus.list_events(None, 10).await.unwrap(), batch);
}

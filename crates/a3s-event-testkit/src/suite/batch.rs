//! Publishing many at once.

use a3s_event_core::{EventError, types::Event};
use serde_json::json;

use crate::Case;

/// "Publishes events in order and returns their sequences in that order."
pub async fn a_batch_is_stored_in_its_order(case: Case) {
    let events: Vec<Event> = (0..300)
        .map(|number| case.event(&format!("batch.{}", number % 7)))
        .collect();
    let sequences = case.provider.publish_batch(&events).await.unwrap();
    assert_eq!(sequences, (1..=300).collect::<Vec<u64>>());
    let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
    assert_eq!(case.stored_ids().await, ids);
}

/// A batch goes on where the stream is.
pub async fn a_batch_follows_what_is_stored(case: Case) {
    case.publish("before").await;
    let events = [case.event("one"), case.event("two")];
    let sequences = case.provider.publish_batch(&events).await.unwrap();
    assert_eq!(sequences, [2, 3]);
    assert_eq!(case.publish("after").await, 4);
}

/// Nothing asked, nothing done.
pub async fn an_empty_batch_stores_nothing(case: Case) {
    let sequences = case.provider.publish_batch(&[]).await.unwrap();
    assert_eq!(sequences, [] as [u64; 0]);
    case.assert_nothing_stored().await;
}

/// Far more events than a window of unacknowledged ones holds.
pub async fn a_long_batch_is_stored_whole(case: Case) {
    let sequences = case.publish_many("long", 3000).await;
    assert_eq!(sequences, (1..=3000).collect::<Vec<u64>>());
    assert_eq!(case.provider.info().await.unwrap().messages, 3000);
}

/// "On failure tells which prefix is stored", and stores exactly that.
pub async fn an_invalid_member_reports_the_stored_prefix(case: Case) {
    for position in [0, 3, 5] {
        let case = case.another().await;
        let mut events: Vec<Event> = (0..6).map(|_| case.event("member")).collect();
        events[position].subject = case.subject("wild.*");
        let error = case.provider.publish_batch(&events).await.unwrap_err();
        let reason = assert_stored_prefix(&case, &events, position, error).await;
        assert!(
            matches!(reason, EventError::InvalidSubject { .. }),
            "{reason:?}"
        );
    }
}

/// A member that is too large ends the batch as any other does; without a
/// limit a payload that nests too deep is the one that no provider takes.
pub async fn an_unacceptable_member_reports_the_stored_prefix(case: Case) {
    let mut events: Vec<Event> = (0..4).map(|_| case.event("member")).collect();
    events[2].payload = match case.harness().max_event_bytes() {
        Some(limit) => json!("x".repeat(2 * limit)),
        None => (0..200).fold(json!(null), |inner, _| json!([inner])),
    };
    let error = case.provider.publish_batch(&events).await.unwrap_err();
    let reason = assert_stored_prefix(&case, &events, 2, error).await;
    assert!(
        matches!(
            reason,
            EventError::TooLarge { .. } | EventError::InvalidOption { .. }
        ),
        "{reason:?}"
    );
}

/// Batches of several publishers are stored whole, each in its order.
pub async fn concurrent_batches_keep_their_order(case: Case) {
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let provider = case.shared();
            let topic = format!("publisher.{publisher}");
            let events: Vec<Event> = (0..200).map(|_| case.event(&topic)).collect();
            tokio::spawn(async move {
                let sequences = provider.publish_batch(&events).await.unwrap();
                assert!(sequences.is_sorted(), "in the order of the stream");
                let ids = events.iter().map(|event| event.id.clone());
                sequences.into_iter().zip(ids).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut stored = Vec::new();
    for publisher in publishers {
        stored.extend(publisher.await.unwrap());
    }
    stored.sort_unstable();
    let ids: Vec<String> = stored.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, case.stored_ids().await);
}

/// Takes the error of a batch apart: at most the events before `position` are
/// stored, and what it reports is what is stored.
async fn assert_stored_prefix(
    case: &Case,
    events: &[Event],
    position: usize,
    error: EventError,
) -> EventError {
    let EventError::PartialBatch { stored, source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(stored.len() <= position, "{stored:?}");
    let ids: Vec<&String> = events[..stored.len()]
        .iter()
        .map(|event| &event.id)
        .collect();
    assert_eq!(case.stored_ids().await.iter().collect::<Vec<_>>(), ids);
    let expected: Vec<u64> = (1..).take(stored.len()).collect();
    assert_eq!(stored, expected);
    *source
}

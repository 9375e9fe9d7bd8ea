//! What a provider says about itself.

use std::time::Duration;

use a3s_event_core::{EventError, provider::ConsumerInfo, types::SubscribeOptions};
use serde_json::json;

use crate::{Case, Limits, eventually, within};

/// A new storage is empty, and its provider healthy.
pub async fn a_fresh_provider_is_empty_and_healthy(case: Case) {
    case.assert_nothing_stored().await;
    let info = case.provider.info().await.unwrap();
    assert_eq!((info.messages, info.bytes, info.consumers), (0, 0, 0));
    assert!(case.provider.health().await.unwrap());
}

/// Names are short, in lower case, and the same everywhere.
pub async fn the_name_is_the_same_everywhere(case: Case) {
    let name = case.provider.name();
    assert_eq!(case.provider.info().await.unwrap().provider, name);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    assert!(!name.is_empty() && name.chars().all(plain), "{name}");
}

/// `messages` counts what is retained.
pub async fn messages_count_what_is_retained(case: Case) {
    for expected in 1..=5 {
        case.publish("event").await;
        assert_eq!(case.provider.info().await.unwrap().messages, expected);
    }
    let mut reader = case.subscribe_all().await;
    for _ in 0..5 {
        reader.acknowledge().await;
    }
    let messages = case.provider.info().await.unwrap().messages;
    assert_eq!(messages, 5, "reading removes nothing");
}

/// `bytes` grows with what is stored, in proportion.
pub async fn bytes_grow_with_what_is_stored(case: Case) {
    case.publish("small").await;
    let small = case.provider.info().await.unwrap().bytes;
    assert!(small > 0);
    let mut event = case.event("large");
    event.payload = json!("x".repeat(10_000));
    case.provider.publish(&event).await.unwrap();
    let both = case.provider.info().await.unwrap().bytes;
    assert!(both - small >= 5_000, "from {small} to {both}");
    case.provider.publish(&event).await.unwrap();
    let three = case.provider.info().await.unwrap().bytes;
    let (first, second) = (both - small, three - both);
    assert!(first.abs_diff(second) < 100, "{first} and {second}");
}

/// `bytes` shrinks when retention removes; where the harness cannot make a
/// stream small, nothing is removed.
pub async fn bytes_shrink_with_what_is_evicted(case: Case) {
    let limits = Limits::default().with_max_events(2);
    let small = case.limited(limits).await;
    let evicts = small.is_some();
    let case = small.unwrap_or(case);
    let mut event = case.event("large");
    event.payload = json!("x".repeat(10_000));
    case.provider.publish(&event).await.unwrap();
    let before = case.provider.info().await.unwrap().bytes;
    case.publish_many("small", 2).await;
    let after = case.provider.info().await.unwrap();
    assert_eq!(after.messages, if evicts { 2 } else { 3 });
    assert_eq!(
        after.bytes < before,
        evicts,
        "{} after {before}",
        after.bytes
    );
}

/// `consumers` counts durable consumers and open ephemeral subscriptions.
pub async fn consumers_count_durables_and_open_subscriptions(case: Case) {
    let mut one = case.subscribe_all().await;
    let mut other = case.subscribe_all().await;
    case.settles_at_consumers(2).await;
    let options = SubscribeOptions::default();
    let durables = usize::from(case.durable("reader", &options).await.is_some());
    case.settles_at_consumers(2 + durables).await;
    one.close().await;
    case.settles_at_consumers(1 + durables).await;
    other.close().await;
    case.settles_at_consumers(durables).await;
    case.provider.unsubscribe("reader").await.unwrap();
    case.settles_at_consumers(0).await;
}

/// `consumer_info` tells how far a durable is behind, "refused events that wait
/// for their next delivery included"; or it cannot tell.
pub async fn consumer_info_tells_what_is_left(case: Case) {
    let Some(mut reader) = case.durable("reader", &case.on_demand()).await else {
        return;
    };
    case.publish_many("event", 5).await;
    if assert_left(&case, 5, 0).await.is_none() {
        return;
    }
    let mut taken = reader.take(3).await;
    assert_left(&case, 2, 3).await;
    taken.remove(0).ack().await.unwrap();
    assert_left(&case, 2, 2).await;
    if case.claims().nak_delay {
        let delay = Duration::from_secs(20);
        taken.remove(0).nak_after(delay).await.unwrap();
        assert_left(&case, 2, 2).await;
    }
    reader.close().await;
    drop(reader);
    assert_left(&case, 2, 2).await;
}

/// Waits until so much is left; `None` where the provider cannot tell.
async fn assert_left(case: &Case, pending: u64, unanswered: u64) -> Option<()> {
    match case.provider.consumer_info("reader").await {
        Err(EventError::Unsupported { .. }) => return None,
        outcome => drop(outcome.unwrap()),
    }
    // An answer is on its way when `ack` returns.
    eventually(case.patience(), || async {
        let left = case.provider.consumer_info("reader").await.unwrap();
        left == ConsumerInfo::new(pending, unanswered)
    })
    .await;
    Some(())
}

/// A durable that does not exist is not found, or the provider cannot tell.
pub async fn consumer_info_of_an_unknown_name_is_not_found(case: Case) {
    for name in ["never", "", "a\r\nb"] {
        let outcome = case.provider.consumer_info(name).await;
        let valid = match &outcome {
            Err(EventError::NotFound { .. } | EventError::Unsupported { .. }) => true,
            Err(EventError::InvalidOption { .. }) => name != "never",
            _ => false,
        };
        assert!(valid, "{name:?}: {outcome:?}");
    }
    assert_eq!(case.consumers().await, 0);
}

/// Asking is quick and may be done by many.
pub async fn info_and_health_may_be_asked_concurrently(case: Case) {
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let provider = case.shared();
            tokio::spawn(async move {
                assert!(provider.health().await.unwrap());
                provider.info().await.unwrap().messages
            })
        })
        .collect();
    case.publish("event").await;
    for answer in asking {
        assert!(within(case.patience(), answer).await.unwrap() <= 1);
    }
}

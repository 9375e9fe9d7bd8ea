//! "Retention wins over delivery": what is evicted is gone for everybody. Where
//! the harness cannot make a stream small, nothing is evicted and all of it
//! comes.

use std::time::Duration;

use a3s_event_core::types::SubscribeOptions;

use crate::{Case, Limits, Reader};

const RETAINED: u64 = 5;

/// A stream that retains five events and a reader of it, and whether it does.
async fn small(case: Case) -> (Case, bool) {
    let limits = Limits::default().with_max_events(RETAINED);
    match case.limited(limits).await {
        Some(small) => (small, true),
        None => (case, false),
    }
}

/// The oldest goes first, from history and from the count.
pub async fn the_oldest_event_is_evicted(case: Case) {
    let (case, evicts) = small(case).await;
    let events: Vec<_> = (0..8).map(|_| case.event("event")).collect();
    for (count, event) in (1..).zip(&events) {
        case.provider.publish(event).await.unwrap();
        let expected = if evicts { RETAINED.min(count) } else { count };
        assert_eq!(case.provider.info().await.unwrap().messages, expected);
    }
    let kept = if evicts { &events[3..] } else { &events[..] };
    let ids: Vec<&String> = kept.iter().map(|event| &event.id).collect();
    assert_eq!(case.stored_ids().await.iter().collect::<Vec<_>>(), ids);
}

/// Eviction does not renumber.
pub async fn sequences_go_on_after_eviction(case: Case) {
    let (case, evicts) = small(case).await;
    let sequences = case.publish_many("event", 20).await;
    assert_eq!(sequences, (1..=20).collect::<Vec<_>>());
    let mut reader = case.subscribe_all().await;
    let first = if evicts { 16 } else { 1 };
    for expected in first..=20 {
        assert_eq!(reader.received().await.sequence, expected);
    }
    assert_eq!(case.publish("event").await, 21);
}

/// Evicted events are not delivered to a reader that lags: it goes on with what
/// is retained.
pub async fn evicted_events_are_not_delivered(case: Case) {
    let (case, evicts) = small(case).await;
    let Some(mut reader) = case.ephemeral(&case.on_demand()).await else {
        return;
    };
    case.publish("event").await;
    assert_eq!(reader.acknowledge().await, 1);
    case.publish_many("event", 20).await;
    let first = if evicts { 17 } else { 2 };
    for expected in first..=21 {
        assert_eq!(reader.received().await.sequence, expected);
    }
    reader.nothing().await;
}

/// "Where a provider sees the stream's first sequence pass a subscriber's
/// position, it counts the gap."
pub async fn the_gap_is_counted(case: Case) {
    let (case, evicts) = small(case).await;
    let Some(mut reader) = case.ephemeral(&case.on_demand()).await else {
        return;
    };
    case.publish("event").await;
    assert_eq!(reader.acknowledge().await, 1);
    assert_eq!(reader.subscription.missed(), 0);
    case.publish_many("event", 20).await;
    reader.received().await;
    let gap = if evicts && case.harness().counts_missed() {
        15
    } else {
        0
    };
    assert_eq!(reader.subscription.missed(), gap);
}

/// Unanswered events that are evicted are not delivered again.
pub async fn evicted_events_are_not_redelivered(case: Case) {
    let (case, evicts) = small(case).await;
    let options = case.on_demand().with_ack_wait_secs(1);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    case.publish_many("event", 3).await;
    drop(reader.take(3).await);
    case.publish_many("event", 6).await;
    // Retained: 5 to 9. Those of 1 to 3 that are retained expired meanwhile.
    case.pass(Duration::from_millis(1500)).await;
    let expected: &[u64] = if evicts {
        &[5, 6, 7, 8, 9]
    } else {
        &[1, 2, 3, 4, 5, 6, 7, 8, 9]
    };
    assert_acknowledged(&mut reader, expected).await;
    reader.nothing().await;
}

/// "Answers to them succeed", whatever they are, and do nothing.
pub async fn answers_to_evicted_events_are_ok(case: Case) {
    if !case.redelivers().await {
        return;
    }
    let (case, evicts) = small(case).await;
    let Some(mut reader) = case.ephemeral(&case.on_demand()).await else {
        return;
    };
    case.publish_many("event", 5).await;
    let mut taken = reader.take(5).await;
    case.publish_many("event", RETAINED as usize).await;
    taken.remove(0).ack().await.unwrap();
    taken.remove(0).ack_confirmed().await.unwrap();
    taken.remove(0).term("gone").await.unwrap();
    if case.claims().in_progress {
        taken[0].in_progress().await.unwrap();
    }
    taken.remove(0).nak().await.unwrap();
    taken.remove(0).nak().await.unwrap();
    let expected: &[u64] = if evicts {
        &[6, 7, 8, 9, 10]
    } else {
        &[4, 5, 6, 7, 8, 9, 10]
    };
    assert_acknowledged(&mut reader, expected).await;
    reader.nothing().await;
}

/// Evicted events take no place in `max_ack_pending`.
pub async fn evicted_events_free_their_places(case: Case) {
    let (case, evicts) = small(case).await;
    let options = case.on_demand().with_max_ack_pending(2);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    case.publish_many("event", 3).await;
    let taken = reader.take(2).await;
    reader.nothing().await;
    case.publish_many("event", 4).await;
    if evicts {
        assert_eq!(reader.pending().await.received.sequence, 3);
    } else {
        reader.nothing().await;
    }
    drop(taken);
}

/// A durable that was away goes on with what is retained.
pub async fn a_durable_that_was_away_goes_on_with_what_is_retained(case: Case) {
    let (case, evicts) = small(case).await;
    let Some(mut reader) = case.durable("reader", &SubscribeOptions::default()).await else {
        return;
    };
    case.publish_many("event", 2).await;
    assert_eq!(reader.acknowledge().await, 1);
    reader.close().await;
    case.publish_many("event", 8).await;
    let Some(mut reader) = case.durable("reader", &SubscribeOptions::default()).await else {
        unreachable!("it was claimed before");
    };
    for expected in if evicts { 6 } else { 2 }..=10 {
        assert_eq!(reader.acknowledge().await, expected);
    }
    reader.nothing().await;
}

async fn assert_acknowledged(reader: &mut Reader, expected: &[u64]) {
    for expected in expected {
        assert_eq!(reader.acknowledge().await, *expected);
    }
}

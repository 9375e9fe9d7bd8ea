//! `max_deliver`, `max_ack_pending`, and the defaults.

use std::time::Duration;

use a3s_event_core::{EventError, types::SubscribeOptions};

use crate::{Case, reader::whichever};

fn at_most(deliveries: i64) -> SubscribeOptions {
    SubscribeOptions::default().with_max_deliver(deliveries)
}

fn bounded(case: &Case, events: i64) -> SubscribeOptions {
    case.on_demand().with_max_ack_pending(events)
}

/// `max_deliver` is exact for refusals, and what used it up blocks nobody.
pub async fn max_deliver_is_exact_for_refusals(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish_many("event", 2).await;
    let Some(mut reader) = case.ephemeral(&at_most(3)).await else {
        return;
    };
    for count in 1..=3 {
        let pending = reader.pending().await;
        let received = &pending.received;
        assert_eq!((received.sequence, received.num_delivered), (1, count));
        pending.nak().await.unwrap();
    }
    let next = reader.pending().await;
    assert_eq!(next.received.sequence, 2);
    next.ack().await.unwrap();
    reader.nothing().await;
}

/// `max_deliver` is exact for silence.
pub async fn max_deliver_is_exact_for_silence(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&at_most(2).with_ack_wait_secs(1)).await else {
        return;
    };
    for count in 1..=2 {
        assert_eq!(reader.pending().await.received.num_delivered, count);
    }
    reader.nothing_for(case.long_after()).await;
    let next = case.publish("event").await;
    assert_eq!(reader.pending().await.received.sequence, next);
}

/// An event that used up its deliveries takes no place in `max_ack_pending`.
pub async fn an_exhausted_event_frees_its_place(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish_many("event", 2).await;
    let options = bounded(&case, 1).with_max_deliver(1).with_ack_wait_secs(1);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    assert_eq!(reader.pending().await.received.sequence, 1);
    assert_eq!(reader.pending().await.received.sequence, 2);
}

/// "`max_deliver` 0 and −1 mean unlimited."
pub async fn zero_and_minus_one_deliveries_are_unlimited(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish("event").await;
    for unlimited in [0, -1] {
        let Some(mut reader) = case.ephemeral(&at_most(unlimited)).await else {
            return;
        };
        for count in 1..=12 {
            let pending = reader.pending().await;
            assert_eq!(pending.received.num_delivered, count);
            pending.nak().await.unwrap();
        }
        reader.close().await;
    }
}

/// "With `max_deliver` set, a provider never reads ahead": what a reader did not
/// ask for was not delivered.
pub async fn nothing_is_read_ahead_with_a_cap(case: Case) {
    case.publish_many("event", 5).await;
    let Some(mut reader) = case.durable("reader", &at_most(1)).await else {
        return;
    };
    assert_eq!(reader.acknowledge().await, 1);
    reader.close().await;
    let Some(mut reader) = case.durable("reader", &at_most(1)).await else {
        unreachable!("it was claimed before");
    };
    for expected in 2..=5 {
        let received = reader.pending().await.received;
        assert_eq!((received.sequence, received.num_delivered), (expected, 1));
    }
}

/// A reader that waited in vain and left has spent nothing.
pub async fn a_reader_that_waited_and_left_spends_no_delivery(case: Case) {
    let Some(mut reader) = case.durable("reader", &at_most(1)).await else {
        return;
    };
    reader.nothing().await;
    reader.close().await;
    case.publish("event").await;
    let Some(mut reader) = case.durable("reader", &at_most(1)).await else {
        unreachable!("it was claimed before");
    };
    let received = reader.pending().await.received;
    assert_eq!((received.sequence, received.num_delivered), (1, 1));
}

/// A delivery that is spent on a reader who left without seeing it "is
/// surfaced, never lost": the event comes to the next reader, or somebody gets
/// the error that names it.
pub async fn a_last_delivery_that_nobody_saw_is_surfaced(case: Case) {
    let Some(mut reader) = case.durable("reader", &at_most(1)).await else {
        return;
    };
    reader.nothing().await;
    let lost = case.publish("event").await;
    case.pass(case.harness().quiet()).await;
    if let Err(error) = reader.subscription.close().await {
        return assert_names(&error, lost);
    }
    let Some(mut reader) = case.durable("reader", &at_most(1)).await else {
        unreachable!("it was claimed before");
    };
    let next = tokio::time::timeout(case.patience(), reader.subscription.next_manual_ack());
    match next.await {
        Ok(Ok(Some(pending))) => assert_eq!(pending.received.sequence, lost),
        Ok(Err(error)) => assert_names(&error, lost),
        other => panic!("event {lost} was lost in silence: {other:?}"),
    }
}

#[track_caller]
fn assert_names(error: &EventError, lost: u64) {
    assert!(
        matches!(error, EventError::Exhausted { sequence, .. } if *sequence == lost),
        "{error:?}"
    );
}

/// "At the limit new events wait", and an ack lets the next one through.
pub async fn max_ack_pending_bounds_what_is_unanswered(case: Case) {
    case.publish_many("event", 5).await;
    let Some(mut reader) = case.ephemeral(&bounded(&case, 2)).await else {
        return;
    };
    let mut taken = reader.take(2).await;
    reader.nothing().await;
    taken.remove(1).ack().await.unwrap();
    assert_eq!(reader.pending().await.received.sequence, 3);
    reader.nothing().await;
}

/// `max_ack_pending` "counts every unanswered event over all handles of a name".
pub async fn max_ack_pending_counts_over_all_handles(case: Case) {
    case.publish_many("event", 5).await;
    let options = bounded(&case, 2);
    let Some(mut one) = case.durable("reader", &options).await else {
        return;
    };
    let Some(mut other) = case.durable("reader", &options).await else {
        unreachable!("it was claimed before");
    };
    let first = one.pending().await;
    let second = other.pending().await;
    one.nothing().await;
    other.nothing().await;
    first.ack().await.unwrap();
    let third = whichever(&mut one, &mut other).await;
    assert_eq!(third.received.sequence, 3);
    one.nothing().await;
    other.nothing().await;
    drop(second);
}

/// Every settlement frees its place.
pub async fn every_settlement_frees_its_place(case: Case) {
    case.publish_many("event", 4).await;
    let Some(mut reader) = case.ephemeral(&bounded(&case, 1)).await else {
        return;
    };
    reader.pending().await.ack().await.unwrap();
    reader.pending().await.ack_confirmed().await.unwrap();
    reader.pending().await.term("done").await.unwrap();
    assert_eq!(reader.pending().await.received.sequence, 4);
}

/// Reading with automatic answers never stands at the limit.
pub async fn automatic_answers_free_their_places(case: Case) {
    case.publish_many("event", 10).await;
    let Some(mut reader) = case.ephemeral(&bounded(&case, 1)).await else {
        return;
    };
    assert_eq!(reader.sequences(10).await, (1..=10).collect::<Vec<_>>());
}

/// Refused events count as unanswered, "delayed ones included": a delayed nak at
/// a limit of one blocks the consumer until it is due.
pub async fn a_delayed_event_keeps_its_place(case: Case) {
    if !case.delays().await {
        return;
    }
    let delay = Duration::from_millis(900);
    case.publish_many("event", 2).await;
    let Some(mut reader) = case.ephemeral(&bounded(&case, 1)).await else {
        return;
    };
    reader.pending().await.nak_after(delay).await.unwrap();
    reader.nothing_for(delay / 2).await;
    let again = reader.pending().await;
    let received = &again.received;
    assert_eq!((received.sequence, received.num_delivered), (1, 2));
    again.ack().await.unwrap();
    assert_eq!(reader.pending().await.received.sequence, 2);
}

/// "At the limit new events wait, redeliveries do not."
pub async fn redeliveries_pass_at_the_limit(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish_many("event", 3).await;
    let Some(mut reader) = case.ephemeral(&bounded(&case, 2)).await else {
        return;
    };
    let mut taken = reader.take(2).await;
    for count in 2..=4 {
        taken.remove(1).nak().await.unwrap();
        let again = reader.pending().await;
        let received = &again.received;
        assert_eq!((received.sequence, received.num_delivered), (2, count));
        taken.push(again);
    }
    reader.nothing().await;
}

/// "`max_ack_pending` −1 is unlimited."
pub async fn minus_one_pending_is_unlimited(case: Case) {
    let options = SubscribeOptions::default().with_max_ack_pending(-1);
    case.publish_many("event", 1500).await;
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    let taken = reader.take(1500).await;
    assert_eq!(taken[1499].received.sequence, 1500);
}

/// "Defaults: `max_ack_pending` 1000."
pub async fn a_thousand_events_may_be_unanswered_by_default(case: Case) {
    if !case.claims().max_ack_pending {
        return assert_unclaimed(
            &case,
            SubscribeOptions::default().with_max_ack_pending(1000),
        )
        .await;
    }
    case.publish_many("event", 1010).await;
    let mut reader = case.subscribe_all().await;
    let mut taken = reader.take(1000).await;
    reader.nothing().await;
    taken.remove(500).ack().await.unwrap();
    assert_eq!(reader.pending().await.received.sequence, 1001);
    reader.nothing().await;
}

/// "Defaults: `ack_wait` 30 s."
pub async fn an_unanswered_event_returns_after_30_seconds_by_default(case: Case) {
    if !case.claims().ack_wait {
        return assert_unclaimed(&case, SubscribeOptions::default().with_ack_wait_secs(30)).await;
    }
    case.publish("event").await;
    let mut reader = case.subscribe_all().await;
    drop(reader.pending().await);
    reader.nothing_for(Duration::from_secs(28)).await;
    assert_eq!(reader.pending().await.received.num_delivered, 2);
}

/// A provider that does not claim an option refuses its default value too.
async fn assert_unclaimed(case: &Case, options: SubscribeOptions) {
    assert!(case.ephemeral(&options).await.is_none());
}

/// How far a provider reads ahead changes nothing that a reader sees.
pub async fn any_prefetch_delivers_the_same(case: Case) {
    case.publish_many("event", 20).await;
    for prefetch in [0, 1, 3, 1000] {
        let options = SubscribeOptions::default().with_prefetch(prefetch);
        let Some(mut reader) = case.ephemeral(&options).await else {
            return;
        };
        assert_eq!(reader.sequences(20).await, (1..=20).collect::<Vec<_>>());
        reader.close().await;
    }
}

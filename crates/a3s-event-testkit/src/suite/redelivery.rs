//! What comes again: in which order and after which steps.

use std::time::Duration;

use a3s_event_core::types::SubscribeOptions;
use tokio::time::Instant;

use crate::Case;

/// "Refused ones in the order of the refusals."
pub async fn refused_events_come_in_the_order_of_the_refusals(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish_many("event", 5).await;
    let Some(mut reader) = case.ephemeral(&case.on_demand()).await else {
        return;
    };
    let mut taken = reader.take(5).await;
    for position in [4, 2, 0] {
        taken.remove(position).nak().await.unwrap();
    }
    let mut again = Vec::new();
    for pending in reader.take(3).await {
        again.push((pending.received.sequence, pending.received.num_delivered));
    }
    assert_eq!(again, [(5, 2), (3, 2), (1, 2)]);
}

/// "Expired ones by sequence."
pub async fn expired_events_come_by_sequence(case: Case) {
    case.publish_many("event", 4).await;
    let options = case.on_demand().with_ack_wait_secs(1);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    let mut taken = reader.take(4).await;
    taken.reverse();
    drop(taken);
    case.pass(Duration::from_millis(1500)).await;
    let mut again = Vec::new();
    for pending in reader.take(4).await {
        again.push((pending.received.sequence, pending.received.num_delivered));
    }
    assert_eq!(again, [(1, 2), (2, 2), (3, 2), (4, 2)]);
}

/// "Redeliveries precede new events": those that were refused.
pub async fn refused_events_come_before_new_ones(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish_many("event", 4).await;
    let Some(mut reader) = case.ephemeral(&case.on_demand()).await else {
        return;
    };
    for expected in 1..=4 {
        let first = reader.pending().await;
        assert_eq!(first.received.sequence, expected);
        first.nak().await.unwrap();
        let again = reader.pending().await;
        assert_eq!(again.received.sequence, expected);
        again.ack().await.unwrap();
    }
}

/// "Redeliveries precede new events": those that expired.
pub async fn expired_events_come_before_new_ones(case: Case) {
    case.publish_many("event", 3).await;
    let options = case.on_demand().with_ack_wait_secs(1);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    drop(reader.pending().await);
    case.pass(Duration::from_millis(1500)).await;
    let again = reader.pending().await.received;
    assert_eq!((again.sequence, again.num_delivered), (1, 2));
    assert_eq!(reader.pending().await.received.sequence, 2);
}

/// "Delayed ones when due": meanwhile the others come.
pub async fn a_delayed_event_holds_up_no_other(case: Case) {
    if !case.delays().await {
        return;
    }
    let delay = Duration::from_secs(1);
    case.publish_many("event", 3).await;
    let mut reader = case.subscribe_all().await;
    let since = Instant::now();
    reader.pending().await.nak_after(delay).await.unwrap();
    for expected in [2, 3] {
        assert_eq!(reader.acknowledge().await, expected);
    }
    let again = reader.pending().await;
    case.assert_waited(since, delay);
    assert_eq!(again.received.sequence, 1);
}

/// "Redeliveries precede new events": those whose delay is over.
pub async fn delayed_events_that_are_due_come_before_new_ones(case: Case) {
    if !case.delays().await {
        return;
    }
    case.publish_many("event", 3).await;
    let Some(mut reader) = case.ephemeral(&case.on_demand()).await else {
        return;
    };
    let delay = Duration::from_millis(500);
    reader.pending().await.nak_after(delay).await.unwrap();
    case.pass(delay * 2).await;
    let again = reader.pending().await.received;
    assert_eq!((again.sequence, again.num_delivered), (1, 2));
    assert_eq!(reader.pending().await.received.sequence, 2);
}

/// Shorter delays overtake longer ones.
pub async fn delayed_events_come_in_the_order_of_their_times(case: Case) {
    if !case.delays().await {
        return;
    }
    case.publish_many("event", 3).await;
    let mut reader = case.subscribe_all().await;
    let taken = reader.take(3).await;
    let since = Instant::now();
    for (pending, delay) in taken.into_iter().zip([1200, 400, 800]) {
        let delay = Duration::from_millis(delay);
        pending.nak_after(delay).await.unwrap();
    }
    for (expected, delay) in [(2, 400), (3, 800), (1, 1200)] {
        let again = reader.pending().await;
        assert_eq!(again.received.sequence, expected);
        case.assert_waited(since, Duration::from_millis(delay));
    }
}

/// "Step k is the wait after delivery k when no answer comes; the last one
/// repeats."
pub async fn backoff_steps_follow_silence_and_the_last_repeats(case: Case) {
    case.publish("event").await;
    let options = SubscribeOptions::default().with_backoff_secs([1, 2]);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    drop(reader.pending().await);
    let mut since = Instant::now();
    for (count, step) in [(2, 1), (3, 2), (4, 2)] {
        let again = reader.pending().await;
        case.assert_waited(since, Duration::from_secs(step));
        since = Instant::now();
        assert_eq!(again.received.num_delivered, count);
    }
}

/// Backoff "replaces `ack_wait`".
pub async fn backoff_replaces_the_ack_wait(case: Case) {
    case.publish("event").await;
    let options = SubscribeOptions::default()
        .with_ack_wait_secs(25)
        .with_backoff_secs([1]);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    drop(reader.pending().await);
    let since = Instant::now();
    assert_eq!(reader.pending().await.received.num_delivered, 2);
    case.assert_waited(since, Duration::from_secs(1));
}

/// "A plain `nak` ignores backoff and redelivers at once."
pub async fn a_nak_ignores_backoff(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish("event").await;
    let options = SubscribeOptions::default().with_backoff_secs([20, 25]);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    for count in 1..=3 {
        let pending = reader.pending().await;
        assert_eq!(pending.received.num_delivered, count);
        pending.nak().await.unwrap();
    }
}

/// "`nak_after(d)` waits `d`, with or without backoff": on every delivery, and
/// not the step on top.
pub async fn a_delayed_nak_waits_exactly_its_delay_under_backoff(case: Case) {
    if !case.delays().await {
        return;
    }
    let delay = Duration::from_millis(700);
    case.publish("event").await;
    let options = SubscribeOptions::default().with_backoff_secs([1, 4]);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    let mut pending = reader.pending().await;
    for count in 2..=4 {
        let since = Instant::now();
        pending.nak_after(delay).await.unwrap();
        pending = reader.pending().await;
        case.assert_waited(since, delay);
        case.assert_sooner(since, Duration::from_secs(3));
        assert_eq!(pending.received.num_delivered, count);
    }
}

/// "In-progress restarts the current step."
pub async fn in_progress_restarts_the_current_step(case: Case) {
    if !case.extends().await {
        return;
    }
    case.publish("event").await;
    let options = SubscribeOptions::default().with_backoff_secs([1, 2]);
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    let mut working = reader.pending().await;
    for (count, work, step) in [(2, 600, 1), (3, 1200, 2)] {
        reader.nothing_for(Duration::from_millis(work)).await;
        let since = Instant::now();
        working.in_progress().await.unwrap();
        working = reader.pending().await;
        case.assert_waited(since, Duration::from_secs(step));
        assert_eq!(working.received.num_delivered, count);
    }
}

/// "`num_delivered` counts deliveries to this consumer", over its handles.
pub async fn the_count_belongs_to_the_consumer(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish("event").await;
    for count in 1..=3 {
        let Some(mut reader) = case.durable("reader", &case.on_demand()).await else {
            return;
        };
        let pending = reader.pending().await;
        assert_eq!(pending.received.num_delivered, count);
        pending.nak().await.unwrap();
        reader.close().await;
    }
}

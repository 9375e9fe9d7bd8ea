//! Answers: what each does, and when what was not answered comes again.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    Case,
    case::{ACK_WAIT, impatient},
    within,
};

/// An acknowledged event does not come back.
pub async fn an_acknowledged_event_never_returns(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    reader.pending().await.ack().await.unwrap();
    reader.nothing_for(case.long_after()).await;
    let next = case.publish("event").await;
    assert_eq!(reader.pending().await.received.sequence, next);
}

/// A confirmed ack is an ack, and returns in time.
pub async fn a_confirmed_ack_never_returns(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let pending = reader.pending().await;
    within(case.patience(), pending.ack_confirmed())
        .await
        .unwrap();
    reader.nothing_for(case.long_after()).await;
}

/// A terminated event does not come back either.
pub async fn a_terminated_event_never_returns(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let pending = reader.pending().await;
    pending.term("no rate\r\nin it: é").await.unwrap();
    reader.nothing_for(case.long_after()).await;
    let next = case.publish("event").await;
    assert_eq!(reader.pending().await.received.sequence, next);
}

/// "Refuses: the event comes again at once", with a count one higher.
pub async fn nak_redelivers_with_a_higher_count(case: Case) {
    if !case.redelivers().await {
        return;
    }
    let event = case.event("event");
    let sequence = case.provider.publish(&event).await.unwrap();
    let mut reader = case.subscribe(&event.subject).await;
    for count in 1..=6 {
        let refused = reader.pending().await;
        assert_eq!(refused.received.event, event);
        assert_eq!(
            (refused.received.sequence, refused.received.num_delivered),
            (sequence, count)
        );
        let since = Instant::now();
        refused.nak().await.unwrap();
        case.assert_sooner(since, case.patience());
    }
}

/// A refusal concerns the subscription that refused, no other.
pub async fn nak_concerns_one_subscription_only(case: Case) {
    if !case.redelivers().await {
        return;
    }
    let mut refusing = case.subscribe_all().await;
    let mut other = case.subscribe_all().await;
    case.publish("event").await;
    refusing.pending().await.nak().await.unwrap();
    assert_eq!(refusing.pending().await.received.num_delivered, 2);
    assert_eq!(other.pending().await.received.num_delivered, 1);
    other.nothing().await;
}

/// "`nak_after(d)` waits `d`", below a second too.
pub async fn a_delayed_nak_waits_its_delay(case: Case) {
    if !case.delays().await {
        return;
    }
    let delays = [Duration::from_millis(1200), Duration::from_millis(350)];
    case.publish("event").await;
    let mut reader = case.subscribe_all().await;
    let mut pending = reader.pending().await;
    for (count, delay) in (2..).zip(delays) {
        let since = Instant::now();
        pending.nak_after(delay).await.unwrap();
        pending = reader.pending().await;
        case.assert_waited(since, delay);
        assert_eq!(pending.received.num_delivered, count);
    }
}

/// "A delay of zero is a nak."
pub async fn a_delay_of_zero_is_a_nak(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish("event").await;
    let mut reader = case.subscribe_all().await;
    reader
        .pending()
        .await
        .nak_after(Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(reader.pending().await.received.num_delivered, 2);
}

/// A delay above the ack wait is not cut short by it.
pub async fn a_delay_may_be_longer_than_the_ack_wait(case: Case) {
    if !case.delays().await {
        return;
    }
    let delay = Duration::from_millis(2200);
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let since = Instant::now();
    reader.pending().await.nak_after(delay).await.unwrap();
    assert_eq!(reader.pending().await.received.num_delivered, 2);
    case.assert_waited(since, delay);
}

/// "Asks for more time: the ack wait starts anew."
pub async fn in_progress_extends_the_ack_wait(case: Case) {
    if !case.extends().await {
        return;
    }
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let working = reader.pending().await;
    let mut extended = Instant::now();
    for _ in 0..3 {
        reader.nothing_for(Duration::from_millis(600)).await;
        extended = Instant::now();
        working.in_progress().await.unwrap();
    }
    let again = reader.pending().await;
    case.assert_waited(extended, ACK_WAIT);
    assert_eq!(again.received.num_delivered, 2);
    again.ack().await.unwrap();
}

/// An event whose reader is silent comes again after the ack wait.
pub async fn silence_redelivers_after_the_ack_wait(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let mut unanswered = vec![reader.pending().await];
    let mut since = Instant::now();
    for count in 2..=3 {
        let again = reader.pending().await;
        case.assert_waited(since, ACK_WAIT);
        since = Instant::now();
        assert_eq!(again.received.num_delivered, count);
        unanswered.push(again);
    }
}

/// "Dropped without an answer, the event comes back after `ack_wait`."
pub async fn a_dropped_event_returns_after_the_ack_wait(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    drop(reader.pending().await);
    let since = Instant::now();
    assert_eq!(reader.pending().await.received.num_delivered, 2);
    case.assert_waited(since, ACK_WAIT);
}

/// The event may be taken out of its delivery: that is no answer.
pub async fn an_event_taken_apart_is_unanswered(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let (received, handle) = reader.pending().await.into_parts();
    drop(handle);
    let again = reader.pending().await;
    assert_eq!(again.received.num_delivered, received.num_delivered + 1);
}

/// Acknowledging an event does nothing to those before it.
pub async fn answers_may_come_out_of_order(case: Case) {
    case.publish_many("event", 4).await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let mut taken = reader.take(4).await;
    taken.remove(3).ack().await.unwrap();
    taken.remove(1).ack().await.unwrap();
    let mut again = Vec::new();
    for _ in 0..2 {
        let pending = reader.pending().await;
        again.push(pending.received.sequence);
        pending.ack().await.unwrap();
    }
    assert_eq!(again, [1, 3]);
    reader.nothing_for(case.long_after()).await;
}

/// A delivery may be answered from another task, on another thread.
pub async fn an_answer_may_come_from_another_task(case: Case) {
    case.publish_many("event", 8).await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let mut answers = Vec::new();
    for pending in reader.take(8).await {
        answers.push(tokio::spawn(pending.ack_confirmed()));
    }
    for answer in answers {
        within(case.patience(), answer).await.unwrap().unwrap();
    }
    reader.nothing_for(case.long_after()).await;
}

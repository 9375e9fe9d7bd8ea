//! Answers: what each does, when it comes, and when it comes late.

use std::time::Duration;

use a3s_event_core::{provider::PendingEvent, types::SubscribeOptions};
use tokio::time::Instant;

use crate::{Case, Reader, within};

const ACK_WAIT: Duration = Duration::from_secs(1);

/// The shortest ack wait there is.
fn impatient() -> SubscribeOptions {
    SubscribeOptions::default().with_ack_wait_secs(1)
}

/// Longer than the ack wait: what did not come in this time does not come.
fn long_after(case: &Case) -> Duration {
    ACK_WAIT + case.harness().quiet()
}

/// An acknowledged event does not come back.
pub async fn an_acknowledged_event_never_returns(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    reader.pending().await.ack().await.unwrap();
    reader.nothing_for(long_after(&case)).await;
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
    reader.nothing_for(long_after(&case)).await;
}

/// A terminated event does not come back either.
pub async fn a_terminated_event_never_returns(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    let pending = reader.pending().await;
    pending.term("no rate\r\nin it: é").await.unwrap();
    reader.nothing_for(long_after(&case)).await;
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
    reader.nothing_for(long_after(&case)).await;
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
    reader.nothing_for(long_after(&case)).await;
}

/// "A late ack from an earlier delivery settles the event for everybody": the
/// later delivery, unanswered, does not come back.
pub async fn a_late_ack_settles_the_event(case: Case) {
    let Some((mut reader, first, second)) = twice_delivered(&case).await else {
        return;
    };
    first.ack_confirmed().await.unwrap();
    drop(second);
    reader.nothing_for(long_after(&case)).await;
}

/// The same for a late term.
pub async fn a_late_term_settles_the_event(case: Case) {
    let Some((mut reader, first, second)) = twice_delivered(&case).await else {
        return;
    };
    first.term("late").await.unwrap();
    drop(second);
    reader.nothing_for(long_after(&case)).await;
}

/// "A late nak brings it again at once", though a later delivery is out.
pub async fn a_late_nak_brings_the_event_again_at_once(case: Case) {
    let Some((mut reader, first, second)) = twice_delivered(&case).await else {
        return;
    };
    let since = Instant::now();
    first.nak().await.unwrap();
    let third = reader.pending().await;
    case.assert_sooner(since, ACK_WAIT);
    assert_eq!(third.received.num_delivered, 3);
    second.ack_confirmed().await.unwrap();
    drop(third);
    reader.nothing_for(long_after(&case)).await;
}

/// A nak after the ack wait, before the redelivery: one redelivery, not two.
pub async fn a_nak_after_expiry_brings_the_event_once(case: Case) {
    if !case.redelivers().await {
        return;
    }
    case.publish("event").await;
    let options = SubscribeOptions {
        ack_wait_secs: Some(1),
        ..case.on_demand()
    };
    let Some(mut reader) = case.ephemeral(&options).await else {
        return;
    };
    let expired = reader.pending().await;
    // Nobody waits for events, so that the redelivery is due and not yet made.
    case.pass(ACK_WAIT * 3 / 2).await;
    expired.nak().await.unwrap();
    let again = reader.pending().await;
    assert_eq!(again.received.num_delivered, 2);
    again.ack().await.unwrap();
    reader.nothing_for(long_after(&case)).await;
}

/// "Answers to settled events do nothing and are Ok."
pub async fn answers_to_settled_events_do_nothing(case: Case) {
    let Some((mut reader, first, second)) = twice_delivered(&case).await else {
        return;
    };
    second.ack_confirmed().await.unwrap();
    if case.claims().in_progress {
        first.in_progress().await.unwrap();
    }
    first.nak().await.unwrap();
    reader.nothing_for(long_after(&case)).await;
}

/// An ack after a nak, from another delivery, cancels the redelivery.
pub async fn an_ack_cancels_a_delayed_redelivery(case: Case) {
    if !case.delays().await {
        return;
    }
    let case = case.another().await;
    let Some((mut reader, first, second)) = twice_delivered(&case).await else {
        return;
    };
    second.nak_after(ACK_WAIT).await.unwrap();
    first.ack_confirmed().await.unwrap();
    reader.nothing_for(long_after(&case)).await;
}

/// "`next()` acknowledges an event when the caller comes back for the next one",
/// and not before: a reader that leaves while it works gets it again, and only
/// the one it worked on.
pub async fn next_acknowledges_when_the_caller_comes_back(case: Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish_many("event", 3).await;
    assert_eq!(reader.received().await.sequence, 1);
    assert_eq!(reader.received().await.sequence, 2);
    drop(reader);
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    let mut rest = Vec::new();
    for _ in 0..2 {
        let received = reader.pending().await.received;
        rest.push((received.sequence, received.num_delivered > 1));
    }
    rest.sort_unstable();
    assert_eq!(rest[0], (2, true), "what was being worked on comes again");
    assert_eq!(rest[1].0, 3);
}

/// Coming back and waiting in vain is coming back.
pub async fn next_acknowledges_while_it_waits(case: Case) {
    case.publish("event").await;
    let Some(mut reader) = case.ephemeral(&impatient()).await else {
        return;
    };
    assert_eq!(reader.received().await.sequence, 1);
    let wait = long_after(&case);
    let came = tokio::time::timeout(wait, reader.subscription.next()).await;
    assert!(came.is_err(), "not nothing but {came:?}");
    reader.nothing_for(wait).await;
}

/// An event that was not acknowledged when its reader closed comes again.
pub async fn closing_does_not_acknowledge_the_last_event(case: Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish("event").await;
    assert_eq!(reader.received().await.sequence, 1);
    reader.close().await;
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    let again = reader.pending().await.received;
    assert_eq!((again.sequence, again.num_delivered), (1, 2));
}

/// "Answers may come late": after the subscription is closed they still count.
pub async fn an_answer_after_close_settles(case: Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish_many("event", 2).await;
    let mut taken = reader.take(2).await;
    reader.close().await;
    taken.remove(0).ack_confirmed().await.unwrap();
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    assert_eq!(reader.pending().await.received.sequence, 2);
    reader.nothing_for(case.harness().quiet()).await;
}

/// An event that expired once: its first delivery, kept, and its second.
async fn twice_delivered(case: &Case) -> Option<(Reader, PendingEvent, PendingEvent)> {
    case.publish("event").await;
    let mut reader = case.ephemeral(&impatient()).await?;
    let first = reader.pending().await;
    let second = reader.pending().await;
    assert_eq!(second.received.num_delivered, 2);
    Some((reader, first, second))
}

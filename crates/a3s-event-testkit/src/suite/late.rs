//! Answers that come late: to an event whose time ran out, that is settled
//! already, or whose reader is gone.

use a3s_event_core::{provider::PendingEvent, types::SubscribeOptions};
use tokio::time::Instant;

use crate::{
    Case, Reader,
    case::{ACK_WAIT, impatient},
};

/// "A late ack from an earlier delivery settles the event for everybody": the
/// later delivery, unanswered, does not come back.
pub async fn a_late_ack_settles_the_event(case: Case) {
    let Some((mut reader, first, second)) = twice_delivered(&case).await else {
        return;
    };
    first.ack_confirmed().await.unwrap();
    drop(second);
    reader.nothing_for(case.long_after()).await;
}

/// The same for a late term.
pub async fn a_late_term_settles_the_event(case: Case) {
    let Some((mut reader, first, second)) = twice_delivered(&case).await else {
        return;
    };
    first.term("late").await.unwrap();
    drop(second);
    reader.nothing_for(case.long_after()).await;
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
    reader.nothing_for(case.long_after()).await;
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
    reader.nothing_for(case.long_after()).await;
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
    reader.nothing_for(case.long_after()).await;
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
    reader.nothing_for(case.long_after()).await;
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

/// Answers that were given before their reader was dropped count.
pub async fn answers_given_before_a_drop_count(case: Case) {
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish_many("event", 4).await;
    for pending in reader.take(3).await {
        pending.ack().await.unwrap();
    }
    drop(reader);
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    assert_eq!(reader.acknowledge().await, 4);
    reader.nothing_for(case.long_after()).await;
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

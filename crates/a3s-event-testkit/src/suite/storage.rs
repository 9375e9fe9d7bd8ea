//! Several providers on one storage, as several processes have it. Where the
//! storage ends with its provider, they know nothing of each other.

use a3s_event_core::{
    EventError,
    types::{PublishOptions, SubscribeOptions},
};

use crate::{Case, case::impatient, reader::whichever, within};

/// Another provider on the storage. Where there can be none, one that is opened
/// on its own knows nothing of what `case` has.
async fn other_of(case: &Case) -> Option<Case> {
    if let Some(other) = case.reopened().await {
        return Some(other);
    }
    let sequence = case.publish("own").await;
    let other = case.another().await;
    other.assert_nothing_stored().await;
    assert_eq!(other.consumers().await, 0);
    assert_eq!(other.publish("own").await, 1);
    assert_eq!(case.publish("own").await, sequence + 1);
    None
}

/// What one provider stores another reads, counts and delivers, in one order.
pub async fn what_one_provider_stores_another_reads(case: Case) {
    let Some(other) = other_of(&case).await else {
        return;
    };
    let mut early = other.subscribe_all().await;
    for (expected, publisher) in (1..).zip([&case, &other, &case, &other]) {
        assert_eq!(publisher.publish("event").await, expected);
    }
    assert_eq!(early.sequences(4).await, [1, 2, 3, 4]);
    assert_eq!(case.subscribe_all().await.sequences(4).await, [1, 2, 3, 4]);
    assert_eq!(case.stored_ids().await, other.stored_ids().await);
    assert_eq!(other.provider.info().await.unwrap().messages, 4);
}

/// The promises of publish options hold over all providers.
pub async fn publish_options_hold_over_all_providers(case: Case) {
    let Some(other) = other_of(&case).await else {
        return;
    };
    let once = PublishOptions::default().with_msg_id("order-1");
    if let Some(first) = case.publish_with("event", &once).await {
        let repeat = other.publish_with("event", &once).await.unwrap();
        assert_eq!(repeat.unwrap(), first.unwrap());
    }
    let last = case.publish("event").await;
    let next = PublishOptions::default().with_expected_sequence(last);
    if let Some(stored) = other.publish_with("event", &next).await {
        assert_eq!(stored.unwrap(), last + 1);
        let late = case.publish_with("event", &next).await.unwrap();
        assert!(matches!(late, Err(EventError::Conflict { .. })), "{late:?}");
    }
}

/// Handles of one name share the work, whichever provider opened them.
pub async fn providers_share_the_work_of_a_durable(case: Case) {
    let Some(other) = other_of(&case).await else {
        return;
    };
    let options = case.on_demand();
    let Some(mut one) = case.durable("reader", &options).await else {
        return;
    };
    let Some(mut two) = other.durable("reader", &options).await else {
        unreachable!("it was claimed before");
    };
    other.settles_at_consumers(1).await;
    case.publish_many("event", 5).await;
    other.publish_many("event", 5).await;
    let mut got = Vec::new();
    for _ in 0..10 {
        let pending = whichever(&mut one, &mut two).await;
        got.push(pending.received.sequence);
        pending.ack().await.unwrap();
    }
    got.sort_unstable();
    assert_eq!(got, (1..=10).collect::<Vec<_>>());
}

/// What a process that ended had not answered comes to another one, and only
/// that: "answers under way are flushed" by `close`.
pub async fn closing_a_provider_flushes_its_answers(case: Case) {
    let Some(other) = other_of(&case).await else {
        return;
    };
    let Some(mut reader) = case.durable("reader", &impatient()).await else {
        return;
    };
    case.publish_many("event", 4).await;
    let mut taken = reader.take(4).await;
    let unanswered = taken.remove(1);
    for pending in taken {
        pending.ack().await.unwrap();
    }
    within(case.patience(), case.provider.close())
        .await
        .unwrap();
    let Some(mut reader) = other.durable("reader", &impatient()).await else {
        unreachable!("it was claimed before");
    };
    let again = reader.pending().await;
    assert_eq!(again.received.sequence, unanswered.received.sequence);
    again.ack().await.unwrap();
    reader.nothing_for(case.long_after()).await;
}

/// A mismatch is one whichever provider opened the name first.
pub async fn a_mismatch_is_seen_by_every_provider(case: Case) {
    let Some(other) = other_of(&case).await else {
        return;
    };
    let plain = SubscribeOptions::default();
    let Some(_reader) = case.durable_on("reader", &case.subject("a"), &plain).await else {
        return;
    };
    let pattern = other.subject("b");
    let opened = other.provider.subscribe_durable("reader", &pattern).await;
    assert!(
        matches!(opened.map(drop), Err(EventError::ConsumerMismatch { .. })),
        "`b` was taken for `a`"
    );
}

/// `unsubscribe` through one provider ends the handles of another.
pub async fn unsubscribe_ends_the_handles_of_every_provider(case: Case) {
    let Some(other) = other_of(&case).await else {
        return;
    };
    let Some(mut reader) = case.durable("reader", &SubscribeOptions::default()).await else {
        return;
    };
    other.provider.unsubscribe("reader").await.unwrap();
    let error = reader.error().await;
    assert!(matches!(error, EventError::NotFound { .. }), "{error:?}");
    case.settles_at_consumers(0).await;
}

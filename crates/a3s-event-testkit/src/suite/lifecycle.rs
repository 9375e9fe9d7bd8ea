//! Closing and leaving: subscriptions, providers, and what is left behind.

use std::time::Duration;

use a3s_event_core::{
    EventError, Result,
    types::{PublishOptions, SubscribeOptions},
};

use crate::{Case, within};

/// "Afterwards `next` is `Ok(None)`", both ways of it, every time.
pub async fn next_after_close_is_the_end(case: Case) {
    case.publish_many("event", 3).await;
    let mut reader = case.subscribe_all().await;
    assert_eq!(reader.received().await.sequence, 1);
    reader.close().await;
    for _ in 0..2 {
        reader.ended().await;
        let next = within(case.patience(), reader.subscription.next()).await;
        assert!(matches!(next, Ok(None)), "{next:?}");
    }
}

/// Closing "may be repeated".
pub async fn closing_a_subscription_twice_is_ok(case: Case) {
    let mut ephemeral = case.subscribe_all().await;
    ephemeral.close().await;
    ephemeral.close().await;
    if let Some(mut durable) = case.durable("reader", &SubscribeOptions::default()).await {
        durable.close().await;
        durable.close().await;
    }
}

/// "An ephemeral subscription is removed" when it is closed.
pub async fn closing_an_ephemeral_removes_its_consumer(case: Case) {
    case.publish_many("event", 10).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut reader = case.subscribe_all().await;
        reader.received().await;
        readers.push(reader);
    }
    case.settles_at_consumers(5).await;
    for mut reader in readers {
        reader.close().await;
    }
    case.settles_at_consumers(0).await;
}

/// "Drop starts the same on the current runtime": nothing is left behind.
pub async fn dropping_an_ephemeral_removes_its_consumer(case: Case) {
    case.publish_many("event", 10).await;
    for unanswered in [false, true] {
        for read in 0..4 {
            let mut reader = case.subscribe_all().await;
            let taken = reader.take(read).await;
            if unanswered {
                drop(reader);
                drop(taken);
            } else {
                for pending in taken {
                    pending.ack().await.unwrap();
                }
            }
        }
    }
    case.settles_at_consumers(0).await;
}

/// A stream that is dropped is a subscription that is dropped.
pub async fn dropping_a_stream_removes_its_consumer(case: Case) {
    let stream = case.subscribe_all().await.subscription.into_stream();
    case.settles_at_consumers(1).await;
    drop(stream);
    case.settles_at_consumers(0).await;
    let stream = case.subscribe_all().await.subscription.into_stream();
    within(case.patience(), stream.close()).await.unwrap();
    case.settles_at_consumers(0).await;
}

/// "Open handles end with `NotFound`" when their durable is unsubscribed: one
/// that waits.
pub async fn unsubscribe_ends_a_waiting_handle(case: Case) {
    let Some(mut reader) = case.durable("reader", &SubscribeOptions::default()).await else {
        return;
    };
    let waiting = tokio::spawn(async move { reader.error().await });
    case.pass(case.harness().quiet()).await;
    case.provider.unsubscribe("reader").await.unwrap();
    let error = within(case.patience(), waiting).await.unwrap();
    assert!(matches!(error, EventError::NotFound { .. }), "{error:?}");
}

/// And one that does not wait yet, once what it may hold is read. It is said
/// once, and nothing follows.
pub async fn unsubscribe_ends_an_idle_handle(case: Case) {
    let Some(mut reader) = case.durable("reader", &case.on_demand()).await else {
        return;
    };
    case.publish("event").await;
    assert_eq!(reader.acknowledge().await, 1);
    case.provider.unsubscribe("reader").await.unwrap();
    case.publish("event").await;
    let error = reader.error().await;
    assert!(matches!(error, EventError::NotFound { .. }), "{error:?}");
    reader.ended().await;
}

/// "Open subscriptions end with `None`" when their provider closes: one that
/// waits.
pub async fn a_waiting_reader_ends_with_its_provider(case: Case) {
    let mut readers = vec![case.subscribe_all().await];
    let options = SubscribeOptions::default();
    readers.extend(case.durable("reader", &options).await);
    let mut waiting = Vec::new();
    for mut reader in readers {
        waiting.push(tokio::spawn(async move { reader.ended().await }));
    }
    case.pass(case.harness().quiet()).await;
    within(case.patience(), case.provider.close())
        .await
        .unwrap();
    for reader in waiting {
        within(case.patience(), reader).await.unwrap();
    }
}

/// And one that does not wait yet.
pub async fn an_idle_reader_ends_with_its_provider(case: Case) {
    let mut reader = case.subscribe_all().await;
    within(case.patience(), case.provider.close())
        .await
        .unwrap();
    reader.ended().await;
    reader.close().await;
}

/// "After `close`, calls are `Closed`", all of them, and it may be repeated.
pub async fn a_closed_provider_refuses_every_call(case: Case) {
    case.publish("event").await;
    for _ in 0..2 {
        within(case.patience(), case.provider.close())
            .await
            .unwrap();
        let (provider, event) = (&case.provider, case.event("event"));
        let (pattern, options) = (case.everything(), SubscribeOptions::default());
        assert_closed("publish", provider.publish(&event).await);
        let plain = PublishOptions::default();
        assert_closed(
            "publish_with_options",
            provider.publish_with_options(&event, &plain).await,
        );
        match provider.publish_batch(std::slice::from_ref(&event)).await {
            // The batch may say that nothing of it was stored before.
            Err(EventError::PartialBatch { stored, source, .. }) if stored.is_empty() => {
                assert_closed::<()>("publish_batch", Err(*source));
            }
            outcome => assert_closed("publish_batch", outcome),
        }
        assert_closed("subscribe", provider.subscribe(&pattern).await);
        assert_closed(
            "subscribe_with_options",
            provider.subscribe_with_options(&pattern, &options).await,
        );
        assert_closed("history", provider.history(None, 1).await);
        assert_closed("info", provider.info().await);
        assert_closed("health", provider.health().await);
        assert_closed("unsubscribe", provider.unsubscribe("reader").await);
        if case.claims().durability {
            assert_closed(
                "subscribe_durable",
                provider.subscribe_durable("reader", &pattern).await,
            );
            let opened = provider.subscribe_durable_with_options("reader", &pattern, &options);
            assert_closed("subscribe_durable_with_options", opened.await);
        }
    }
    assert_eq!(
        case.provider.build_subject("a", "b"),
        case.provider.build_subject("a", "b")
    );
}

/// An answer that comes after the provider was closed is not lost in silence.
pub async fn answers_after_the_provider_closed_are_errors(case: Case) {
    case.publish_many("event", 3).await;
    let mut reader = case.subscribe_all().await;
    let mut taken = reader.take(3).await;
    case.provider.close().await.unwrap();
    assert_closed("ack", taken.remove(0).ack().await);
    assert_closed("ack_confirmed", taken.remove(0).ack_confirmed().await);
    if case.claims().redelivery {
        assert_closed("nak", taken.remove(0).nak().await);
    }
}

#[track_caller]
fn assert_closed<T>(call: &str, outcome: Result<T>) {
    let outcome = outcome.map(drop);
    assert!(
        matches!(outcome, Err(EventError::Closed { .. })),
        "{call}: {outcome:?}"
    );
}

/// Closing one provider concerns no other on the same storage; where storage
/// ends with its provider, none on another.
pub async fn closing_concerns_one_provider(case: Case) {
    case.publish("event").await;
    let other = case.reopened().await;
    let shares = other.is_some();
    let other = match other {
        Some(other) => other,
        None => case.another().await,
    };
    case.provider.close().await.unwrap();
    assert!(other.provider.health().await.unwrap());
    let sequence = other.publish("event").await;
    assert_eq!(sequence, if shares { 2 } else { 1 });
}

/// Two providers on two storages know nothing of each other.
pub async fn two_storages_are_isolated(case: Case) {
    let other = case.another().await;
    let mut reader = other.subscribe_all().await;
    let options = SubscribeOptions::default();
    let durable = case.durable("reader", &options).await.is_some();
    case.publish("event").await;
    reader.nothing().await;
    other.assert_nothing_stored().await;
    other.settles_at_consumers(1).await;
    if durable {
        other.provider.unsubscribe("reader").await.unwrap();
        case.settles_at_consumers(1).await;
    }
    assert_eq!(other.publish("event").await, 1);
}

/// Subscriptions are opened, read, closed and dropped by many at once, while
/// events are published: nothing is left behind and the provider works.
pub async fn an_open_and_close_storm_leaves_nothing_behind(case: Case) {
    case.publish_many("event", 5).await;
    let storms: Vec<_> = (0..8)
        .map(|storm| {
            let (provider, pattern) = (case.shared(), case.everything());
            let event = case.event("storm");
            let durability = case.claims().durability;
            tokio::spawn(async move {
                for round in 0..10 {
                    let mut subscription = provider.subscribe(&pattern).await.unwrap();
                    if durability {
                        let name = format!("storm-{}", (storm + round) % 4);
                        let durable = provider.subscribe_durable(&name, &pattern).await;
                        drop(durable.unwrap());
                    }
                    provider.publish(&event).await.unwrap();
                    let next = subscription.next().await.unwrap();
                    assert_eq!(next.unwrap().sequence, 1);
                    if round % 2 == 0 {
                        subscription.close().await.unwrap();
                    }
                }
            })
        })
        .collect();
    for storm in storms {
        within(Duration::from_secs(60), storm).await.unwrap();
    }
    let durables = if case.claims().durability { 4 } else { 0 };
    case.settles_at_consumers(durables).await;
    for durable in 0..4 {
        let name = format!("storm-{durable}");
        case.provider.unsubscribe(&name).await.unwrap();
    }
    case.settles_at_consumers(0).await;
    assert_eq!(case.publish("after").await, 86);
    let mut reader = case.subscribe_all().await;
    assert_eq!(reader.sequences(86).await, (1..=86).collect::<Vec<_>>());
}

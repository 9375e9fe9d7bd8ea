use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use a3s_event_bus::EventBus;
use a3s_event_core::{
    EventError,
    provider::{Answer, Subscription},
    subject::SubjectPattern,
    types::{SubscribeOptions, SubscriptionFilter},
};
use a3s_event_memory::MemoryProvider;
use futures_util::StreamExt;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{
    Scripted, at_once, capped, durable, event, filter, next, next_pending, publish, within,
};

#[tokio::test]
async fn a_subscription_gives_what_is_retained_and_what_follows() {
    let bus = EventBus::new(MemoryProvider::default());
    publish(&bus, "events.a.b").await;
    publish(&bus, "events.b.b").await;
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    publish(&bus, "events.a.c").await;
    assert_eq!(next(&mut subscription).await.sequence, 1);
    assert_eq!(next(&mut subscription).await.sequence, 3);
    assert!(at_once(subscription.next()).await.is_none());
}

/// Kinds of subscriptions over `events.a.>`: those that leave everything to the
/// provider, and those for which the bus works.
const KINDS: [&str; 5] = ["pattern", "plain", "durable", "capped", "several"];

async fn open(bus: &EventBus, kind: &str) -> Box<dyn Subscription> {
    let subjects = ["events.a.>"];
    let filter = match kind {
        "pattern" => return bus.subscribe("events.a.>").await.unwrap(),
        "plain" => filter(kind, &subjects),
        "durable" => durable(kind, &subjects),
        "capped" => capped(kind, &subjects, 5),
        _ => durable(kind, &["events.a.>", "events.b.>"]),
    };
    bus.update_subscription(filter).await.unwrap();
    bus.subscribe_as(kind).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn next_acknowledges_when_the_caller_comes_back() {
    for id in ["durable", "capped", "several"] {
        let bus = EventBus::new(MemoryProvider::default());
        drop(open(&bus, id).await);
        publish(&bus, "events.a.1").await;
        publish(&bus, "events.a.2").await;
        let mut subscription = bus.subscribe_as(id).await.unwrap();
        assert_eq!(next(&mut subscription).await.sequence, 1);
        assert_eq!(next(&mut subscription).await.sequence, 2);
        drop(subscription);

        // The first was acknowledged, the second comes again, and at once.
        let mut subscription = bus.subscribe_as(id).await.unwrap();
        let again = at_once(subscription.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!((again.sequence, again.num_delivered), (2, 2), "{id}");
        assert!(at_once(subscription.next()).await.is_none(), "{id}");
        drop(subscription);
        tokio::time::advance(Duration::from_secs(31)).await;
        let mut subscription = bus.subscribe_as(id).await.unwrap();
        assert!(
            at_once(subscription.next()).await.is_none(),
            "{id}: coming back was the answer"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_of_next_loses_nothing() {
    for kind in KINDS {
        let bus = EventBus::new(MemoryProvider::default());
        let mut subscription = open(&bus, kind).await;
        for sequence in 1..=3 {
            assert!(at_once(subscription.next()).await.is_none());
            assert!(at_once(subscription.next_manual_ack()).await.is_none());
            publish(&bus, "events.a.b").await;
            let received = next(&mut subscription).await;
            assert_eq!(
                (received.sequence, received.num_delivered),
                (sequence, 1),
                "{kind}"
            );
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_under_way_survives_the_future_of_next() {
    let scripted = Scripted::default();
    let bus = EventBus::new(scripted.clone());
    bus.update_subscription(capped("a", &["events.a.>"], 9))
        .await
        .unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    scripted.deliver(event("events.a.b", json!(1)), 1, 1);
    next(&mut subscription).await;
    // The answer takes two polls: drop the future after the first.
    std::future::poll_fn(|cx| {
        let mut coming_back: Pin<Box<_>> = Box::pin(subscription.next());
        std::task::Poll::Ready(coming_back.as_mut().poll(cx).is_ready())
    })
    .await;
    assert_eq!(bus.metrics().snapshot().acked, 0);
    assert!(at_once(subscription.next()).await.is_none());
    assert_eq!(scripted.answers(), [(1, Answer::Ack)], "answered once");
    assert_eq!(bus.metrics().snapshot().acked, 1);
}

#[tokio::test]
async fn an_acknowledgement_that_fails_is_one_error_and_next_goes_on() {
    let scripted = Scripted::default();
    let bus = EventBus::new(scripted.clone());
    bus.update_subscription(capped("a", &["events.a.>"], 9))
        .await
        .unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    scripted.deliver(event("events.a.b", json!(1)), 1, 1);
    next(&mut subscription).await;
    scripted.deliver(event("events.a.b", json!(2)), 2, 1);
    scripted.fail_answers(true);
    assert!(matches!(
        within(subscription.next()).await,
        Err(EventError::Provider { .. })
    ));
    scripted.fail_answers(false);
    assert_eq!(next(&mut subscription).await.sequence, 2);
}

#[tokio::test(start_paused = true)]
async fn answers_reach_the_provider() {
    let bus = EventBus::new(MemoryProvider::default());
    let mut subscription = bus.subscribe("events.a.>").await.unwrap();
    for _ in 0..3 {
        publish(&bus, "events.a.b").await;
    }
    next_pending(&mut subscription)
        .await
        .ack_confirmed()
        .await
        .unwrap();
    next_pending(&mut subscription).await.nak().await.unwrap();
    let again = next_pending(&mut subscription).await;
    assert_eq!(
        (again.received.sequence, again.received.num_delivered),
        (2, 2)
    );
    again.nak_after(Duration::from_secs(5)).await.unwrap();
    let third = next_pending(&mut subscription).await;
    assert_eq!(third.received.sequence, 3);

    tokio::time::advance(Duration::from_secs(20)).await;
    third.in_progress().await.unwrap();
    assert_eq!(
        next_pending(&mut subscription).await.received.num_delivered,
        3
    );
    tokio::time::advance(Duration::from_secs(20)).await;
    // Only the second one was left unanswered for 20 seconds.
    assert!(at_once(subscription.next()).await.is_none());
    third.ack().await.unwrap();
    let figures = bus.metrics().snapshot();
    assert_eq!(
        (figures.acked, figures.nacked, figures.unanswered),
        (2, 2, 1)
    );
    assert_eq!((figures.received, figures.redelivered), (5, 2));
}

#[tokio::test]
async fn create_subscriber_gives_one_subscription_per_subject() {
    let bus = EventBus::new(MemoryProvider::default());
    let subjects = ["events.b.>", "events.a.>"];
    bus.update_subscription(durable("a", &subjects))
        .await
        .unwrap();
    publish(&bus, "events.a.x").await;
    publish(&bus, "events.b.x").await;
    let mut subscriptions = bus.create_subscriber("a").await.unwrap();
    assert_eq!(subscriptions.len(), 2);
    assert_eq!(
        next(&mut subscriptions[0]).await.event.subject,
        "events.b.x"
    );
    assert_eq!(
        next(&mut subscriptions[1]).await.event.subject,
        "events.a.x"
    );
}

#[tokio::test]
async fn handles_of_one_subscriber_share_the_work() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.a.>"]))
        .await
        .unwrap();
    let mut one = bus.subscribe_as("a").await.unwrap();
    let mut other = bus.create_subscriber("a").await.unwrap().remove(0);
    publish(&bus, "events.a.1").await;
    publish(&bus, "events.a.2").await;
    let first = next_pending(&mut one).await;
    let second = next_pending(&mut other).await;
    assert_ne!(first.received.sequence, second.received.sequence);
}

#[tokio::test]
async fn an_event_that_several_subjects_match_comes_once() {
    for subjects in [
        ["events.market.*", "events.*.forex"],
        ["events.*.forex", "events.market.*"],
    ] {
        for register in [filter, durable] {
            let bus = EventBus::new(MemoryProvider::default());
            bus.update_subscription(register("a", &subjects))
                .await
                .unwrap();
            for subject in [
                "events.market.forex",
                "events.market.gold",
                "events.bank.forex",
            ] {
                publish(&bus, subject).await;
            }
            let mut subscription = bus.subscribe_as("a").await.unwrap();
            let mut seen = Vec::new();
            for _ in 0..3 {
                let pending = next_pending(&mut subscription).await;
                seen.push(pending.received.sequence);
                pending.ack().await.unwrap();
            }
            seen.sort_unstable();
            assert_eq!(seen, [1, 2, 3]);
            assert!(at_once(subscription.next()).await.is_none());
            assert_eq!(bus.metrics().snapshot().received, 3);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn copies_of_an_event_are_done_once_they_were_passed_over() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.market.*", "events.*.forex"]))
        .await
        .unwrap();
    publish(&bus, "events.market.forex").await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    next_pending(&mut subscription).await.ack().await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(at_once(subscription.next()).await.is_none());
}

#[tokio::test]
async fn a_busy_subject_starves_no_other() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.busy.>", "events.calm.>"]))
        .await
        .unwrap();
    for _ in 0..100 {
        publish(&bus, "events.busy.x").await;
    }
    publish(&bus, "events.calm.x").await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let first_two = [next(&mut subscription).await, next(&mut subscription).await];
    assert!(
        first_two
            .iter()
            .any(|received| received.event.subject == "events.calm.x")
    );
}

#[tokio::test]
async fn many_copies_to_pass_over_do_not_block_the_task() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.x.a", "events.*.a"]))
        .await
        .unwrap();
    for _ in 0..1_000 {
        publish(&bus, "events.x.a").await;
    }
    publish(&bus, "events.y.a").await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1_001 {
        let pending = next_pending(&mut subscription).await;
        assert!(seen.insert(pending.received.sequence));
        pending.ack().await.unwrap();
    }
}

#[tokio::test]
async fn covered_subjects_are_dropped() {
    let bus = EventBus::new(MemoryProvider::default());
    let subjects = [
        "events.a.b",
        "events.a.*",
        "events.c",
        "events.a.b",
        "events.a.*",
        "events.c",
    ];
    bus.update_subscription(durable("a", &subjects))
        .await
        .unwrap();
    let kept = bus.get_subscription("a").await.unwrap().subjects;
    assert_eq!(kept, ["events.a.*", "events.c"]);
    assert_eq!(bus.create_subscriber("a").await.unwrap().len(), 2);
}

#[tokio::test]
async fn positions_do_not_depend_on_the_order_of_subjects() {
    let bus = EventBus::new(MemoryProvider::default());
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    publish(&bus, "events.a.x").await;
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    next_pending(&mut subscription).await.ack().await.unwrap();
    drop(subscription);

    bus.update_subscription(durable("a", &["events.b.>", "events.a.>"]))
        .await
        .unwrap();
    let kept = bus.get_subscription("a").await.unwrap().subjects;
    assert_eq!(kept, ["events.a.>", "events.b.>"]);
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    assert!(at_once(subscription.next()).await.is_none());
}

#[tokio::test]
async fn other_options_for_an_existing_durable_are_a_mismatch() {
    let bus = EventBus::new(MemoryProvider::default());
    let with = |options| SubscriptionFilter {
        options: Some(options),
        ..durable("a", &["events.a.>"])
    };
    let options = SubscribeOptions::default();
    bus.update_subscription(with(options.clone().with_ack_wait_secs(5)))
        .await
        .unwrap();
    bus.create_subscriber("a").await.unwrap();
    // The cap and reading ahead belong to the reader.
    let changed = options
        .clone()
        .with_ack_wait_secs(5)
        .with_max_deliver(3)
        .with_prefetch(7);
    bus.update_subscription(with(changed)).await.unwrap();
    bus.create_subscriber("a").await.unwrap();

    bus.update_subscription(with(options.with_ack_wait_secs(6)))
        .await
        .unwrap();
    let opened = bus.create_subscriber("a").await.err();
    assert!(matches!(opened, Some(EventError::ConsumerMismatch { .. })));
}

#[tokio::test]
async fn every_kind_of_subscription_is_a_stream() {
    let bus = EventBus::new(MemoryProvider::default());
    publish(&bus, "events.a.1").await;
    publish(&bus, "events.a.2").await;
    for kind in KINDS {
        let mut stream = open(&bus, kind).await.into_stream();
        for sequence in 1..=2 {
            let received = within(stream.next()).await.unwrap().unwrap();
            assert_eq!(received.sequence, sequence);
        }
        assert!(at_once(stream.next()).await.is_none());
        stream.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_publishers_and_twenty_readers_agree() {
    const PUBLISHERS: u64 = 50;
    const EACH: u64 = 40;
    let bus = Arc::new(EventBus::new(MemoryProvider::default()));
    bus.update_subscription(durable("team", &["events.load.>", "events.*.1"]))
        .await
        .unwrap();
    let (shared, own) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for reader in 0..20 {
        let bus = Arc::clone(&bus);
        let (shared, own) = (Arc::clone(&shared), Arc::clone(&own));
        tasks.spawn(async move {
            let in_team = reader % 2 == 0;
            let mut subscription = if in_team {
                bus.subscribe_as("team").await.unwrap()
            } else {
                bus.subscribe("events.load.>").await.unwrap()
            };
            while let Some(pending) = subscription.next_manual_ack().await.unwrap() {
                pending.ack().await.unwrap();
                let counter = if in_team { &shared } else { &own };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let bus = Arc::clone(&bus);
        publishers.spawn(async move {
            for _ in 0..EACH {
                publish(&bus, &format!("events.load.{publisher}")).await;
            }
        });
    }
    within(publishers.join_all()).await;
    let total = PUBLISHERS * EACH;
    within(async {
        while shared.load(Ordering::Relaxed) < total || own.load(Ordering::Relaxed) < 10 * total {
            tokio::task::yield_now().await;
        }
    })
    .await;
    bus.close().await.unwrap();
    within(tasks.join_all()).await;
    assert_eq!(
        (shared.load(Ordering::Relaxed), own.load(Ordering::Relaxed)),
        (total, 10 * total)
    );
    assert_eq!(bus.metrics().snapshot().acked, 11 * total);
    assert_eq!(bus.counts(usize::MAX).await.unwrap_err().kind(), "closed");
}

#[tokio::test]
async fn an_added_subject_that_cannot_be_opened_is_tried_again() {
    let scripted = Scripted::default();
    let bus = EventBus::new(scripted.clone());
    bus.update_subscription(durable("a", &["events.a.>"]))
        .await
        .unwrap();
    let mut subscription = bus.subscribe_as("a").await.unwrap();
    scripted.fail_opens(true);
    bus.update_subscription(durable("a", &["events.a.>", "events.b.>"]))
        .await
        .unwrap();
    for _ in 0..2 {
        let failed = within(subscription.next()).await;
        assert!(matches!(failed, Err(EventError::Connection { .. })));
    }
    scripted.fail_opens(false);
    assert!(at_once(subscription.next()).await.is_none());
    let consumers: Vec<_> = scripted
        .opened()
        .into_iter()
        .map(|(pattern, ..)| pattern)
        .collect();
    assert_eq!(consumers, ["events.a.>", "events.b.>"]);
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    let token = prop_oneof![Just("a"), Just("b"), Just("*")];
    let pattern = (prop::collection::vec(token, 1..3), any::<bool>()).prop_map(|(tokens, tail)| {
        let tail = if tail { ".>" } else { "" };
        format!("events.{}{tail}", tokens.join("."))
    });
    prop::collection::vec(pattern, 1..6)
}

proptest! {
    #[test]
    fn dropping_covered_subjects_drops_no_event(subjects in patterns()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let kept = runtime.block_on(async {
            let bus = EventBus::new(MemoryProvider::default());
            let subjects: Vec<&str> = subjects.iter().map(String::as_str).collect();
            bus.update_subscription(filter("a", &subjects)).await.unwrap();
            bus.get_subscription("a").await.unwrap().subjects
        });
        prop_assert!(kept.iter().all(|kept| subjects.contains(kept)));
        let parse = |pattern: &String| SubjectPattern::parse(pattern).unwrap();
        let kept: Vec<SubjectPattern> = kept.iter().map(parse).collect();
        for pattern in subjects.iter().map(parse) {
            prop_assert!(kept.iter().any(|kept| kept.covers(&pattern)));
        }
        for (index, pattern) in kept.iter().enumerate() {
            let others = kept.iter().enumerate().filter(|(other, _)| *other != index);
            prop_assert!(others.into_iter().all(|(_, other)| !other.covers(pattern)));
        }
    }
}

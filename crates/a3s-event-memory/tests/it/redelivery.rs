//! Deadlines without a background task: whoever waits must learn of them.

use std::time::Duration;

use a3s_event_core::{provider::EventProvider, types::SubscribeOptions};

use crate::{event, provider, publish};

#[tokio::test(start_paused = true)]
async fn a_waiting_handle_takes_over_what_another_one_left_unanswered() {
    let provider = provider(0, 0);
    let mut waiting = provider
        .subscribe_durable("workers", "events.>")
        .await
        .unwrap();
    let mut leaving = provider
        .subscribe_durable("workers", "events.>")
        .await
        .unwrap();
    let waiting = tokio::spawn(async move {
        let mut seen = Vec::new();
        while seen.len() < 2 {
            let pending = waiting.next_manual_ack().await.unwrap().unwrap();
            seen.push((pending.received.sequence, pending.received.num_delivered));
            pending.ack().await.unwrap();
        }
        seen
    });
    tokio::task::yield_now().await;
    // Published without a point at which the waiting handle could run.
    provider.publish(&event("events.a.x", 1)).await.unwrap();
    let left = leaving.next_manual_ack().await.unwrap().unwrap();
    drop((left, leaving));
    publish(&provider, "events.a.x", 2..3).await;

    assert_eq!(waiting.await.unwrap(), [(2, 1), (1, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_backoff_step_wakes_handles_that_wait_for_a_longer_one() {
    let provider = provider(0, 0);
    let options = SubscribeOptions {
        backoff_secs: vec![100, 1],
        ..Default::default()
    };
    let open = || provider.subscribe_durable_with_options("workers", "events.>", &options);
    let (mut one, mut other) = (open().await.unwrap(), open().await.unwrap());
    publish(&provider, "events.a.x", 0..2).await;
    let first = one.next_manual_ack().await.unwrap().unwrap();
    let _unanswered = one.next_manual_ack().await.unwrap().unwrap();

    let waiting = tokio::spawn(async move {
        let mut seen = Vec::new();
        let mut held = Vec::new();
        while seen.len() < 2 {
            let pending = other.next_manual_ack().await.unwrap().unwrap();
            seen.push((pending.received.sequence, pending.received.num_delivered));
            held.push(pending);
        }
        seen
    });
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    first.nak().await.unwrap();
    let again = one.next_manual_ack().await.unwrap().unwrap();
    assert_eq!(again.received.num_delivered, 2);
    drop(again);

    tokio::time::timeout(Duration::from_secs(2), async {
        while started.elapsed() < Duration::from_millis(1001) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();
    let seen = waiting.await.unwrap();
    assert_eq!(seen[0], (1, 3));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_unanswered_events_come_again_in_order() {
    const EVENTS: u64 = 100_000;
    let provider = provider(0, 10_000);
    let options = SubscribeOptions {
        max_ack_pending: Some(-1),
        ..Default::default()
    };
    let mut reader = provider
        .subscribe_durable_with_options("workers", "events.>", &options)
        .await
        .unwrap();
    publish(&provider, "events.a.x", 0..EVENTS).await;
    for sequence in 1..=EVENTS {
        let pending = reader.next_manual_ack().await.unwrap().unwrap();
        assert_eq!(pending.received.sequence, sequence);
        if sequence % 2 == 0 {
            pending.ack().await.unwrap();
        }
    }
    for sequence in (1..=EVENTS).step_by(2) {
        let pending = reader.next_manual_ack().await.unwrap().unwrap();
        assert_eq!(
            (pending.received.sequence, pending.received.num_delivered),
            (sequence, 2)
        );
        pending.ack().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_ends_a_handle_that_waits_after_the_provider_went() {
    let provider = provider(0, 0);
    publish(&provider, "events.a.x", 1..2).await;
    let mut handle = provider.subscribe("events.>").await.unwrap();
    let pending = handle.next_manual_ack().await.unwrap().unwrap();
    drop(provider);
    let waiting = tokio::spawn(async move { handle.next_manual_ack().await.unwrap().is_none() });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished(), "the event may come again");

    pending.ack().await.unwrap();
    let before_the_ack_wait = Duration::from_secs(1);
    let ended = tokio::time::timeout(before_the_ack_wait, waiting).await;
    assert!(ended.expect("it ends at once").unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_earlier_delivery_that_asks_for_time_wakes_handles_that_wait_for_a_delay() {
    let provider = provider(0, 0);
    publish(&provider, "events.a.x", 1..2).await;
    let mut handle = provider.subscribe("events.>").await.unwrap();
    let first = handle.next_manual_ack().await.unwrap().unwrap();
    let second = handle.next_manual_ack().await.unwrap().unwrap();
    assert_eq!(second.received.num_delivered, 2);
    let hour = Duration::from_secs(3600);
    second.nak_after(hour).await.unwrap();
    let waiting = tokio::spawn(async move { handle.next_manual_ack().await });
    tokio::task::yield_now().await;

    first.in_progress().await.unwrap();
    let third = tokio::time::timeout(Duration::from_secs(31), waiting).await;
    let third = third.expect("the ack wait is over").unwrap().unwrap();
    assert_eq!(third.unwrap().received.num_delivered, 3);
}

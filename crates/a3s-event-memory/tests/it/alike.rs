//! Where memory once behaved unlike JetStream, as the comparison of the two in
//! the tests of the workspace found.

use std::time::Duration;

use a3s_event_core::{
    EventError,
    provider::{Answer, EventProvider},
    types::SubscribeOptions,
};

use crate::{event, is_quiet, next, provider, publish};

#[tokio::test(start_paused = true)]
async fn a_batch_for_a_closed_provider_is_refused_as_a_whole() {
    let provider = provider(0, 0);
    provider.close().await.unwrap();
    for batch in [&[][..], &[event("events.a.x", 0)]] {
        let outcome = provider.publish_batch(batch).await;
        assert!(
            matches!(outcome, Err(EventError::Closed { .. })),
            "{outcome:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_durable_is_opened_by_any_pattern_that_selects_the_same() {
    let provider = provider(0, 0);
    for pattern in ["events.>", ">"] {
        provider.subscribe_durable("all", pattern).await.unwrap();
    }
    let options = SubscribeOptions::default();
    for pattern in ["*.a.x", "events.a.x"] {
        let opened = provider.subscribe_durable_with_options("one", pattern, &options);
        opened.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_difference_open_a_durable() {
    let provider = provider(0, 0);
    let unreachable_steps = SubscribeOptions::default()
        .with_max_deliver(2)
        .with_backoff_secs([5, 7, 9]);
    let alike = SubscribeOptions::default()
        .with_max_deliver(2)
        .with_backoff_secs([5])
        .with_ack_wait_secs(70);
    for options in [unreachable_steps, alike] {
        let opened = provider.subscribe_durable_with_options("capped", ">", &options);
        opened.await.unwrap();
    }
    let once = SubscribeOptions::default().with_max_deliver(1);
    for options in [
        once.clone().with_backoff_secs([5, 7]),
        once.with_ack_wait_secs(5),
    ] {
        let opened = provider.subscribe_durable_with_options("once", ">", &options);
        opened.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn differences_read_as_those_of_jetstream() {
    let provider = provider(0, 0);
    let options = SubscribeOptions::default();
    let opened = provider.subscribe_durable_with_options("one", "events.a.>", &options);
    opened.await.unwrap();
    let options = options
        .with_max_deliver(3)
        .with_backoff_secs([1, 2, 3])
        .with_max_ack_pending(7);
    let opened = provider.subscribe_durable_with_options("one", "events.b.>", &options);
    let Err(EventError::ConsumerMismatch { differences, .. }) = opened.await.map(drop) else {
        panic!("it exists with other options");
    };
    assert_eq!(
        differences,
        [
            "filter_subject: \"events.b.>\" wanted, \"events.a.>\" stored",
            "backoff_secs: [1, 2] wanted, none stored",
            "max_deliver: 3 wanted, -1 stored",
            "max_ack_pending: 7 wanted, 1000 stored",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_last_delivery_refused_with_a_delay_keeps_its_place_until_the_delay_is_over() {
    let provider = provider(0, 0);
    publish(&provider, "events.a.x", 0..2).await;
    let options = SubscribeOptions::default()
        .with_max_deliver(1)
        .with_max_ack_pending(1);
    let opened = provider.subscribe_durable_with_options("one", ">", &options);
    let mut reader = opened.await.unwrap();
    let refused = reader.next_manual_ack().await.unwrap().unwrap();
    refused.nak_after(Duration::from_secs(5)).await.unwrap();
    assert_eq!(provider.consumer_info("one").await.unwrap().unanswered, 1);
    let since = tokio::time::Instant::now();
    assert_eq!(next(&mut *reader).await.sequence, 2);
    assert!(since.elapsed() >= Duration::from_secs(5));
    assert!(is_quiet(&mut *reader).await, "it does not come again");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_with_a_delay_replaces_one_without() {
    let provider = provider(0, 0);
    publish(&provider, "events.a.x", 0..1).await;
    let mut reader = provider.subscribe(">").await.unwrap();
    let (_, handle) = reader
        .next_manual_ack()
        .await
        .unwrap()
        .unwrap()
        .into_parts();
    let delay = Duration::from_secs(5);
    for answer in [Answer::Nak, Answer::NakAfter(delay)] {
        handle.answer(answer).await.unwrap();
    }
    let since = tokio::time::Instant::now();
    assert_eq!(next(&mut *reader).await.num_delivered, 2);
    assert!(since.elapsed() >= delay);
    assert!(is_quiet(&mut *reader).await, "it comes once");
}

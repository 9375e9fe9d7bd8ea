//! What is retained, and that retention wins over delivery.

use std::time::Duration;

use a3s_event_core::{
    EventError,
    provider::{EventProvider, PendingEvent, Subscription},
    types::{PublishOptions, SubscribeOptions},
};
use a3s_event_memory::MemoryProvider;
use tokio::time::Instant;

use crate::{event, is_quiet, next, provider, publish};

#[tokio::test]
async fn events_are_retained_by_count_bytes_and_age() {
    let by_bytes = MemoryProvider::builder().max_bytes(2000).build().unwrap();
    publish(&by_bytes, "events.a.x", 0..100).await;
    let info = by_bytes.info().await.unwrap();
    assert!(info.bytes <= 2000 && info.messages > 5, "{info:?}");

    let by_count = provider(10, 0);
    publish(&by_count, "events.a.x", 0..100).await;
    assert_eq!(by_count.info().await.unwrap().messages, 10);
}

#[tokio::test(start_paused = true)]
async fn age_is_measured_on_the_pausable_clock() {
    let provider = MemoryProvider::builder()
        .max_age(Duration::from_secs(10))
        .build()
        .unwrap();
    publish(&provider, "events.a.x", 0..1).await;
    tokio::time::advance(Duration::from_secs(6)).await;
    publish(&provider, "events.a.x", 1..2).await;
    tokio::time::advance(Duration::from_secs(6)).await;

    let history = provider.history(None, 10).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].payload["number"], 1);
    let mut reader = provider.subscribe("events.>").await.unwrap();
    assert_eq!(next(&mut *reader).await.sequence, 2);
    assert_eq!(reader.missed(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_age_below_a_millisecond_is_not_for_ever() {
    let age = Duration::from_micros(1);
    let provider = MemoryProvider::builder().max_age(age).build().unwrap();
    publish(&provider, "events.a.x", 0..1).await;
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(provider.info().await.unwrap().messages, 0);
}

#[tokio::test]
async fn an_event_over_a_limit_is_refused_with_size_and_limit() {
    let provider = MemoryProvider::builder()
        .max_event_bytes(300)
        .build()
        .unwrap();
    let mut large = event("events.a.x", 1);
    large.summary = "x".repeat(500);
    let refused = provider.publish(&large).await;
    assert!(matches!(refused, Err(EventError::TooLarge { size, limit: 300, .. }) if size > 500));
    assert_eq!(provider.info().await.unwrap().messages, 0);
}

#[tokio::test(start_paused = true)]
async fn eviction_makes_room_for_a_reader_at_its_bound() {
    let provider = provider(10, 10_000);
    let options = SubscribeOptions {
        max_ack_pending: Some(1),
        ..Default::default()
    };
    let mut reader = provider
        .subscribe_with_options("events.>", &options)
        .await
        .unwrap();
    publish(&provider, "events.a.x", 0..1).await;
    let unanswered = reader.next_manual_ack().await.unwrap().unwrap();

    let started = tokio::time::Instant::now();
    let waiting = tokio::spawn(async move { reader.next_manual_ack().await });
    tokio::task::yield_now().await;
    publish(&provider, "events.a.x", 1..12).await;
    let second = waiting.await.unwrap().unwrap().unwrap();

    assert_eq!(second.received.sequence, 3);
    assert_eq!(
        started.elapsed(),
        Duration::ZERO,
        "it did not wait for the ack wait"
    );
    unanswered.ack().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_id_is_remembered_for_its_window_and_not_longer() {
    let provider = MemoryProvider::builder()
        .duplicate_window(Duration::from_secs(5))
        .max_events(1)
        .build()
        .unwrap();
    let options = PublishOptions::default().with_msg_id("order-1");
    let event = event("events.a.x", 1);
    assert_eq!(
        provider
            .publish_with_options(&event, &options)
            .await
            .unwrap(),
        1
    );
    publish(&provider, "events.a.x", 0..3).await;
    assert_eq!(
        provider
            .publish_with_options(&event, &options)
            .await
            .unwrap(),
        1
    );
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(
        provider
            .publish_with_options(&event, &options)
            .await
            .unwrap(),
        5
    );
}

#[tokio::test]
async fn a_prefix_that_breaks_the_rules_is_an_error_and_no_panic() {
    for prefix in ["", "a b", "$JS", "a.>"] {
        let built = MemoryProvider::builder().subject_prefix(prefix).build();
        assert!(
            matches!(built, Err(EventError::InvalidSubject { .. })),
            "{prefix}"
        );
    }
    let provider = MemoryProvider::new(a3s_event_memory::MemoryConfig {
        subject_prefix: "a\r\nb".to_string(),
        ..Default::default()
    });
    let refused = provider.publish(&event("a\r\nb.c.d", 1)).await;
    assert!(matches!(refused, Err(EventError::InvalidSubject { .. })));
    assert!(provider.subscribe(">").await.is_err());
    assert!(provider.history(None, 1).await.is_err());
}

#[tokio::test]
async fn a_repeat_that_expects_the_largest_sequence_is_a_conflict() {
    let provider = provider(0, 0);
    let options = PublishOptions::default().with_msg_id("a");
    let event = event("events.a.x", 1);
    provider
        .publish_with_options(&event, &options)
        .await
        .unwrap();

    let options = options.with_expected_sequence(u64::MAX);
    let refused = provider.publish_with_options(&event, &options).await;
    assert!(matches!(refused, Err(EventError::Conflict { .. })));
}

/// A provider that retains events for five seconds, and a reader at its bound.
async fn at_the_bound() -> (MemoryProvider, Box<dyn Subscription>, PendingEvent) {
    let built = MemoryProvider::builder().max_age(Duration::from_secs(5));
    let provider = built.build().unwrap();
    let options = SubscribeOptions {
        max_ack_pending: Some(1),
        ack_wait_secs: Some(3600),
        ..SubscribeOptions::default()
    };
    let opening = provider.subscribe_durable_with_options("c", "events.a.*", &options);
    let mut reader = opening.await.unwrap();
    publish(&provider, "events.a.x", 0..3).await;
    let unanswered = reader.next_manual_ack().await.unwrap().unwrap();
    (provider, reader, unanswered)
}

#[tokio::test(start_paused = true)]
async fn age_makes_room_for_a_reader_at_its_bound() {
    for refused in [false, true] {
        let started = Instant::now();
        let (provider, mut reader, unanswered) = at_the_bound().await;
        if refused {
            let hour = Duration::from_secs(3600);
            unanswered.nak_after(hour).await.unwrap();
        }
        tokio::time::advance(Duration::from_secs(3)).await;
        publish(&provider, "events.a.x", 3..4).await;

        assert_eq!(next(&mut *reader).await.sequence, 4);
        assert_eq!(started.elapsed(), Duration::from_secs(5));
        assert_eq!(reader.missed(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_reader_counts_what_age_takes_from_it() {
    let (_provider, mut reader, _unanswered) = at_the_bound().await;
    let before_the_ack_wait = Duration::from_secs(10);
    let waiting = tokio::time::timeout(before_the_ack_wait, reader.next());
    assert!(waiting.await.is_err());
    assert_eq!(reader.missed(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_became_too_old_after_it_was_fetched_is_missed() {
    let built = MemoryProvider::builder().max_age(Duration::from_secs(5));
    let provider = built.build().unwrap();
    for durable in [false, true] {
        let mut reader = if durable {
            provider.subscribe_durable("c", "events.>").await.unwrap()
        } else {
            provider.subscribe("events.>").await.unwrap()
        };
        publish(&provider, "events.a.x", 0..3).await;
        next(&mut *reader).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        assert!(is_quiet(&mut *reader).await, "durable: {durable}");
        assert_eq!(reader.missed(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_not_unanswered() {
    let (provider, _reader, _unanswered) = at_the_bound().await;
    tokio::time::advance(Duration::from_secs(5)).await;
    let info = provider.consumer_info("c").await.unwrap();
    assert_eq!((info.pending, info.unanswered), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn age_ends_a_handle_that_waits_for_the_events_of_a_provider_that_went() {
    let built = MemoryProvider::builder().max_age(Duration::from_secs(5));
    let provider = built.build().unwrap();
    let started = Instant::now();
    let mut reader = provider.subscribe("events.>").await.unwrap();
    for _ in 0..2 {
        publish(&provider, "events.a.x", 0..1).await;
        let pending = reader.next_manual_ack().await.unwrap().unwrap();
        pending.nak_after(Duration::from_secs(3600)).await.unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    drop(provider);
    let ended = tokio::time::timeout(Duration::from_secs(600), reader.next());
    assert!(ended.await.expect("it ends").unwrap().is_none());
    assert_eq!(started.elapsed(), Duration::from_secs(6));
}

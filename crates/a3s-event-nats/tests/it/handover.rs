//! What a reader leaves behind, and what waits in its buffer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use a3s_event_core::{EventError, provider::EventProvider, types::SubscribeOptions};
use a3s_event_nats::NatsProvider;
use a3s_event_nats_server::Server;
use a3s_event_testkit::{eventually, sample_event};
use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::common::{PATIENCE, everything, next, provider, publish_many, raw, shared_server};

/// So long that what is withheld does not come in time.
const ACK_WAIT_SECS: u64 = 300;

/// How a reader leaves.
#[derive(Clone, Copy, PartialEq)]
enum Leaving {
    Closed,
    Dropped,
}

/// Reads all events after another reader left. What that one withheld would
/// come after the ack wait, which nobody waits for.
async fn rest_after_leaving(how: Leaving, traffic: bool) {
    const EVENTS: u64 = 1000;
    const READ: u64 = 3;

    let server = shared_server();
    let provider = Arc::new(provider(server.url()).await);
    publish_many(&provider, "a", EVENTS as usize).await;
    // Somebody else keeps the connection busy.
    let busy = traffic.then(|| {
        let provider = Arc::clone(&provider);
        // Ends with the server: health without a connection is known at once, and a loop of answers
        // that nobody waits for can never be stopped.
        tokio::spawn(async move { while provider.health().await.unwrap() {} })
    });
    let everything = everything(&provider);
    let options = SubscribeOptions::default().with_ack_wait_secs(ACK_WAIT_SECS);
    let open = || provider.subscribe_durable_with_options("worker", &everything, &options);
    let mut leaving = open().await.unwrap();
    for _ in 0..READ {
        next(&mut *leaving).await.ack_confirmed().await.unwrap();
    }
    match how {
        Leaving::Closed => leaving.close().await.unwrap(),
        Leaving::Dropped => drop(leaving),
    }
    let mut staying = open().await.unwrap();
    let mut seen = BTreeSet::new();
    while (seen.len() as u64) < EVENTS - READ {
        let pending = next(&mut *staying).await;
        seen.insert(pending.received.sequence);
        pending.ack().await.unwrap();
    }
    assert_eq!(seen, (READ + 1..=EVENTS).collect());
    if let Some(busy) = busy {
        busy.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn closing_a_full_buffer_withholds_nothing_20_of_20_times() {
    for _ in 0..20 {
        rest_after_leaving(Leaving::Closed, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn closing_a_full_buffer_on_a_busy_connection_withholds_nothing_20_of_20_times() {
    for _ in 0..20 {
        rest_after_leaving(Leaving::Closed, true).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn dropping_a_full_buffer_withholds_nothing_20_of_20_times() {
    for _ in 0..20 {
        rest_after_leaving(Leaving::Dropped, false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn dropping_a_full_buffer_on_a_busy_connection_withholds_nothing_20_of_20_times() {
    for _ in 0..20 {
        rest_after_leaving(Leaving::Dropped, true).await;
    }
}

/// Readers that leave while events arrive, which they have asked for.
async fn leave_while_events_arrive(reconnected: bool) {
    const EVENTS: u64 = 3000;

    let server = Server::start().unwrap();
    let config = crate::common::config(server.url());
    let provider = NatsProvider::connect(config.clone()).await.unwrap();
    let publisher = NatsProvider::connect(config).await.unwrap();
    let options = SubscribeOptions::default().with_ack_wait_secs(ACK_WAIT_SECS);
    let everything = everything(&provider);
    let open = || provider.subscribe_durable_with_options("worker", &everything, &options);
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(open().await.unwrap());
    }
    if reconnected {
        server.stop().unwrap();
        server.restart().unwrap();
        for provider in [&provider, &publisher] {
            eventually(PATIENCE, || async { provider.health().await.unwrap() }).await;
        }
    }
    let publishing = tokio::spawn(async move {
        for _ in 0..EVENTS {
            let event = sample_event(&publisher, "a");
            publisher.publish(&event).await.unwrap();
        }
    });
    let mut seen = BTreeSet::new();
    for mut leaving in readers {
        for _ in 0..5 {
            let pending = next(&mut *leaving).await;
            seen.insert(pending.received.sequence);
            pending.ack().await.unwrap();
        }
        leaving.close().await.unwrap();
    }
    let mut staying = open().await.unwrap();
    while (seen.len() as u64) < EVENTS {
        let pending = next(&mut *staying).await;
        seen.insert(pending.received.sequence);
        pending.ack().await.unwrap();
    }
    publishing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn leaving_while_events_arrive_withholds_nothing() {
    leave_while_events_arrive(false).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn leaving_while_events_arrive_after_a_reconnect_withholds_nothing() {
    leave_while_events_arrive(true).await;
}

// On one thread, so that nothing arrives while the reader is polled.
#[tokio::test]
#[ignore = "needs nats-server"]
async fn closing_right_after_asking_withholds_nothing() {
    const EVENTS: u64 = 300;

    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", EVENTS as usize).await;
    let options = SubscribeOptions::default().with_ack_wait_secs(ACK_WAIT_SECS);
    let everything = everything(&provider);
    let open = || provider.subscribe_durable_with_options("worker", &everything, &options);
    for _ in 0..50 {
        let mut leaving = open().await.unwrap();
        // Polled once: the request is sent, and its answers are on their way.
        let asked = leaving.next_manual_ack().now_or_never();
        assert!(asked.is_none(), "nothing can be here yet");
        leaving.close().await.unwrap();
    }
    let mut staying = open().await.unwrap();
    let mut seen = BTreeSet::new();
    while (seen.len() as u64) < EVENTS {
        let pending = next(&mut *staying).await;
        seen.insert(pending.received.sequence);
        pending.ack().await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_close_that_is_given_up_goes_on() {
    const EVENTS: usize = 100;

    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", EVENTS).await;
    let options = SubscribeOptions::default().with_ack_wait_secs(ACK_WAIT_SECS);
    let everything = everything(&provider);
    let open = || provider.subscribe_durable_with_options("worker", &everything, &options);
    for dropped in [false, true] {
        let mut leaving = open().await.unwrap();
        next(&mut *leaving).await.nak().await.unwrap();
        let closed = leaving.close().now_or_never();
        assert!(closed.is_none(), "closing takes a while");
        if dropped {
            drop(leaving);
        } else {
            leaving.close().await.unwrap();
        }
    }
    let mut staying = open().await.unwrap();
    for _ in 0..EVENTS {
        next(&mut *staying).await.ack().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn closing_a_reader_whose_durable_was_deleted_has_nothing_to_give_back() {
    let server = shared_server();
    let config = crate::common::config(server.url());
    let reader = NatsProvider::connect(config.clone()).await.unwrap();
    publish_many(&reader, "a", 300).await;
    let everything = everything(&reader);
    for by_itself in [true, false] {
        let mut worker = reader
            .subscribe_durable("worker", &everything)
            .await
            .unwrap();
        let pending = next(&mut *worker).await;
        if by_itself {
            reader.unsubscribe("worker").await.unwrap();
        } else {
            let operator = NatsProvider::connect(config.clone()).await.unwrap();
            operator.unsubscribe("worker").await.unwrap();
        }
        worker.close().await.unwrap();
        pending.ack_confirmed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn slow_work_on_a_backlog_is_not_done_twice() {
    const EVENTS: u64 = 12;

    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", EVENTS as usize).await;
    let options = SubscribeOptions::default().with_ack_wait_secs(1);
    let mut worker = provider
        .subscribe_durable_with_options("worker", &everything(&provider), &options)
        .await
        .unwrap();
    // The backlog takes six times the ack wait, all of it in the buffer.
    for expected in 1..=EVENTS {
        let pending = next(&mut *worker).await;
        let received = &pending.received;
        assert_eq!((received.sequence, received.num_delivered), (expected, 1));
        tokio::time::sleep(Duration::from_millis(500)).await;
        pending.ack_confirmed().await.unwrap();
    }
    let lag = provider.consumer_info("worker").await.unwrap();
    assert_eq!((lag.pending, lag.unanswered), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_reader_with_one_delivery_per_event_that_leaves_loses_nothing_unseen() {
    const EVENTS: u64 = 30;

    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", EVENTS as usize).await;
    let options = SubscribeOptions::default().with_max_deliver(1);
    let mut seen = BTreeSet::new();
    while (seen.len() as u64) < EVENTS {
        let mut worker = provider
            .subscribe_durable_with_options("worker", &everything(&provider), &options)
            .await
            .unwrap();
        for _ in 0..3 {
            let pending = next(&mut *worker).await;
            seen.insert(pending.received.sequence);
            pending.ack().await.unwrap();
        }
        worker.close().await.unwrap();
    }
    assert_eq!(seen, (1..=EVENTS).collect());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn the_last_delivery_of_an_event_that_nobody_saw_is_an_error_of_close() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let options = SubscribeOptions::default().with_max_deliver(1);
    let mut worker = provider
        .subscribe_durable_with_options("worker", &everything(&provider), &options)
        .await
        .unwrap();
    // Asks, and does not wait for the answer.
    let asking = tokio::time::timeout(Duration::from_millis(200), worker.next_manual_ack());
    assert!(asking.await.is_err());
    let sequence = provider
        .publish(&sample_event(&provider, "a"))
        .await
        .unwrap();
    eventually(PATIENCE, || async {
        provider.consumer_info("worker").await.unwrap().unanswered == 1
    })
    .await;
    let closed = worker.close().await;
    assert!(
        matches!(&closed, Err(EventError::Exhausted { sequence: s, .. }) if *s == sequence),
        "{closed:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn closing_the_provider_gives_back_what_its_readers_hold() {
    let server = shared_server();
    let config = crate::common::config(server.url());
    let first = NatsProvider::connect(config.clone()).await.unwrap();
    publish_many(&first, "a", 100).await;
    let options = SubscribeOptions::default().with_ack_wait_secs(ACK_WAIT_SECS);
    let mut worker = first
        .subscribe_durable_with_options("worker", &everything(&first), &options)
        .await
        .unwrap();
    next(&mut *worker).await.ack_confirmed().await.unwrap();
    first.close().await.unwrap();
    assert!(worker.next().await.unwrap().is_none());
    let second = NatsProvider::connect(config).await.unwrap();
    let mut worker = second
        .subscribe_durable_with_options("worker", &everything(&second), &options)
        .await
        .unwrap();
    for _ in 0..99 {
        next(&mut *worker).await.ack().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_gap_in_a_stream_that_is_read_whole_is_counted() {
    let server = shared_server();
    let config = a3s_event_nats::NatsConfig {
        max_events: 5,
        ..crate::common::config(server.url())
    };
    let provider = NatsProvider::connect(config).await.unwrap();
    let options = SubscribeOptions::default().with_prefetch(0);
    let mut reader = provider
        .subscribe_with_options(">", &options)
        .await
        .unwrap();
    publish_many(&provider, "a", 1).await;
    next(&mut *reader).await.ack_confirmed().await.unwrap();
    publish_many(&provider, "a", 20).await;
    let pending = next(&mut *reader).await;
    assert_eq!(pending.received.sequence, 17);
    assert_eq!(reader.missed(), 15);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_gap_is_counted_behind_events_that_came_again_while_they_waited() {
    let server = shared_server();
    let raw = raw(server.url()).await;
    let config = crate::common::config(server.url());
    let stream = config.stream_name.clone();
    let provider = NatsProvider::connect(config).await.unwrap();
    let options = SubscribeOptions::default().with_max_ack_pending(5);
    let mut reader = provider
        .subscribe_with_options(">", &options)
        .await
        .unwrap();
    publish_many(&provider, "a", 5).await;
    let mut held = vec![next(&mut *reader).await];
    let consumer = raw.consumers(&stream).await.remove(0);
    for sequence in 2..=5 {
        let reply = format!("$JS.ACK.{stream}.{consumer}.1.{sequence}.{sequence}.0.0");
        raw.0.publish(reply, "-NAK".into()).await.unwrap();
    }
    let info = format!("CONSUMER.INFO.{stream}.{consumer}");
    eventually(PATIENCE, || async {
        raw.ask(&info, &Value::Null).await["delivered"]["consumer_seq"] == 9
    })
    .await;
    // The bound keeps them back until the last one is published.
    for sequence in publish_many(&provider, "a", 3).await {
        let which = json!({"seq": sequence});
        let deleted = raw
            .ask(&format!("STREAM.MSG.DELETE.{stream}"), &which)
            .await;
        assert_eq!(deleted["success"], true);
    }
    publish_many(&provider, "a", 1).await;
    while held.len() < 5 {
        held.push(next(&mut *reader).await);
    }
    for pending in held {
        pending.ack().await.unwrap();
    }
    assert_eq!(next(&mut *reader).await.received.sequence, 9);
    assert_eq!(reader.missed(), 3);
}

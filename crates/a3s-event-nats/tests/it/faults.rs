//! The server is killed and comes back.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use a3s_event_core::{
    EventError,
    provider::{EventProvider, Subscription},
    types::{PublishOptions, SubscribeOptions},
};
use a3s_event_nats::NatsProvider;
use a3s_event_nats_server::Server;
use a3s_event_testkit::{eventually, sample_event, within};

use crate::common::{PATIENCE, config, everything, next, provider, publish_many, raw};

/// How soon after the connection is back events must flow. It takes some tens of
/// milliseconds; a reader that learned of it only from a missing heartbeat would
/// take more than three seconds.
const RESUMES_WITHIN: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn what_was_acknowledged_survives_a_kill_while_publishing() {
    let server = Server::start().unwrap();
    let provider = Arc::new(provider(server.url()).await);
    let done = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn({
        let (provider, done) = (Arc::clone(&provider), Arc::clone(&done));
        async move {
            let mut acknowledged = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let event = sample_event(&*provider, "a");
                let options = PublishOptions::default().with_timeout_secs(1);
                if let Ok(sequence) = provider.publish_with_options(&event, &options).await {
                    acknowledged.push((sequence, event.id.clone()));
                }
            }
            acknowledged
        }
    });
    for _ in 0..3 {
        let before = provider.info().await.unwrap().messages;
        eventually(PATIENCE, || async {
            provider
                .info()
                .await
                .is_ok_and(|info| info.messages > before + 50)
        })
        .await;
        server.kill().unwrap();
        server.restart().unwrap();
    }
    eventually(PATIENCE, || async { provider.health().await.unwrap() }).await;
    done.store(true, Ordering::Relaxed);
    let acknowledged = within(PATIENCE, publisher).await.unwrap();
    assert!(acknowledged.len() > 100);
    assert!(acknowledged.is_sorted(), "sequences increase");
    let stored = provider.history(None, usize::MAX).await.unwrap();
    let stored: BTreeSet<&String> = stored.iter().map(|event| &event.id).collect();
    for (sequence, id) in &acknowledged {
        assert!(stored.contains(id), "event {sequence} is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn every_event_is_seen_over_kills_while_consuming() {
    const EVENTS: u64 = 3000;

    let server = Server::start().unwrap();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", EVENTS as usize).await;
    let options = SubscribeOptions::default().with_ack_wait_secs(2);
    for durable in [true, false] {
        let everything = everything(&provider);
        let mut subscription = if durable {
            provider
                .subscribe_durable_with_options("worker", &everything, &options)
                .await
                .unwrap()
        } else {
            provider
                .subscribe_with_options(&everything, &options)
                .await
                .unwrap()
        };
        let mut seen = BTreeSet::new();
        let mut kills = [EVENTS / 3, EVENTS / 2].into_iter().peekable();
        while (seen.len() as u64) < EVENTS {
            let pending = next(&mut *subscription).await;
            seen.insert(pending.received.sequence);
            match pending.ack().await {
                Ok(()) | Err(EventError::Connection { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
            if kills.next_if(|at| seen.len() as u64 >= *at).is_some() {
                server.kill().unwrap();
                server.restart().unwrap();
            }
        }
        subscription.close().await.unwrap();
    }
}

/// The time from the moment the connection is back to the first event.
async fn resume_time(
    server: &Server,
    provider: &NatsProvider,
    subscription: &mut dyn Subscription,
) -> Duration {
    let event = sample_event(provider, "a");
    let publishing = async {
        // Waits until the connection is up, then publishes at once. Where the
        // machine is slow to restart the server, one wait may not be enough.
        while let Err(error) = provider.publish(&event).await {
            assert!(error.is_retryable(), "{error:?}");
        }
        Instant::now()
    };
    server.kill().unwrap();
    // Sent before the client has noticed, the event would be lost with the connection.
    eventually(PATIENCE, || async { !provider.health().await.unwrap() }).await;
    let reading = async {
        loop {
            let pending = next(subscription).await;
            let id = pending.received.event.id.clone();
            pending.ack_confirmed().await.unwrap();
            // A killed server may forget what was acknowledged: that comes again.
            if id == event.id {
                break;
            }
        }
        Instant::now()
    };
    let restart = async {
        tokio::task::block_in_place(|| server.restart().unwrap());
    };
    let (read, published, ()) = tokio::join!(reading, publishing, restart);
    read.saturating_duration_since(published)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_waiting_reader_gets_the_first_event_soon_after_the_connection_is_back() {
    let server = Server::start().unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let own = provider(server.url()).await;
    let foreign = NatsProvider::builder(config(server.url()))
        .connect_with_client(client)
        .await
        .unwrap();
    for (provider, kind) in [(&own, "own"), (&foreign, "handed in")] {
        let everything = everything(provider);
        let mut waiting = [
            provider.subscribe(&everything).await.unwrap(),
            provider
                .subscribe_durable("worker", &everything)
                .await
                .unwrap(),
            provider
                .subscribe_with_options(&everything, &SubscribeOptions::default().with_prefetch(0))
                .await
                .unwrap(),
        ];
        for (number, subscription) in waiting.iter_mut().enumerate() {
            // What the reader before had to read.
            for _ in 0..number {
                next(&mut **subscription)
                    .await
                    .ack_confirmed()
                    .await
                    .unwrap();
            }
            let took = resume_time(&server, provider, &mut **subscription).await;
            assert!(
                took < RESUMES_WITHIN,
                "client {kind}, subscription {number}: {took:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn an_answer_to_an_event_from_before_a_restart_settles_it() {
    let server = Server::start().unwrap();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 2).await;
    let everything = everything(&provider);
    let options = SubscribeOptions::default().with_ack_wait_secs(2);
    let mut subscription = provider
        .subscribe_durable_with_options("worker", &everything, &options)
        .await
        .unwrap();
    let pending = next(&mut *subscription).await;
    // Not killed: a server that forgot the delivery would ignore its answer.
    server.stop().unwrap();
    eventually(PATIENCE, || async { !provider.health().await.unwrap() }).await;
    // Known to be down: an answer is an error and not a hope.
    let second = pending.in_progress().await;
    assert!(
        matches!(second, Err(EventError::Connection { .. })),
        "{second:?}"
    );
    server.restart().unwrap();
    eventually(PATIENCE, || async { provider.health().await.unwrap() }).await;
    assert_eq!(pending.received.sequence, 1);
    pending.ack_confirmed().await.unwrap();
    let pending = next(&mut *subscription).await;
    assert_eq!(pending.received.sequence, 2);
    pending.ack_confirmed().await.unwrap();
    let lag = provider.consumer_info("worker").await.unwrap();
    assert_eq!((lag.pending, lag.unanswered), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn next_waits_for_the_connection_to_acknowledge_the_event_before() {
    let server = Server::start().unwrap();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 2).await;
    let everything = everything(&provider);
    let mut subscription = provider
        .subscribe_durable("worker", &everything)
        .await
        .unwrap();
    let first = within(PATIENCE, subscription.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.sequence, 1);
    // Not killed: a server that forgot the delivery would ignore its answer.
    server.stop().unwrap();
    eventually(PATIENCE, || async { !provider.health().await.unwrap() }).await;
    let waiting = tokio::spawn(async move {
        let second = subscription.next().await.unwrap().unwrap();
        (second.sequence, subscription)
    });
    server.restart().unwrap();
    let (sequence, mut subscription) = within(PATIENCE, waiting).await.unwrap();
    assert_eq!(sequence, 2);
    subscription.close().await.unwrap();
    // Only sent, so the server may answer the question before it counts. The
    // patience is shorter than the ack wait.
    eventually(PATIENCE, || async {
        let lag = provider.consumer_info("worker").await.unwrap();
        lag.pending + lag.unanswered == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn an_ephemeral_that_vanished_goes_on_and_repeats_only_what_was_unanswered() {
    let server = Server::start().unwrap();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 4).await;
    let stream = provider.subject_prefix().to_uppercase();
    // Without reading ahead, so that nothing waits in the buffer when the consumer goes.
    let options = SubscribeOptions::default().with_prefetch(0);
    let mut subscription = provider
        .subscribe_with_options(&everything(&provider), &options)
        .await
        .unwrap();
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(next(&mut *subscription).await);
    }
    // 2 stays unanswered; 1 and 3 are settled.
    taken.remove(2).ack_confirmed().await.unwrap();
    taken.remove(0).ack_confirmed().await.unwrap();
    let raw = raw(server.url()).await;
    for consumer in raw.consumers(&stream).await {
        let verb = format!("CONSUMER.DELETE.{stream}.{consumer}");
        raw.ask(&verb, &serde_json::Value::Null).await;
    }
    publish_many(&provider, "a", 1).await;
    for expected in [2, 4, 5] {
        let pending = next(&mut *subscription).await;
        let received = &pending.received;
        assert_eq!((received.sequence, received.num_delivered), (expected, 1));
        pending.ack_confirmed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_durable_that_was_deleted_ends_with_a_typed_error() {
    let server = Server::start().unwrap();
    let provider = provider(server.url()).await;
    let mut subscription = provider
        .subscribe_durable("worker", &everything(&provider))
        .await
        .unwrap();
    let waiting = tokio::spawn(async move { subscription.next_manual_ack().await });
    eventually(PATIENCE, || async {
        provider.consumer_info("worker").await.is_ok()
    })
    .await;
    provider.unsubscribe("worker").await.unwrap();
    let ended = within(PATIENCE, waiting).await.unwrap();
    assert!(
        matches!(&ended, Err(EventError::NotFound { what, name, .. }) if what == "consumer" && name == "worker"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_stream_that_was_deleted_or_replaced_ends_an_ephemeral_with_a_typed_error() {
    let server = Server::start().unwrap();
    let raw = raw(server.url()).await;
    for replaced in [false, true] {
        let config = config(server.url());
        let provider = NatsProvider::connect(config.clone()).await.unwrap();
        publish_many(&provider, "a", 5).await;
        let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
        for _ in 0..5 {
            next(&mut *subscription).await.ack().await.unwrap();
        }
        raw.delete_stream(&config.stream_name).await;
        if replaced {
            NatsProvider::connect(config.clone()).await.unwrap();
        }
        let ended = within(PATIENCE, subscription.next_manual_ack()).await;
        assert!(
            matches!(&ended, Err(EventError::NotFound { what, name, .. })
                if what == "stream" && name.starts_with(&config.stream_name)),
            "{ended:?}"
        );
    }
}

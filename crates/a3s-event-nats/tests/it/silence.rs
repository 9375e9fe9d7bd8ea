//! Servers that are away, or hang.

use std::time::{Duration, Instant};

use a3s_event_core::{EventError, Result, provider::EventProvider};
use a3s_event_nats::{NatsConfig, NatsProvider};
use a3s_event_nats_server::Server;
use a3s_event_testkit::{eventually, sample_event};

use crate::common::{PATIENCE, config, everything, next, provider, publish_many, raw};

const TIMEOUT: Duration = Duration::from_secs(2);

/// An address where nobody listens, and no socket of a test is put.
const NOBODY: &str = "127.0.0.1:1";

/// What the machine may add.
const SLACK: Duration = Duration::from_millis(1500);

async fn connected(server: &Server) -> NatsProvider {
    let address = server.url().strip_prefix("nats://").unwrap();
    NatsProvider::connect(NatsConfig {
        // Credentials that the server ignores and no error may show.
        url: format!("nats://ann:s3cret@{address}"),
        request_timeout_secs: TIMEOUT.as_secs(),
        ..config(server.url())
    })
    .await
    .unwrap()
}

#[track_caller]
fn check<T: std::fmt::Debug>(what: &str, server: &Server, since: Instant, outcome: Result<T>) {
    let elapsed = since.elapsed();
    assert!(elapsed < TIMEOUT + SLACK, "{what} took {elapsed:?}");
    let error = outcome.unwrap_err();
    assert!(
        matches!(
            error,
            EventError::Timeout { .. } | EventError::Connection { .. }
        ),
        "{what}: {error:?}"
    );
    let address = server.url().strip_prefix("nats://").unwrap();
    let shown = format!("{error} {error:?}");
    assert!(
        shown.contains(address),
        "{what} does not name the server: {shown}"
    );
    assert!(
        !shown.contains("s3cret") && !shown.contains("ann"),
        "{shown}"
    );
}

/// Every call ends within the limit with an error that names the server.
async fn every_call_ends(server: &Server, provider: &NatsProvider, down: bool) {
    let event = sample_event(provider, "a");
    let since = Instant::now();
    check("publish", server, since, provider.publish(&event).await);
    let since = Instant::now();
    let batch = provider.publish_batch(std::slice::from_ref(&event)).await;
    match batch {
        Err(EventError::PartialBatch { source, .. }) => {
            check::<()>("publish_batch", server, since, Err(*source));
        }
        other => panic!("{other:?}"),
    }
    let since = Instant::now();
    check("info", server, since, provider.info().await);
    let since = Instant::now();
    check("history", server, since, provider.history(None, 5).await);
    let since = Instant::now();
    let filter = everything(provider);
    let opened = provider.subscribe(&filter).await.map(drop);
    check("subscribe", server, since, opened);
    let since = Instant::now();
    let opened = provider.subscribe_durable("other", &filter).await.map(drop);
    check("subscribe_durable", server, since, opened);
    let since = Instant::now();
    check(
        "unsubscribe",
        server,
        since,
        provider.unsubscribe("x").await,
    );
    let since = Instant::now();
    assert!(!provider.health().await.unwrap());
    let elapsed = since.elapsed();
    assert!(elapsed < TIMEOUT + SLACK, "health took {elapsed:?}");
    assert!(!down || elapsed < SLACK, "health knows that it is down");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn with_a_dead_server_every_call_ends_in_time() {
    let server = Server::start().unwrap();
    let provider = connected(&server).await;
    publish_many(&provider, "a", 2).await;
    let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
    let (one, two) = (
        next(&mut *subscription).await,
        next(&mut *subscription).await,
    );
    server.kill().unwrap();
    eventually(PATIENCE, || async { !provider.health().await.unwrap() }).await;
    let since = Instant::now();
    check("ack", &server, since, one.ack().await);
    let since = Instant::now();
    check("ack_confirmed", &server, since, two.ack_confirmed().await);
    every_call_ends(&server, &provider, true).await;
    let since = Instant::now();
    subscription.close().await.unwrap();
    provider.close().await.unwrap();
    let elapsed = since.elapsed();
    assert!(elapsed < TIMEOUT + SLACK, "close took {elapsed:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn with_a_server_that_hangs_every_call_ends_in_time() {
    let server = Server::start().unwrap();
    let provider = connected(&server).await;
    publish_many(&provider, "a", 1).await;
    let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
    let pending = next(&mut *subscription).await;
    let mut durable = provider
        .subscribe_durable("worker", &everything(&provider))
        .await
        .unwrap();
    let unanswered = next(&mut *durable).await;
    server.pause().unwrap();
    let since = Instant::now();
    check(
        "ack_confirmed",
        &server,
        since,
        pending.ack_confirmed().await,
    );
    every_call_ends(&server, &provider, false).await;
    for mut closing in [subscription, durable] {
        let since = Instant::now();
        check("close", &server, since, closing.close().await);
    }
    drop(unanswered);
    server.resume().unwrap();
    eventually(PATIENCE, || async { provider.health().await.unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_reader_goes_on_with_its_consumer_after_its_server_hung() {
    let server = Server::start().unwrap();
    let provider = provider(server.url()).await;
    let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
    let raw = raw(server.url()).await;
    let stream = provider.subject_prefix().to_uppercase();
    let consumers = raw.consumers(&stream).await;
    let waiting = tokio::spawn(async move {
        let sequence = next(&mut *subscription).await.received.sequence;
        (sequence, subscription)
    });
    server.pause().unwrap();
    // Longer than the silence after which the reader asks the server, and than it waits for an answer.
    tokio::time::sleep(Duration::from_secs(12)).await;
    server.resume().unwrap();
    publish_many(&provider, "a", 1).await;
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    let (sequence, _subscription) = waited.unwrap().unwrap();
    assert_eq!(sequence, 1);
    assert_eq!(raw.consumers(&stream).await, consumers);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn nobody_at_the_address_is_an_error_that_names_it_without_credentials() {
    let error = NatsProvider::connect(NatsConfig {
        url: format!("nats://ann:s3cret@{NOBODY}"),
        ..NatsConfig::default()
    })
    .await
    .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(matches!(error, EventError::Connection { .. }), "{shown}");
    assert!(shown.contains(NOBODY), "{shown}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("ann"),
        "{shown}"
    );
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn an_address_that_accepts_and_says_nothing_ends_at_the_connect_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let since = Instant::now();
    let error = NatsProvider::connect(NatsConfig {
        url: format!("nats://{}", listener.local_addr().unwrap()),
        connect_timeout_secs: 1,
        ..NatsConfig::default()
    })
    .await
    .unwrap_err();
    assert!(matches!(error, EventError::Connection { .. }), "{error:?}");
    assert!(since.elapsed() < TIMEOUT + SLACK);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn the_second_server_of_a_url_is_used_when_the_first_is_away() {
    let server = Server::start().unwrap();
    let config = NatsConfig {
        url: format!("nats://{NOBODY},{}", server.url()),
        ..config(server.url())
    };
    let provider = NatsProvider::connect(config).await.unwrap();
    assert!(provider.health().await.unwrap());
}

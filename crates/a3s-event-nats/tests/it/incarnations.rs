//! Durables and streams that are deleted, and others that take their names.

use std::{future::poll_fn, task::Poll};

use a3s_event_core::{
    EventError,
    provider::{EventProvider, PendingEvent, Subscription},
    types::SubscribeOptions,
};
use a3s_event_nats::{NatsConfig, NatsProvider, StorageType};
use a3s_event_nats_server::{Server, Version};
use a3s_event_testkit::{eventually, within};

use crate::{
    common::{PATIENCE, config, everything, next, publish_many, raw, shared_server},
    proxy::Proxy,
};

/// Opens the durable of all tests.
async fn worker(provider: &NatsProvider, prefetch: usize) -> Box<dyn Subscription> {
    let options = SubscribeOptions::default().with_prefetch(prefetch);
    provider
        .subscribe_durable_with_options("worker", &everything(provider), &options)
        .await
        .unwrap()
}

/// Deletes the durable, opens another of the name, and takes its first events.
async fn replace_worker(
    operator: &NatsProvider,
    events: usize,
) -> (Box<dyn Subscription>, Vec<PendingEvent>) {
    operator.unsubscribe("worker").await.unwrap();
    let mut other = worker(operator, 0).await;
    let mut held = Vec::new();
    for _ in 0..events {
        held.push(next(&mut *other).await);
    }
    (other, held)
}

async fn unanswered(provider: &NatsProvider) -> u64 {
    provider.consumer_info("worker").await.unwrap().unanswered
}

/// Servers before 2.10 keep no metadata, and with them nothing tells two durables of one name apart:
/// there the tests only set the scene.
fn tells_apart(server: &Server) -> bool {
    server.version() >= Version::new(2, 10, 0)
}

/// Whether a reader ended because its `what` is gone.
fn is_gone<T>(ended: &Result<T, EventError>, gone: &str) -> bool {
    matches!(ended, Err(EventError::NotFound { what, .. }) if what == gone)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_waiting_reader_ends_when_another_durable_takes_the_name() {
    let server = shared_server();
    let config = config(server.url());
    let reader = NatsProvider::connect(config.clone()).await.unwrap();
    let operator = NatsProvider::connect(config).await.unwrap();
    publish_many(&reader, "a", 3).await;
    let mut reading = worker(&reader, 200).await;
    let held = [next(&mut *reading).await, next(&mut *reading).await];
    next(&mut *reading).await.ack_confirmed().await.unwrap();
    let waiting = tokio::spawn(async move { reading.next_manual_ack().await.map(drop) });
    let (_other, _theirs) = replace_worker(&operator, 3).await;
    let ended = within(PATIENCE, waiting).await.unwrap();
    assert!(is_gone(&ended, "consumer"), "{ended:?}");
    // The other durable does not hear the answers.
    for pending in held {
        pending.ack_confirmed().await.unwrap();
    }
    assert_eq!(unanswered(&operator).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_reader_with_a_full_buffer_ends_when_another_durable_takes_the_name() {
    let server = shared_server();
    let config = config(server.url());
    let reader = NatsProvider::connect(config.clone()).await.unwrap();
    let operator = NatsProvider::connect(config).await.unwrap();
    publish_many(&reader, "a", 20).await;
    // No request waits at the server, which would say that the durable is gone.
    let mut reading = worker(&reader, 4).await;
    next(&mut *reading).await.ack_confirmed().await.unwrap();
    let (_other, _theirs) = replace_worker(&operator, 1).await;
    if !tells_apart(&server) {
        return;
    }
    let mut last = 1;
    let ended = loop {
        match within(PATIENCE, reading.next_manual_ack()).await {
            Ok(pending) => {
                let pending = pending.unwrap();
                assert!(pending.received.sequence > last, "from the other durable");
                last = pending.received.sequence;
                pending.ack().await.unwrap();
            }
            ended => break ended.map(drop),
        }
    };
    assert!(is_gone(&ended, "consumer"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_reader_that_was_away_does_not_answer_the_events_of_another_stream() {
    let server = shared_server();
    let raw = raw(server.url()).await;
    let proxy = Proxy::before(server.url()).await;
    let config = config(server.url());
    let reader = proxy.connect(&config).await;
    publish_many(&reader, "a", 5).await;
    let mut reading = worker(&reader, 200).await;
    // The others wait in the buffer; this one is answered when the reader comes back for more.
    within(PATIENCE, reading.next()).await.unwrap().unwrap();
    proxy.shut();
    raw.delete_stream(&config.stream_name).await;
    let operator = NatsProvider::connect(config).await.unwrap();
    publish_many(&operator, "a", 5).await;
    let mut other = worker(&operator, 0).await;
    let mut theirs = Vec::new();
    for _ in 0..5 {
        theirs.push(next(&mut *other).await);
    }
    proxy.open().await;
    if !tells_apart(&server) {
        return;
    }
    let ended = within(PATIENCE, reading.next()).await.map(drop);
    assert!(is_gone(&ended, "consumer"), "{ended:?}");
    reading.close().await.unwrap();
    assert_eq!(unanswered(&operator).await, 5);
    for pending in &theirs {
        assert_eq!(pending.received.num_delivered, 1);
    }
}

/// A reader of five events that lost its connection with one of them in hand.
struct Away {
    proxy: Proxy,
    provider: NatsProvider,
    reading: Box<dyn Subscription>,
    _held: PendingEvent,
}

impl Away {
    async fn begin(server: &Server, config: &NatsConfig) -> Self {
        let proxy = Proxy::before(server.url()).await;
        let provider = proxy.connect(config).await;
        publish_many(&provider, "a", 5).await;
        let mut reading = worker(&provider, 200).await;
        let held = next(&mut *reading).await;
        proxy.shut();
        Self {
            proxy,
            provider,
            reading,
            _held: held,
        }
    }

    /// Closes the reader once its connection is back.
    async fn close_when_back(&mut self) {
        self.proxy.open().await;
        eventually(PATIENCE, || async { self.provider.health().await.unwrap() }).await;
        self.reading.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_closed_reader_that_was_away_gives_nothing_to_another_durable() {
    let server = shared_server();
    let config = config(server.url());
    let operator = NatsProvider::connect(config.clone()).await.unwrap();
    let mut away = Away::begin(&server, &config).await;
    let (mut other, _theirs) = replace_worker(&operator, 5).await;
    away.close_when_back().await;
    if !tells_apart(&server) {
        return;
    }
    // Refused for it, the events would come again at once, before the new one.
    publish_many(&operator, "a", 1).await;
    assert_eq!(next(&mut *other).await.received.sequence, 6);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn readers_end_when_a_restarted_server_has_lost_the_stream() {
    let server = Server::start().unwrap();
    let provider = NatsProvider::connect(NatsConfig {
        storage: StorageType::Memory,
        ..config(server.url())
    })
    .await
    .unwrap();
    publish_many(&provider, "a", 5).await;
    let everything = everything(&provider);
    let mut readings = [
        worker(&provider, 200).await,
        provider.subscribe(&everything).await.unwrap(),
    ];
    let mut held = Vec::new();
    for reading in &mut readings {
        held.push(next(&mut **reading).await);
    }
    server.kill().unwrap();
    server.restart().unwrap();
    for reading in &mut readings {
        // What was in the buffer may still come.
        let ended = loop {
            match within(PATIENCE, reading.next_manual_ack()).await {
                Ok(pending) => held.push(pending.unwrap()),
                ended => break ended.map(drop),
            }
        };
        assert!(is_gone(&ended, "stream"), "{ended:?}");
        reading.close().await.unwrap();
    }
    for pending in held {
        pending.ack_confirmed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_durable_that_is_opened_again_after_a_restart_is_the_same_one() {
    let server = Server::start().unwrap();
    let provider = NatsProvider::connect(config(server.url())).await.unwrap();
    publish_many(&provider, "a", 1).await;
    let mut reading = worker(&provider, 200).await;
    let pending = next(&mut *reading).await;
    server.stop().unwrap();
    server.restart().unwrap();
    eventually(PATIENCE, || async { provider.health().await.unwrap() }).await;
    let _other = worker(&provider, 200).await;
    // Taken for an answer to an earlier durable of the name, it would be kept back.
    pending.ack().await.unwrap();
    eventually(PATIENCE, || async { unanswered(&provider).await == 0 }).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_removal_that_is_noticed_late_does_not_end_the_next_durable_of_the_name() {
    let server = shared_server();
    if !tells_apart(&server) {
        return;
    }
    let provider = NatsProvider::connect(config(server.url())).await.unwrap();
    publish_many(&provider, "a", 2).await;
    let _earlier = worker(&provider, 0).await;
    let mut removing = provider.unsubscribe("worker");
    // Asks the server, and is not looked at before another durable has the name.
    let pending = poll_fn(|cx| Poll::Ready(removing.as_mut().poll(cx).is_pending())).await;
    assert!(pending);
    eventually(PATIENCE, || async {
        provider.consumer_info("worker").await.is_err()
    })
    .await;
    let mut reading = worker(&provider, 0).await;
    removing.await.unwrap();
    let pending = next(&mut *reading).await;
    pending.ack_confirmed().await.unwrap();
    assert_eq!(unanswered(&provider).await, 0);
    assert_eq!(next(&mut *reading).await.received.sequence, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn a_closed_reader_that_was_away_has_nothing_to_give_to_a_durable_that_was_deleted() {
    let server = shared_server();
    let config = config(server.url());
    let operator = NatsProvider::connect(config.clone()).await.unwrap();
    let mut away = Away::begin(&server, &config).await;
    operator.unsubscribe("worker").await.unwrap();
    away.close_when_back().await;
}

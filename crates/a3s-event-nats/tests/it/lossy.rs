//! Connections that lose what the server has sent.

use std::{collections::BTreeSet, time::Duration};

use a3s_event_core::{
    provider::{EventProvider, Subscription},
    types::SubscribeOptions,
};
use a3s_event_nats::NatsProvider;
use a3s_event_nats_server::Server;
use a3s_event_testkit::eventually;
use serde_json::Value;

use crate::{
    common::{PATIENCE, Raw, config, everything, next, publish_many, raw, shared_server},
    proxy::Proxy,
};

/// The unanswered events of the only consumer of a stream.
async fn unanswered(raw: &Raw, stream: &str) -> u64 {
    let [consumer] = &raw.consumers(stream).await[..] else {
        return 0;
    };
    let info = raw
        .ask(&format!("CONSUMER.INFO.{stream}.{consumer}"), &Value::Null)
        .await;
    info["num_ack_pending"].as_u64().unwrap()
}

/// A reader behind a proxy, whose first five events were lost on their way, and
/// which is connected again.
struct Robbed {
    publisher: NatsProvider,
    reader: NatsProvider,
    subscription: Box<dyn Subscription>,
    stream: String,
    _proxy: Proxy,
}

async fn robbed(server: &Server, raw: &Raw, durable: bool, ack_wait_secs: u64) -> Robbed {
    let proxy = Proxy::before(server.url()).await;
    let config = config(server.url());
    let stream = config.stream_name.clone();
    let publisher = NatsProvider::connect(config.clone()).await.unwrap();
    let reader = proxy.connect(&config).await;
    let everything = everything(&reader);
    let options = SubscribeOptions::default().with_ack_wait_secs(ack_wait_secs);
    let subscription = if durable {
        let opened = reader.subscribe_durable_with_options("worker", &everything, &options);
        opened.await
    } else {
        reader.subscribe_with_options(&everything, &options).await
    };
    let mut subscription = subscription.unwrap();
    let asking = tokio::time::timeout(Duration::from_millis(100), subscription.next_manual_ack());
    assert!(asking.await.is_err(), "nothing is published yet");
    proxy.swallow();
    publish_many(&publisher, "a", 5).await;
    eventually(PATIENCE, || async { unanswered(raw, &stream).await == 5 }).await;
    proxy.shut();
    proxy.open().await;
    eventually(PATIENCE, || async { reader.health().await.unwrap() }).await;
    Robbed {
        publisher,
        reader,
        subscription,
        stream,
        _proxy: proxy,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn what_a_connection_lost_comes_again_behind_newer_events() {
    let server = shared_server();
    let raw = raw(server.url()).await;
    for durable in [true, false] {
        let mut robbed = robbed(&server, &raw, durable, 2).await;
        publish_many(&robbed.publisher, "a", 5).await;
        let mut seen = BTreeSet::new();
        while seen.len() < 10 {
            let pending = next(&mut *robbed.subscription).await;
            seen.insert(pending.received.sequence);
            pending.ack_confirmed().await.unwrap();
        }
        robbed.reader.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn an_ephemeral_that_vanished_goes_back_to_what_a_connection_lost_before() {
    let server = shared_server();
    let raw = raw(server.url()).await;
    let mut robbed = robbed(&server, &raw, false, 30).await;
    publish_many(&robbed.publisher, "a", 5).await;
    for expected in 6..=10 {
        let pending = next(&mut *robbed.subscription).await;
        assert_eq!(pending.received.sequence, expected);
        pending.ack_confirmed().await.unwrap();
    }
    for consumer in raw.consumers(&robbed.stream).await {
        let verb = format!("CONSUMER.DELETE.{}.{consumer}", robbed.stream);
        raw.ask(&verb, &Value::Null).await;
    }
    publish_many(&robbed.publisher, "a", 1).await;
    for expected in [1, 2, 3, 4, 5, 11] {
        let pending = next(&mut *robbed.subscription).await;
        assert_eq!(pending.received.sequence, expected);
        pending.ack_confirmed().await.unwrap();
    }
}

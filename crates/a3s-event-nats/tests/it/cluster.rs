//! Three servers that keep each stream together, and what may happen to one of them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use a3s_event_core::{
    EventError,
    provider::{EventProvider, Subscription},
    types::{PublishOptions, SubscribeOptions},
};
use a3s_event_nats::{NatsConfig, NatsProvider};
use a3s_event_nats_server::{Cluster, Server, Version};
use a3s_event_testkit::{eventually, sample_event, within};
use serde_json::Value;
use tokio::sync::watch;

use crate::common::{config, everything, next, publish_many, raw};

/// How long the servers may need to agree on another leader, on a busy machine.
const ELECTION: Duration = Duration::from_secs(60);

/// A provider over a stream on three servers.
async fn replicated(config: NatsConfig) -> NatsProvider {
    let builder = NatsProvider::builder(config).replicas(3);
    builder.connect().await.unwrap()
}

/// The same stream, through one of the servers.
fn at(server: &Server, config: &NatsConfig) -> NatsConfig {
    NatsConfig {
        url: server.url().to_owned(),
        ..config.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn history_has_what_was_just_published_whichever_server_answers() {
    let cluster = Cluster::shared().unwrap();
    let config = config(&cluster.url());
    let publisher = replicated(config.clone()).await;
    for server in cluster.servers() {
        let reader = replicated(at(server, &config)).await;
        for _ in 0..100 {
            let event = sample_event(&publisher, "a");
            publisher.publish(&event).await.unwrap();
            let newest = reader.history(None, 3).await.unwrap();
            assert_eq!(newest[0].id, event.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn leaving_a_durable_withholds_nothing() {
    let cluster = Cluster::shared().unwrap();
    let config = config(&cluster.url());
    for server in cluster.servers() {
        let provider = replicated(at(server, &config)).await;
        for round in 0..20 {
            let name = format!("durable-{round}");
            publish_many(&provider, "a", 2).await;
            let mut one = provider
                .subscribe_durable(&name, &everything(&provider))
                .await
                .unwrap();
            next(&mut *one).await.ack().await.unwrap();
            one.close().await.unwrap();
            let mut other = provider
                .subscribe_durable(&name, &everything(&provider))
                .await
                .unwrap();
            while next(&mut *other).await.received.sequence != 2 {}
            other.close().await.unwrap();
            provider.unsubscribe(&name).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn nothing_acknowledged_is_lost_while_each_server_dies_in_turn() {
    let cluster = Cluster::start().unwrap();
    let provider = Arc::new(replicated(config(&cluster.url())).await);
    let options = SubscribeOptions::default().with_ack_wait_secs(2);
    let filter = everything(&provider);
    let durable = provider.subscribe_durable_with_options("worker", &filter, &options);
    let ephemeral = provider.subscribe_with_options(&filter, &options);
    let (all, expected) = watch::channel(None);
    let readers = [durable.await.unwrap(), ephemeral.await.unwrap()]
        .map(|subscription| tokio::spawn(see_all(subscription, expected.clone())));
    let done = Arc::new(AtomicBool::new(false));
    let publisher = tokio::spawn(publish_until(Arc::clone(&provider), Arc::clone(&done)));
    for server in cluster.servers() {
        server.kill().unwrap();
        more_are_stored(&provider, 20).await;
        server.restart().unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let acknowledged = publisher.await.unwrap();
    assert!(acknowledged.len() >= 60);
    all.send_replace(Some(acknowledged));
    for reader in readers {
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn an_ephemeral_goes_on_when_the_server_of_its_consumer_is_killed() {
    lose_the_server_of_an_ephemeral(Server::kill).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn an_ephemeral_goes_on_when_the_server_of_its_consumer_stops() {
    lose_the_server_of_an_ephemeral(Server::stop).await;
}

async fn lose_the_server_of_an_ephemeral(end: fn(&Server) -> a3s_event_nats_server::Result<()>) {
    let cluster = Cluster::start().unwrap();
    let config = NatsConfig {
        // Shorter than what a consumer is given to answer.
        request_timeout_secs: 2,
        ..config(&cluster.url())
    };
    let stream = config.stream_name.clone();
    let provider = replicated(config).await;
    let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
    publish_many(&provider, "a", 2).await;
    let first = next(&mut *subscription).await;
    first.ack_confirmed().await.unwrap();

    let raw_one = raw(cluster.servers()[0].url()).await;
    let consumer = raw_one.consumers(&stream).await.remove(0);
    let asked = format!("CONSUMER.INFO.{stream}.{consumer}");
    let leader = &raw_one.ask(&asked, &Value::Null).await["cluster"]["leader"];
    let lost = cluster.server(leader.as_str().unwrap()).unwrap();
    end(lost).unwrap();
    let event = sample_event(&provider, "after");
    eventually(ELECTION, || async {
        provider.publish(&event).await.is_ok()
    })
    .await;
    // One that was unanswered when its consumer went may come again before it.
    let mut sequence = 0;
    while sequence < 3 {
        let pending = within(ELECTION, subscription.next_manual_ack()).await;
        let pending = pending.unwrap().unwrap();
        sequence = pending.received.sequence;
        assert!(sequence > 1, "the first was answered");
        pending.ack().await.unwrap();
    }
    // Nothing is left of the consumer that nobody reads from. Older clusters may list it for some minutes.
    if lost.version() >= Version::new(2, 11, 0) {
        let mut left = cluster.servers().iter();
        let left = left.find(|server| server.url() != lost.url()).unwrap();
        let raw_left = raw(left.url()).await;
        eventually(ELECTION, || async {
            let consumers = raw_left.consumers(&stream).await;
            consumers.len() == 1 && consumers[0] != consumer
        })
        .await;
    }
    subscription.close().await.unwrap();
}

/// Waits until more events are stored than now.
async fn more_are_stored(provider: &NatsProvider, how_many: u64) {
    let messages = async || provider.info().await.ok().map(|info| info.messages);
    let mut enough = None;
    within(ELECTION, async {
        loop {
            match (messages().await, enough) {
                (Some(now), None) => enough = Some(now + how_many),
                (Some(now), Some(enough)) if now >= enough => return,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await;
}

/// Publishes, and returns the ids of what was acknowledged.
async fn publish_until(provider: Arc<NatsProvider>, done: Arc<AtomicBool>) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    let mut pauses = tokio::time::interval(Duration::from_millis(2));
    while !done.load(Ordering::Relaxed) {
        pauses.tick().await;
        let event = sample_event(&*provider, "a");
        let options = PublishOptions::default().with_timeout_secs(1);
        match provider.publish_with_options(&event, &options).await {
            Ok(_) => assert!(acknowledged.insert(event.id.clone())),
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
    }
    acknowledged
}

/// Reads until everything was seen that is expected, once that is known.
async fn see_all(
    mut subscription: Box<dyn Subscription>,
    mut expected: watch::Receiver<Option<BTreeSet<String>>>,
) {
    let mut seen = BTreeSet::new();
    let all = |all: &Option<BTreeSet<String>>, seen: &BTreeSet<String>| {
        all.as_ref().is_some_and(|all| all.is_subset(seen))
    };
    while !all(&expected.borrow_and_update(), &seen) {
        tokio::select! {
            changed = expected.changed() => changed.unwrap(),
            pending = within(ELECTION, subscription.next_manual_ack()) => {
                let pending = pending.unwrap().unwrap();
                seen.insert(pending.received.event.id.clone());
                match pending.ack().await {
                    Ok(()) | Err(EventError::Connection { .. }) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
    }
    subscription.close().await.unwrap();
}

//! The everyday uses, one after the other, as an application writes them.

use std::sync::Arc;

use a3s_event_core::{
    provider::EventProvider,
    types::{DeliverPolicy, PublishOptions, SubscribeOptions},
};
use a3s_event_testkit::{sample_event, within};
use futures_util::StreamExt;

use crate::common::{PATIENCE, everything, next, provider, publish_many, shared_server};

#[tokio::test]
#[ignore = "needs nats-server"]
async fn published_events_are_numbered_and_stored() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    for expected in 1..=3 {
        let event = sample_event(&provider, "forex");
        assert_eq!(provider.publish(&event).await.unwrap(), expected);
    }
    assert_eq!(provider.info().await.unwrap().messages, 3);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn history_returns_the_newest_first() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let (old, new) = (sample_event(&provider, "a"), sample_event(&provider, "b"));
    provider.publish(&old).await.unwrap();
    provider.publish(&new).await.unwrap();
    assert_eq!(
        provider.history(None, 10).await.unwrap(),
        [new.clone(), old]
    );
    let found = provider.history(Some(&new.subject), 10).await.unwrap();
    assert_eq!(found, [new]);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_repeated_msg_id_is_stored_once() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let event = sample_event(&provider, "order");
    let options = PublishOptions::default().with_msg_id(event.id.clone());
    for _ in 0..3 {
        let sequence = provider.publish_with_options(&event, &options).await;
        assert_eq!(sequence.unwrap(), 1);
    }
    assert_eq!(provider.info().await.unwrap().messages, 1);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_durable_goes_on_where_another_provider_left_it() {
    let server = shared_server();
    let config = crate::common::config(server.url());
    let first = a3s_event_nats::NatsProvider::connect(config.clone())
        .await
        .unwrap();
    publish_many(&first, "a", 3).await;
    let mut worker = first
        .subscribe_durable("worker", &everything(&first))
        .await
        .unwrap();
    let pending = next(&mut *worker).await;
    pending.ack().await.unwrap();
    worker.close().await.unwrap();
    first.close().await.unwrap();

    let second = a3s_event_nats::NatsProvider::connect(config).await.unwrap();
    let mut worker = second
        .subscribe_durable("worker", &everything(&second))
        .await
        .unwrap();
    assert_eq!(next(&mut *worker).await.received.sequence, 2);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn options_reach_the_consumer() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 5).await;
    let options = SubscribeOptions {
        max_deliver: Some(2),
        max_ack_pending: Some(1),
        ack_wait_secs: Some(7),
        deliver_policy: DeliverPolicy::ByStartSequence { sequence: 4 },
        ..Default::default()
    };
    let mut worker = provider
        .subscribe_durable_with_options("worker", &everything(&provider), &options)
        .await
        .unwrap();
    let first = next(&mut *worker).await;
    assert_eq!(first.received.sequence, 4);
    first.ack_confirmed().await.unwrap();
    assert_eq!(next(&mut *worker).await.received.sequence, 5);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn fifty_publishers_store_fifty_events() {
    let server = shared_server();
    let provider = Arc::new(provider(server.url()).await);
    let publishers: Vec<_> = (0..50)
        .map(|_| {
            let provider = Arc::clone(&provider);
            tokio::spawn(async move {
                let event = sample_event(&*provider, "a");
                provider.publish(&event).await.unwrap()
            })
        })
        .collect();
    let mut sequences = Vec::new();
    for publisher in publishers {
        sequences.push(publisher.await.unwrap());
    }
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=50).collect::<Vec<_>>());
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_refused_event_comes_again_and_an_acknowledged_one_does_not() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 1).await;
    let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
    next(&mut *subscription).await.nak().await.unwrap();
    let again = next(&mut *subscription).await;
    assert_eq!(again.received.num_delivered, 2);
    again.ack().await.unwrap();
    publish_many(&provider, "a", 1).await;
    assert_eq!(next(&mut *subscription).await.received.sequence, 2);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn health_and_info_describe_the_stream() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    assert!(provider.health().await.unwrap());
    publish_many(&provider, "a", 2).await;
    let everything = everything(&provider);
    let durable = provider.subscribe_durable("worker", &everything).await;
    drop(durable.unwrap());
    let info = provider.info().await.unwrap();
    assert_eq!((info.messages, info.consumers), (2, 1));
    assert!(info.bytes > 0);
    let lag = provider.consumer_info("worker").await.unwrap();
    assert_eq!(lag.pending + lag.unanswered, 2);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_client_that_is_handed_in_is_used_and_left_open() {
    let server = shared_server();
    let client = async_nats::connect(server.url()).await.unwrap();
    let provider = a3s_event_nats::NatsProvider::builder(crate::common::config(server.url()))
        .connect_with_client(client.clone())
        .await
        .unwrap();
    publish_many(&provider, "a", 1).await;
    let mut subscription = provider.subscribe(&everything(&provider)).await.unwrap();
    next(&mut *subscription).await.ack().await.unwrap();
    provider.close().await.unwrap();
    assert!(provider.info().await.is_err());
    client.publish("still.open", "".into()).await.unwrap();
    client.flush().await.unwrap();
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn trace_context_travels_in_headers_when_it_is_well_formed() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let raw = crate::common::raw(server.url()).await;
    let mut seen = raw.watch(&everything(&provider)).await;
    for (value, expected) in [(parent, Some(parent)), ("00-nonsense", None)] {
        let event = sample_event(&provider, "a")
            .with_metadata("traceparent", value)
            .with_metadata("tracestate", "a=b");
        provider.publish(&event).await.unwrap();
        let message = within(PATIENCE, seen.next()).await.unwrap();
        let headers = message.headers.unwrap_or_default();
        let header = |name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        assert_eq!(header("traceparent").as_deref(), expected);
        assert_eq!(header("tracestate").as_deref(), expected.map(|_| "a=b"));
    }
}

//! Line breaks in any text that could reach the wire.

use a3s_event_core::{EventError, provider::EventProvider, types::PublishOptions};
use a3s_event_nats::{NatsConfig, NatsProvider};
use a3s_event_testkit::sample_event;
use futures_util::{FutureExt, StreamExt};

use crate::common::{config, everything, provider, raw, shared_server};

/// What an attacker would like the server to read as a command of its own.
const ATTACK: &str = "a\r\nPUB injected 5\r\nhello\r\n";

#[track_caller]
fn refused<T>(outcome: a3s_event_core::Result<T>) {
    let Err(error) = outcome else {
        panic!("accepted");
    };
    assert!(
        matches!(
            error,
            EventError::InvalidSubject { .. } | EventError::InvalidOption { .. }
        ),
        "{error:?}"
    );
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_line_break_is_refused_before_it_reaches_the_wire() {
    let server = shared_server();
    let raw = raw(server.url()).await;
    let mut injected = raw.watch("injected").await;
    let provider = provider(server.url()).await;
    let everything = everything(&provider);

    let mut event = sample_event(&provider, "a");
    event.subject = provider.build_subject("sample", ATTACK);
    refused(provider.publish(&event).await);
    event.subject = provider.build_subject(ATTACK, "a");
    refused(provider.publish(&event).await);
    let batch = provider.publish_batch(&[event]).await;
    assert!(matches!(batch, Err(EventError::PartialBatch { stored, .. }) if stored.is_empty()));
    let good = sample_event(&provider, "a");
    let options = PublishOptions::default().with_msg_id(ATTACK);
    refused(provider.publish_with_options(&good, &options).await);

    let pattern = provider.category_subject(ATTACK);
    refused(provider.subscribe(&pattern).await);
    refused(provider.subscribe_durable("worker", &pattern).await);
    refused(provider.subscribe_durable(ATTACK, &everything).await);
    refused(provider.history(Some(&pattern), 1).await);
    refused(provider.unsubscribe(ATTACK).await);
    refused(provider.consumer_info(ATTACK).await);

    let with = |change: fn(&mut NatsConfig)| {
        let mut config = config(server.url());
        change(&mut config);
        NatsProvider::connect(config)
    };
    refused(with(|c| c.stream_name = ATTACK.to_owned()).await);
    refused(with(|c| c.subject_prefix = ATTACK.to_owned()).await);
    refused(with(|c| c.url = format!("nats://{ATTACK}@127.0.0.1:1")).await);
    let domain = NatsProvider::builder(config(server.url())).domain(ATTACK);
    refused(domain.connect().await);

    // What may hold any text: fields, metadata, answers, credentials.
    let mut odd = sample_event(&provider, "a")
        .with_metadata(ATTACK, ATTACK)
        .with_metadata("traceparent", ATTACK)
        .with_metadata("tracestate", ATTACK);
    odd.id = ATTACK.to_owned();
    odd.summary = ATTACK.to_owned();
    provider.publish(&odd).await.unwrap();
    let mut subscription = provider.subscribe(&everything).await.unwrap();
    let pending = subscription.next_manual_ack().await.unwrap().unwrap();
    assert_eq!(pending.received.event, odd);
    pending.term(ATTACK).await.unwrap();
    subscription.close().await.unwrap();
    let token = with(|c| c.token = Some(ATTACK.to_owned())).await.unwrap();
    token.close().await.unwrap();

    provider.close().await.unwrap();
    raw.round_trip().await;
    assert!(
        injected.next().now_or_never().is_none(),
        "a command was injected"
    );
}

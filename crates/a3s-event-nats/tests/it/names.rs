//! Names that look alike, and names that no server takes.

use std::collections::BTreeSet;

use a3s_event_core::{EventError, provider::EventProvider};

use crate::common::{everything, next, provider, publish_many, raw, shared_server};

#[tokio::test]
#[ignore = "needs nats-server"]
async fn look_alike_names_never_meet() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    publish_many(&provider, "a", 2).await;
    let long = "x".repeat(300);
    let names = [
        "acme.eu".to_owned(),
        "acme-eu".to_owned(),
        "acme_eu".to_owned(),
        "acme__eu".to_owned(),
        "acme_2Eeu".to_owned(),
        "ACME.EU".to_owned(),
        "a*".to_owned(),
        "a>".to_owned(),
        "a b".to_owned(),
        "a/b".to_owned(),
        "größe".to_owned(),
        "日本".to_owned(),
        format!("{long}1"),
        format!("{long}2"),
        long,
    ];
    for (number, name) in names.iter().enumerate() {
        let mut worker = provider
            .subscribe_durable(name, &everything(&provider))
            .await
            .unwrap();
        let first = next(&mut *worker).await;
        assert_eq!(first.received.sequence, 1, "{name} is somebody else's");
        first.ack_confirmed().await.unwrap();
        worker.close().await.unwrap();
        assert_eq!(provider.info().await.unwrap().consumers, number + 1);
    }
    let raw = raw(server.url()).await;
    let stream = provider.subject_prefix().to_uppercase();
    let on_the_wire: BTreeSet<String> = raw.consumers(&stream).await.into_iter().collect();
    assert_eq!(on_the_wire.len(), names.len());
    for name in &names {
        provider.unsubscribe(name).await.unwrap();
    }
    assert_eq!(provider.info().await.unwrap().consumers, 0);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_consumer_of_somebody_else_is_not_taken_over() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let stream = provider.subject_prefix().to_uppercase();
    let raw = raw(server.url()).await;
    let foreign = serde_json::json!({
        "stream_name": stream,
        "config": {
            "durable_name": "theirs",
            "ack_policy": "explicit",
            "filter_subject": everything(&provider),
        },
    });
    raw.ask(&format!("CONSUMER.CREATE.{stream}.theirs"), &foreign)
        .await;
    let error = provider
        .subscribe_durable("theirs", &everything(&provider))
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(&error, EventError::ConsumerMismatch { differences, .. }
            if differences.iter().any(|d| d.starts_with("name"))),
        "{error:?}"
    );
}

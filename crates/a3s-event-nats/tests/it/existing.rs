//! Streams and durables that exist with other settings.

use a3s_event_core::{EventError, provider::EventProvider, types::SubscribeOptions};
use a3s_event_nats::{
    ExistingDurable, ExistingStream, NatsConfig, NatsProvider, Retention, StorageType,
};
use serde_json::{Value, json};

use crate::common::{config, everything, next, publish_many, raw, shared_server};

async fn connect(
    config: NatsConfig,
    policy: ExistingStream,
) -> a3s_event_core::Result<NatsProvider> {
    NatsProvider::builder(config)
        .on_existing(policy)
        .connect()
        .await
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn an_equal_stream_is_used() {
    let server = shared_server();
    let config = config(server.url());
    let first = NatsProvider::connect(config.clone()).await.unwrap();
    publish_many(&first, "a", 2).await;
    for policy in [
        ExistingStream::Refuse,
        ExistingStream::Update,
        ExistingStream::Bind,
    ] {
        let again = connect(config.clone(), policy).await.unwrap();
        assert_eq!(again.info().await.unwrap().messages, 2);
    }
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_different_stream_is_refused_with_every_field_and_both_values() {
    let server = shared_server();
    let config = config(server.url());
    NatsProvider::connect(config.clone()).await.unwrap();
    let other = NatsConfig {
        max_events: 7,
        max_bytes: 1_000_000,
        max_age_secs: 60,
        storage: StorageType::Memory,
        subject_prefix: format!("{}.more", config.subject_prefix),
        ..config.clone()
    };
    let error = connect(other, ExistingStream::Refuse).await.unwrap_err();
    let EventError::StreamMismatch {
        differences,
        stream,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(stream, config.stream_name);
    // A longer prefix lies below the subjects of the stream.
    assert_eq!(
        differences,
        [
            "max_age_secs: 60 wanted, 604800 found",
            "max_bytes: 1000000 wanted, 0 found",
            "max_events: 7 wanted, 100000 found",
            "storage: \"memory\" wanted, \"file\" found",
        ]
    );
    let other = NatsConfig {
        subject_prefix: "elsewhere".to_owned(),
        ..config
    };
    let error = connect(other, ExistingStream::Refuse).await.unwrap_err();
    assert!(
        matches!(&error, EventError::StreamMismatch { differences, .. } if differences[0].starts_with("subjects")),
        "{error:?}"
    );
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn update_changes_what_differs_and_keeps_everything_else() {
    let server = shared_server();
    let config = config(server.url());
    let raw = raw(server.url()).await;
    let stream = json!({
        "name": config.stream_name,
        "subjects": ["unrelated.".to_owned() + &config.subject_prefix],
        "storage": "file",
        "max_msgs": 5,
        "max_msgs_per_subject": 3,
        "description": "of somebody else",
        "allow_direct": true,
    });
    raw.ask(&format!("STREAM.CREATE.{}", config.stream_name), &stream)
        .await;
    let provider = connect(config.clone(), ExistingStream::Update)
        .await
        .unwrap();
    publish_many(&provider, "a", 1).await;
    let info = raw
        .ask(&format!("STREAM.INFO.{}", config.stream_name), &Value::Null)
        .await;
    let stored = &info["config"];
    assert_eq!(stored["max_msgs"], 100_000);
    assert_eq!(stored["max_msgs_per_subject"], 3);
    assert_eq!(stored["description"], "of somebody else");
    let subjects = stored["subjects"].as_array().unwrap();
    assert_eq!(subjects.len(), 2, "subjects are only added: {subjects:?}");
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn update_of_what_cannot_be_changed_is_a_mismatch() {
    let server = shared_server();
    let config = config(server.url());
    NatsProvider::connect(config.clone()).await.unwrap();
    let other = NatsConfig {
        storage: StorageType::Memory,
        ..config
    };
    let error = connect(other, ExistingStream::Update).await.unwrap_err();
    assert!(
        matches!(&error, EventError::StreamMismatch { differences, .. } if differences[0].starts_with("storage")),
        "{error:?}"
    );
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn bind_takes_a_stream_as_it_is_and_never_creates_one() {
    let server = shared_server();
    let config = config(server.url());
    let missing = connect(config.clone(), ExistingStream::Bind)
        .await
        .unwrap_err();
    assert!(
        matches!(&missing, EventError::NotFound { what, .. } if what == "stream"),
        "{missing:?}"
    );
    let owner = NatsConfig {
        max_events: 9,
        storage: StorageType::Memory,
        ..config.clone()
    };
    NatsProvider::connect(owner).await.unwrap();
    let bound = connect(config.clone(), ExistingStream::Bind).await.unwrap();
    publish_many(&bound, "a", 20).await;
    assert_eq!(bound.info().await.unwrap().messages, 9, "its limits stay");
    let elsewhere = NatsConfig {
        subject_prefix: "elsewhere".to_owned(),
        ..config
    };
    let error = connect(elsewhere, ExistingStream::Bind).await.unwrap_err();
    assert!(
        matches!(error, EventError::StreamMismatch { .. }),
        "{error:?}"
    );
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn what_the_builder_sets_takes_effect() {
    let server = shared_server();
    let config = config(server.url());
    let window = std::time::Duration::from_secs(5);
    let provider = NatsProvider::builder(config.clone())
        .retention(Retention::Interest)
        .discard(a3s_event_nats::Discard::New)
        .duplicate_window(window)
        .replicas(1)
        .prefetch(3)
        .connect()
        .await
        .unwrap();
    let raw = raw(server.url()).await;
    let info = raw
        .ask(&format!("STREAM.INFO.{}", config.stream_name), &Value::Null)
        .await;
    let stored = &info["config"];
    assert_eq!(stored["retention"], "interest");
    assert_eq!(stored["discard"], "new");
    assert_eq!(stored["duplicate_window"], 5_000_000_000_u64);
    assert_eq!(stored["num_replicas"], 1);
    assert_eq!(stored["storage"], "file");
    assert_eq!(stored["max_age"], 604_800_000_000_000_u64);
    let mut worker = provider
        .subscribe_durable("worker", &everything(&provider))
        .await
        .unwrap();
    publish_many(&provider, "a", 10).await;
    let first = next(&mut *worker).await;
    let lag = provider.consumer_info("worker").await.unwrap();
    assert!(
        (1..=4).contains(&lag.unanswered),
        "it reads 3 ahead: {lag:?}"
    );
    drop(first);
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_durable_with_other_options_says_what_differs() {
    let server = shared_server();
    let config = config(server.url());
    let provider = NatsProvider::connect(config.clone()).await.unwrap();
    let (a, b) = (
        provider.category_subject("a"),
        provider.category_subject("b"),
    );
    drop(provider.subscribe_durable("worker", &a).await.unwrap());
    let options = SubscribeOptions::default()
        .with_ack_wait_secs(5)
        .with_max_ack_pending(-1);
    let error = provider
        .subscribe_durable_with_options("worker", &b, &options)
        .await
        .map(drop)
        .unwrap_err();
    let EventError::ConsumerMismatch {
        differences,
        consumer,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(consumer, "worker");
    assert_eq!(
        differences,
        [
            "ack_wait_secs: 5 wanted, 30 stored".to_owned(),
            format!("filter_subject: \"{b}\" wanted, \"{a}\" stored"),
            "max_ack_pending: -1 wanted, 1000 stored".to_owned(),
        ]
    );
    // Nothing was changed.
    drop(provider.subscribe_durable("worker", &a).await.unwrap());

    let updating = NatsProvider::builder(config)
        .on_existing_durable(ExistingDurable::Update)
        .connect()
        .await
        .unwrap();
    drop(
        updating
            .subscribe_durable_with_options("worker", &b, &options)
            .await
            .unwrap(),
    );
    drop(
        provider
            .subscribe_durable_with_options("worker", &b, &options)
            .await
            .unwrap(),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs nats-server"]
async fn of_many_that_open_a_new_durable_differently_one_wins_and_the_others_hear_of_it() {
    const RACERS: usize = 8;

    let server = shared_server();
    let provider = std::sync::Arc::new(crate::common::provider(server.url()).await);
    let racers: Vec<_> = (0..RACERS)
        .map(|racer| {
            let provider = std::sync::Arc::clone(&provider);
            tokio::spawn(async move {
                let filter = provider.category_subject(&format!("c{racer}"));
                let opened = provider.subscribe_durable("worker", &filter).await;
                (filter, opened.map(drop))
            })
        })
        .collect();
    let mut winners = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            (filter, Ok(())) => winners.push(filter),
            (_, Err(EventError::ConsumerMismatch { .. })) => {}
            (_, Err(error)) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    let raw = raw(server.url()).await;
    let stream = provider.subject_prefix().to_uppercase();
    let info = raw
        .ask(&format!("CONSUMER.INFO.{stream}.worker"), &Value::Null)
        .await;
    assert_eq!(info["config"]["filter_subject"], winners[0]);
}

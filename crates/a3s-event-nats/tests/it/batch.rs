//! Batches that fail in the middle.

use a3s_event_core::{EventError, provider::EventProvider, types::Event};
use a3s_event_nats::{Discard, NatsConfig, NatsProvider};
use a3s_event_testkit::sample_event;
use serde_json::json;

use crate::common::{config, provider, shared_server};

#[tokio::test]
#[ignore = "needs nats-server"]
async fn a_batch_that_the_stream_has_no_room_for_reports_what_is_stored() {
    let server = shared_server();
    let config = NatsConfig {
        max_events: 700,
        ..config(server.url())
    };
    let provider = NatsProvider::builder(config)
        .discard(Discard::New)
        .connect()
        .await
        .unwrap();
    let events: Vec<Event> = (0..1000).map(|_| sample_event(&provider, "a")).collect();
    let error = provider.publish_batch(&events).await.unwrap_err();
    let EventError::PartialBatch { stored, source, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(stored, (1..=700).collect::<Vec<_>>());
    assert!(matches!(*source, EventError::Provider { .. }), "{source:?}");
    let history = provider.history(None, 1000).await.unwrap();
    assert!(history.iter().rev().eq(&events[..700]));
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn an_event_above_the_limit_of_the_server_is_refused_with_both_numbers() {
    let server = shared_server();
    let provider = provider(server.url()).await;
    let mut event = sample_event(&provider, "a");
    event.payload = json!("x".repeat(1024 * 1024));
    let error = provider.publish(&event).await.unwrap_err();
    let EventError::TooLarge { size, limit, .. } = error else {
        panic!("{error:?}");
    };
    assert!(size > limit && limit == 1024 * 1024, "{size} {limit}");
    // The headers count: without room for them the event is refused here and not by the server.
    let text = serde_json::to_vec(&event).unwrap().len();
    event.payload = json!("x".repeat(1024 * 1024 - (text - 1024 * 1024)));
    assert_eq!(serde_json::to_vec(&event).unwrap().len(), limit);
    assert_eq!(provider.publish(&event).await.unwrap(), 1);
    let options = a3s_event_core::types::PublishOptions::default().with_msg_id("an id");
    let error = provider.publish_with_options(&event, &options).await;
    assert!(
        matches!(error, Err(EventError::TooLarge { .. })),
        "{error:?}"
    );
}

#[tokio::test]
#[ignore = "needs nats-server"]
async fn an_event_above_the_limit_of_a_stream_is_refused_before_it_is_sent() {
    let server = shared_server();
    let config = config(server.url());
    let raw = crate::common::raw(server.url()).await;
    let stream = json!({
        "name": config.stream_name,
        "subjects": [format!("{}.>", config.subject_prefix)],
        "max_msg_size": 2000,
    });
    raw.ask(&format!("STREAM.CREATE.{}", config.stream_name), &stream)
        .await;
    let provider = NatsProvider::builder(config)
        .on_existing(a3s_event_nats::ExistingStream::Bind)
        .connect()
        .await
        .unwrap();
    let mut event = sample_event(&provider, "a");
    provider.publish(&event).await.unwrap();
    event.payload = json!("x".repeat(2000));
    let error = provider.publish(&event).await;
    assert!(
        matches!(error, Err(EventError::TooLarge { limit: 2000, .. })),
        "{error:?}"
    );
}

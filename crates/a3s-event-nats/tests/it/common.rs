//! What the tests share: servers, providers with names of their own, and raw
//! requests to look at what the server has.

use std::{sync::Arc, time::Duration};

use a3s_event_core::{
    provider::{EventProvider, PendingEvent, Subscription},
    types::Event,
};
use a3s_event_nats::{NatsConfig, NatsProvider};
use a3s_event_nats_server::Server;
use a3s_event_testkit::{fresh_name, sample_event, within};
use serde_json::Value;

/// How long to wait for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The server that all tests share that do not break it.
pub(crate) fn shared_server() -> Arc<Server> {
    Server::shared().unwrap()
}

/// A configuration with a stream and a prefix that nobody else has.
pub(crate) fn config(url: &str) -> NatsConfig {
    let name = fresh_name();
    NatsConfig {
        url: url.to_owned(),
        stream_name: name.to_uppercase(),
        subject_prefix: name,
        request_timeout_secs: 5,
        ..NatsConfig::default()
    }
}

/// A provider over a stream of its own.
pub(crate) async fn provider(url: &str) -> NatsProvider {
    NatsProvider::connect(config(url)).await.unwrap()
}

/// A connection beside the provider, to look at the server and to disturb it.
pub(crate) async fn raw(url: &str) -> Raw {
    let servers: Vec<_> = url.split(',').collect();
    Raw(async_nats::connect(servers).await.unwrap())
}

pub(crate) struct Raw(pub(crate) async_nats::Client);

impl Raw {
    /// Asks the JetStream API.
    pub(crate) async fn ask(&self, verb: &str, body: &Value) -> Value {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self
            .0
            .request(format!("$JS.API.{verb}"), body.into())
            .await
            .unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    /// Waits until the server has read everything that was sent to it.
    pub(crate) async fn round_trip(&self) {
        self.ask("INFO", &Value::Null).await;
    }

    /// Subscribes; what is published from now on arrives.
    pub(crate) async fn watch(&self, subject: &str) -> async_nats::Subscriber {
        let watching = self.0.subscribe(subject.to_owned()).await.unwrap();
        self.round_trip().await;
        watching
    }

    pub(crate) async fn delete_stream(&self, stream: &str) {
        self.ask(&format!("STREAM.DELETE.{stream}"), &Value::Null)
            .await;
    }

    /// The names of the consumers of a stream.
    pub(crate) async fn consumers(&self, stream: &str) -> Vec<String> {
        let names = self
            .ask(&format!("CONSUMER.NAMES.{stream}"), &Value::Null)
            .await;
        let names = names["consumers"].as_array().cloned().unwrap_or_default();
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }
}

/// The next event of a subscription, in time.
pub(crate) async fn next(subscription: &mut dyn Subscription) -> PendingEvent {
    within(PATIENCE, subscription.next_manual_ack())
        .await
        .unwrap()
        .unwrap()
}

/// Publishes `count` events and returns their sequences.
pub(crate) async fn publish_many(provider: &NatsProvider, topic: &str, count: usize) -> Vec<u64> {
    let events: Vec<Event> = (0..count).map(|_| sample_event(provider, topic)).collect();
    provider.publish_batch(&events).await.unwrap()
}

/// The pattern of all events of a provider.
pub(crate) fn everything(provider: &NatsProvider) -> String {
    format!("{}.>", provider.subject_prefix())
}

/// A folder of one test, removed with it.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("a3s-event-nats-{}", fresh_name()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind in a folder for temporary files hurts nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

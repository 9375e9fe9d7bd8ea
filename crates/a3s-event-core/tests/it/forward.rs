//! A method that a forwarding implementation forgets falls back to its default
//! and silently loses the override. The names are read from the sources of the
//! traits, so that a method which is added later fails here until it is called.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use a3s_event_core::{
    EventError, Result, async_trait,
    crypto::EventEncryptor,
    dlq::{DeadLetterEvent, DlqHandler},
    provider::{
        Capabilities, ConsumerInfo, Delivery, EventProvider, PendingEvent, ProviderInfo,
        Subscription,
    },
    schema::{Compatibility, EventSchema, SchemaRegistry},
    state::StateStore,
    types::{Event, PublishOptions, ReceivedEvent, SubscribeOptions, SubscriptionFilter},
};
use serde_json::Value;

/// Implements every trait, overrides every method and notes which were called.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<&'static str>>>);

impl Recorder {
    fn note(&self, method: &'static str) {
        self.0.lock().unwrap().push(method);
    }

    fn refuse<T>(&self, method: &'static str) -> Result<T> {
        self.note(method);
        Err(EventError::unsupported("recorder", method))
    }

    /// Asserts that the calls were those of the trait behind `head` in
    /// `source`, each once and in its order, and forgets them.
    #[track_caller]
    fn assert_all_of(&self, source: &str, head: &str) {
        let calls = std::mem::take(&mut *self.0.lock().unwrap());
        assert_eq!(calls, methods_of(source, head), "{head}");
    }
}

fn methods_of<'a>(source: &'a str, head: &str) -> Vec<&'a str> {
    let (_, body) = source.split_once(head).expect("the trait is in this file");
    let (body, _) = body.split_once("\n}").expect("the trait ends");
    let methods = body.lines().filter_map(|line| {
        let line = line.strip_prefix("    ")?;
        let line = line.strip_prefix("async ").unwrap_or(line);
        let (name, _) = line.strip_prefix("fn ")?.split_once('(')?;
        Some(name)
    });
    methods.collect()
}

#[async_trait]
impl EventProvider for Recorder {
    async fn publish(&self, _: &Event) -> Result<u64> {
        self.refuse("publish")
    }

    async fn subscribe(&self, _: &str) -> Result<Box<dyn Subscription>> {
        self.refuse("subscribe")
    }

    async fn subscribe_durable(&self, _: &str, _: &str) -> Result<Box<dyn Subscription>> {
        self.refuse("subscribe_durable")
    }

    async fn history(&self, _: Option<&str>, _: usize) -> Result<Vec<Event>> {
        self.refuse("history")
    }

    async fn unsubscribe(&self, _: &str) -> Result<()> {
        self.refuse("unsubscribe")
    }

    async fn info(&self) -> Result<ProviderInfo> {
        self.refuse("info")
    }

    async fn consumer_info(&self, _: &str) -> Result<ConsumerInfo> {
        self.refuse("consumer_info")
    }

    fn build_subject(&self, _: &str, _: &str) -> String {
        self.note("build_subject");
        String::new()
    }

    fn category_subject(&self, _: &str) -> String {
        self.note("category_subject");
        String::new()
    }

    fn name(&self) -> &str {
        self.note("name");
        "recorder"
    }

    async fn publish_with_options(&self, _: &Event, _: &PublishOptions) -> Result<u64> {
        self.refuse("publish_with_options")
    }

    async fn publish_batch(&self, _: &[Event]) -> Result<Vec<u64>> {
        self.refuse("publish_batch")
    }

    async fn subscribe_with_options(
        &self,
        _: &str,
        _: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.refuse("subscribe_with_options")
    }

    async fn subscribe_durable_with_options(
        &self,
        _: &str,
        _: &str,
        _: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.refuse("subscribe_durable_with_options")
    }

    async fn health(&self) -> Result<bool> {
        self.refuse("health")
    }

    fn subject_prefix(&self) -> &str {
        self.note("subject_prefix");
        "recorder"
    }

    fn capabilities(&self) -> Capabilities {
        self.note("capabilities");
        Capabilities::all()
    }

    async fn close(&self) -> Result<()> {
        self.refuse("close")
    }
}

#[async_trait]
impl Subscription for Recorder {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        self.refuse("next")
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        self.refuse("next_manual_ack")
    }

    async fn next_delivery(&mut self) -> Result<Option<Delivery>> {
        self.refuse("next_delivery")
    }

    fn poll_next(&mut self, _: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        self.note("poll_next");
        None
    }

    fn missed(&self) -> u64 {
        self.note("missed");
        7
    }

    async fn close(&mut self) -> Result<()> {
        self.refuse("close")
    }
}

impl SchemaRegistry for Recorder {
    fn register(&self, _: EventSchema) -> Result<()> {
        self.refuse("register")
    }

    fn get(&self, _: &str, _: u32) -> Result<Option<EventSchema>> {
        self.refuse("get")
    }

    fn latest_version(&self, _: &str) -> Result<Option<u32>> {
        self.refuse("latest_version")
    }

    fn list_types(&self) -> Result<Vec<String>> {
        self.refuse("list_types")
    }

    fn validate(&self, _: &Event) -> Result<()> {
        self.refuse("validate")
    }

    fn check_compatibility(&self, _: &str, _: u32, _: Compatibility) -> Result<()> {
        self.refuse("check_compatibility")
    }
}

impl EventEncryptor for Recorder {
    fn encrypt(&self, _: &Value) -> Result<Value> {
        self.refuse("encrypt")
    }

    fn decrypt(&self, _: &Value) -> Result<Value> {
        self.refuse("decrypt")
    }

    fn active_key_id(&self) -> String {
        self.note("active_key_id");
        String::new()
    }

    fn encrypt_event(&self, _: &Event) -> Result<Value> {
        self.refuse("encrypt_event")
    }

    fn decrypt_event(&self, _: &Event) -> Result<Value> {
        self.refuse("decrypt_event")
    }
}

#[async_trait]
impl StateStore for Recorder {
    async fn save(&self, _: &HashMap<String, SubscriptionFilter>) -> Result<()> {
        self.refuse("save")
    }

    async fn load(&self) -> Result<HashMap<String, SubscriptionFilter>> {
        self.refuse("load")
    }
}

#[async_trait]
impl DlqHandler for Recorder {
    async fn handle(&self, _: DeadLetterEvent) -> Result<()> {
        self.refuse("handle")
    }

    async fn count(&self) -> Result<usize> {
        self.refuse("count")
    }

    async fn list(&self, _: usize) -> Result<Vec<DeadLetterEvent>> {
        self.refuse("list")
    }

    fn depth(&self) -> Option<u64> {
        self.note("depth");
        None
    }
}

fn event() -> Event {
    Event::new("events.a.b", "a", "", "", Value::Null)
}

/// Passes on the refusal that a call must have met.
#[track_caller]
fn refused<T>(outcome: Result<T>) {
    assert!(matches!(outcome, Err(EventError::Unsupported { .. })));
}

async fn call_provider(provider: impl EventProvider) {
    refused(provider.publish(&event()).await);
    refused(provider.subscribe(">").await);
    refused(provider.subscribe_durable("name", ">").await);
    refused(provider.history(None, 1).await);
    refused(provider.unsubscribe("name").await);
    refused(provider.info().await);
    refused(provider.consumer_info("name").await);
    assert_eq!(provider.build_subject("a", "b"), "");
    assert_eq!(provider.category_subject("a"), "");
    assert_eq!(provider.name(), "recorder");
    refused(
        provider
            .publish_with_options(&event(), &PublishOptions::default())
            .await,
    );
    refused(provider.publish_batch(&[]).await);
    let options = SubscribeOptions::default();
    refused(provider.subscribe_with_options(">", &options).await);
    refused(
        provider
            .subscribe_durable_with_options("name", ">", &options)
            .await,
    );
    refused(provider.health().await);
    assert_eq!(provider.subject_prefix(), "recorder");
    assert_eq!(provider.capabilities(), Capabilities::all());
    refused(provider.close().await);
}

async fn call_subscription(mut subscription: impl Subscription) {
    refused(subscription.next().await);
    refused(subscription.next_manual_ack().await);
    refused(subscription.next_delivery().await);
    let mut context = Context::from_waker(Waker::noop());
    assert!(subscription.poll_next(&mut context).is_none());
    assert_eq!(subscription.missed(), 7);
    refused(subscription.close().await);
}

async fn call_registry(registry: impl SchemaRegistry) {
    refused(registry.register(EventSchema {
        event_type: String::new(),
        version: 1,
        required_fields: Vec::new(),
        description: String::new(),
    }));
    refused(registry.get("type", 1));
    refused(registry.latest_version("type"));
    refused(registry.list_types());
    refused(registry.validate(&event()));
    refused(registry.check_compatibility("type", 1, Compatibility::Full));
}

async fn call_encryptor(encryptor: impl EventEncryptor) {
    refused(encryptor.encrypt(&Value::Null));
    refused(encryptor.decrypt(&Value::Null));
    assert_eq!(encryptor.active_key_id(), "");
    refused(encryptor.encrypt_event(&event()));
    refused(encryptor.decrypt_event(&event()));
}

async fn call_store(store: impl StateStore) {
    refused(store.save(&HashMap::new()).await);
    refused(store.load().await);
}

async fn call_handler(handler: impl DlqHandler) {
    let letter = DeadLetterEvent::new(ReceivedEvent::new(event(), 1, 1, "stream"), "");
    refused(handler.handle(letter).await);
    refused(handler.count().await);
    refused(handler.list(1).await);
    assert_eq!(handler.depth(), None);
}

/// Calls every method through each pointer and compares with the trait's source.
macro_rules! forwarded {
    ($call:ident, $trait:ident in $source:literal: $($pointer:ty),+) => {
        let recorder = Recorder::default();
        let source = include_str!(concat!("../../src/", $source));
        $(
            $call(<$pointer>::new(recorder.clone()) as $pointer).await;
            recorder.assert_all_of(source, concat!("pub trait ", stringify!($trait)));
        )+
    };
}

#[tokio::test]
async fn every_method_is_forwarded() {
    forwarded!(call_provider, EventProvider in "provider.rs": Box<Recorder>, Arc<Recorder>);
    forwarded!(call_subscription, Subscription in "provider/subscription.rs": Box<Recorder>);
    forwarded!(call_registry, SchemaRegistry in "schema.rs": Box<Recorder>, Arc<Recorder>);
    forwarded!(call_encryptor, EventEncryptor in "crypto.rs": Box<Recorder>, Arc<Recorder>);
    forwarded!(call_store, StateStore in "state.rs": Box<Recorder>, Arc<Recorder>);
    forwarded!(call_handler, DlqHandler in "dlq.rs": Box<Recorder>, Arc<Recorder>);
}

#[tokio::test]
async fn every_method_is_forwarded_to_a_trait_object() {
    let recorder = Recorder::default();
    let source = include_str!("../../src/provider.rs");
    for shared in [false, true] {
        if shared {
            call_provider(Arc::new(recorder.clone()) as Arc<dyn EventProvider>).await;
        } else {
            call_provider(Box::new(recorder.clone()) as Box<dyn EventProvider>).await;
        }
        recorder.assert_all_of(source, "pub trait EventProvider");
    }
    call_subscription(Box::new(recorder.clone()) as Box<dyn Subscription>).await;
    recorder.assert_all_of(
        include_str!("../../src/provider/subscription.rs"),
        "pub trait Subscription",
    );
}

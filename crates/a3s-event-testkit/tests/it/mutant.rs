//! A provider that is the one in memory but for what a mutant changes.

mod provider;
mod subscription;

use std::sync::Arc;

use a3s_event_core::{
    BoxFuture, EventError, Result,
    provider::{
        Answer, Capabilities, ConsumerInfo, DeliveryHandle, EventProvider, ProviderInfo, Settled,
        Subscription,
    },
    types::{Event, PublishOptions, ReceivedEvent, SubscribeOptions},
};
use a3s_event_memory::MemoryProvider;
use a3s_event_testkit::{Harness, Limits};

pub(crate) type Inner = Arc<MemoryProvider>;
pub(crate) type Outcome<T> = BoxFuture<'static, Result<T>>;
pub(crate) type Opening = Outcome<Box<dyn Subscription>>;

/// What a mutant does differently; [`GOOD`] changes nothing.
#[derive(Clone, Copy)]
pub(crate) struct Mutant {
    pub(crate) claims: fn(Capabilities) -> Capabilities,
    pub(crate) build: fn(Limits) -> Inner,
    /// Whether a provider that is opened again has the storage of the first.
    pub(crate) reopens: bool,
    pub(crate) publish: fn(Inner, Event, PublishOptions) -> Outcome<u64>,
    pub(crate) batch: fn(Inner, Vec<Event>) -> Outcome<Vec<u64>>,
    pub(crate) history: fn(Inner, Option<String>, usize) -> Outcome<Vec<Event>>,
    pub(crate) info: fn(ProviderInfo) -> ProviderInfo,
    pub(crate) consumer_info: fn(Inner, String) -> Outcome<ConsumerInfo>,
    pub(crate) health: fn(Inner) -> Outcome<bool>,
    pub(crate) prefix: fn(&str) -> &str,
    /// What every error becomes.
    pub(crate) error: fn(EventError) -> EventError,
    pub(crate) subscribe: fn(Inner, String, SubscribeOptions) -> Opening,
    pub(crate) durable: fn(Inner, String, String, SubscribeOptions) -> Opening,
    pub(crate) unsubscribe: fn(Inner, String) -> Outcome<()>,
    pub(crate) close: fn(Inner) -> Outcome<()>,
    /// What becomes of a delivery; `None` acknowledges it unseen.
    pub(crate) deliver: fn(ReceivedEvent) -> Option<ReceivedEvent>,
    pub(crate) answer: fn(&DeliveryHandle, Answer, When) -> Settled,
    pub(crate) automatic: Automatic,
    /// How many events a subscription takes before it hands one over.
    pub(crate) hoard: usize,
    /// Whether the newest of the hoard comes first.
    pub(crate) newest_first: bool,
    /// Whether dropping `next` loses what it was about to return.
    pub(crate) forgetful: bool,
    /// Whether a reader that waits is not woken.
    pub(crate) sleepy: bool,
    /// Whether streams work.
    pub(crate) streams: bool,
    pub(crate) missed: fn(u64) -> u64,
    pub(crate) close_subscription: Closing,
    /// Whether dropping a subscription leaves its consumer behind.
    pub(crate) leaks: bool,
}

/// When an answer is given.
#[derive(Clone, Copy)]
pub(crate) struct When {
    /// Another delivery of the event was handed over since.
    pub(crate) late: bool,
    /// The subscription was closed since.
    pub(crate) closed: bool,
}

/// When `next` acknowledges.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Automatic {
    OnReturn,
    BeforeHandOver,
    Never,
}

/// What closing a subscription does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closing {
    Closes,
    Nothing,
    Fails,
    /// Closes, and only the first time.
    Once,
    /// Acknowledges what was not read.
    Swallows,
}

pub(crate) const GOOD: Mutant = Mutant {
    claims: |claims| claims,
    build,
    reopens: false,
    publish: |inner, event, options| {
        Box::pin(async move { inner.publish_with_options(&event, &options).await })
    },
    batch: |inner, events| Box::pin(async move { inner.publish_batch(&events).await }),
    history: |inner, filter, limit| {
        Box::pin(async move { inner.history(filter.as_deref(), limit).await })
    },
    info: |info| info,
    consumer_info: |inner, name| Box::pin(async move { inner.consumer_info(&name).await }),
    health: |inner| Box::pin(async move { inner.health().await }),
    prefix: |prefix| prefix,
    error: |error| error,
    subscribe: |inner, pattern, options| {
        Box::pin(async move { inner.subscribe_with_options(&pattern, &options).await })
    },
    durable: |inner, name, pattern, options| {
        Box::pin(async move {
            inner
                .subscribe_durable_with_options(&name, &pattern, &options)
                .await
        })
    },
    unsubscribe: |inner, name| Box::pin(async move { inner.unsubscribe(&name).await }),
    close: |inner| Box::pin(async move { inner.close().await }),
    deliver: Some,
    answer: |delivery, answer, _| delivery.settle(answer),
    automatic: Automatic::OnReturn,
    hoard: 0,
    newest_first: false,
    forgetful: false,
    sleepy: false,
    streams: true,
    missed: |missed| missed,
    close_subscription: Closing::Closes,
    leaks: false,
};

pub(crate) fn build(limits: Limits) -> Inner {
    let mut builder = MemoryProvider::builder();
    if let Some(events) = limits.max_events {
        builder = builder.max_events(usize::try_from(events).unwrap());
    }
    if let Some(window) = limits.duplicate_window {
        builder = builder.duplicate_window(window);
    }
    Arc::new(builder.build().unwrap())
}

impl Mutant {
    /// A harness for one run.
    pub(crate) fn harness(self) -> Arc<dyn Harness> {
        Arc::new(provider::MutantHarness(self))
    }
}

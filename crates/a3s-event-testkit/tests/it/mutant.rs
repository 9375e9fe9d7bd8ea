//! A provider that is the one in memory but for what a mutant changes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use a3s_event_core::{
    BoxFuture, EventError, Result, async_trait,
    provider::{
        Answer, Capabilities, ConsumerInfo, DeliveryHandle, EventProvider, PendingEvent,
        ProviderInfo, Settle, Settled, Subscription,
    },
    types::{Event, PublishOptions, ReceivedEvent, SubscribeOptions},
};
use a3s_event_memory::MemoryProvider;
use a3s_event_testkit::{Clock, Harness, Limits};

pub(crate) type Inner = Arc<MemoryProvider>;
pub(crate) type Outcome<T> = BoxFuture<'static, Result<T>>;

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
    pub(crate) subscribe: fn(Inner, String, SubscribeOptions) -> Outcome<Box<dyn Subscription>>,
    pub(crate) durable:
        fn(Inner, String, String, SubscribeOptions) -> Outcome<Box<dyn Subscription>>,
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
        Arc::new(MutantHarness(self))
    }

    fn provider(self, limits: Limits) -> Arc<dyn EventProvider> {
        Arc::new(MutantProvider {
            inner: (self.build)(limits),
            mutant: self,
        })
    }

    fn wrap(self, opened: Result<Box<dyn Subscription>>) -> Result<Box<dyn Subscription>> {
        let inner = opened.map_err(self.error)?;
        Ok(Box::new(MutantSubscription {
            inner: Some(inner),
            mutant: self,
            hoard: VecDeque::new(),
            seen: Arc::default(),
        }))
    }
}

struct MutantHarness(Mutant);

#[async_trait]
impl Harness for MutantHarness {
    async fn provider(&self) -> Arc<dyn EventProvider> {
        self.0.provider(Limits::default())
    }

    async fn provider_with(&self, limits: Limits) -> Option<Arc<dyn EventProvider>> {
        Some(self.0.provider(limits))
    }

    async fn reopen(&self) -> Option<Arc<dyn EventProvider>> {
        if !self.0.reopens {
            return None;
        }
        Some(self.provider().await)
    }

    fn clock(&self) -> Clock {
        Clock::Tokio
    }

    // Cases that need threads run on the real clock: they should fail soon.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn counts_missed(&self) -> bool {
        true
    }
}

struct MutantProvider {
    inner: Inner,
    mutant: Mutant,
}

impl MutantProvider {
    fn inner(&self) -> Inner {
        Arc::clone(&self.inner)
    }
}

#[async_trait]
impl EventProvider for MutantProvider {
    async fn publish(&self, event: &Event) -> Result<u64> {
        self.publish_with_options(event, &PublishOptions::default())
            .await
    }

    async fn subscribe(&self, filter_subject: &str) -> Result<Box<dyn Subscription>> {
        self.subscribe_with_options(filter_subject, &SubscribeOptions::default())
            .await
    }

    async fn subscribe_durable(
        &self,
        consumer_name: &str,
        filter_subject: &str,
    ) -> Result<Box<dyn Subscription>> {
        let options = SubscribeOptions::default();
        self.subscribe_durable_with_options(consumer_name, filter_subject, &options)
            .await
    }

    async fn history(&self, filter_subject: Option<&str>, limit: usize) -> Result<Vec<Event>> {
        let filter = filter_subject.map(str::to_owned);
        let history = (self.mutant.history)(self.inner(), filter, limit).await;
        history.map_err(self.mutant.error)
    }

    async fn unsubscribe(&self, consumer_name: &str) -> Result<()> {
        let outcome = (self.mutant.unsubscribe)(self.inner(), consumer_name.to_owned()).await;
        outcome.map_err(self.mutant.error)
    }

    async fn info(&self) -> Result<ProviderInfo> {
        let info = self.inner.info().await.map_err(self.mutant.error)?;
        Ok((self.mutant.info)(info))
    }

    async fn consumer_info(&self, consumer_name: &str) -> Result<ConsumerInfo> {
        let info = (self.mutant.consumer_info)(self.inner(), consumer_name.to_owned()).await;
        info.map_err(self.mutant.error)
    }

    fn build_subject(&self, category: &str, topic: &str) -> String {
        self.inner.build_subject(category, topic)
    }

    fn category_subject(&self, category: &str) -> String {
        self.inner.category_subject(category)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn publish_with_options(&self, event: &Event, options: &PublishOptions) -> Result<u64> {
        let stored = (self.mutant.publish)(self.inner(), event.clone(), options.clone()).await;
        stored.map_err(self.mutant.error)
    }

    async fn publish_batch(&self, events: &[Event]) -> Result<Vec<u64>> {
        let stored = (self.mutant.batch)(self.inner(), events.to_vec()).await;
        stored.map_err(self.mutant.error)
    }

    async fn subscribe_with_options(
        &self,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let pattern = filter_subject.to_owned();
        let opened = (self.mutant.subscribe)(self.inner(), pattern, options.clone()).await;
        self.mutant.wrap(opened)
    }

    async fn subscribe_durable_with_options(
        &self,
        consumer_name: &str,
        filter_subject: &str,
        options: &SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let (name, pattern) = (consumer_name.to_owned(), filter_subject.to_owned());
        let opened = (self.mutant.durable)(self.inner(), name, pattern, options.clone()).await;
        self.mutant.wrap(opened)
    }

    async fn health(&self) -> Result<bool> {
        (self.mutant.health)(self.inner())
            .await
            .map_err(self.mutant.error)
    }

    fn subject_prefix(&self) -> &str {
        (self.mutant.prefix)(self.inner.subject_prefix())
    }

    fn capabilities(&self) -> Capabilities {
        (self.mutant.claims)(self.inner.capabilities())
    }

    async fn close(&self) -> Result<()> {
        (self.mutant.close)(self.inner())
            .await
            .map_err(self.mutant.error)
    }
}

struct MutantSubscription {
    inner: Option<Box<dyn Subscription>>,
    mutant: Mutant,
    hoard: VecDeque<PendingEvent>,
    seen: Arc<Seen>,
}

/// What a subscription has handed over.
#[derive(Default)]
struct Seen {
    /// The latest count of each sequence.
    deliveries: Mutex<HashMap<u64, u64>>,
    closed: AtomicBool,
}

impl Seen {
    fn note(&self, sequence: u64, delivery: u64) {
        let mut deliveries = self.deliveries.lock().unwrap();
        deliveries.insert(sequence, delivery);
    }
}

impl MutantSubscription {
    fn inner(&mut self) -> &mut dyn Subscription {
        &mut **self.inner.as_mut().unwrap()
    }

    async fn take(&mut self) -> Result<Option<PendingEvent>> {
        let hoard = self.mutant.hoard;
        while self.hoard.len() < hoard {
            let next =
                tokio::time::timeout(Duration::from_millis(1), self.inner().next_manual_ack());
            match next.await {
                Ok(Ok(Some(pending))) => self.hoard.push_back(pending),
                _ => break,
            }
        }
        let hoarded = if self.mutant.newest_first {
            self.hoard.pop_back()
        } else {
            self.hoard.pop_front()
        };
        match hoarded {
            Some(pending) => Ok(Some(pending)),
            None => self.inner().next_manual_ack().await,
        }
    }
}

#[async_trait]
impl Subscription for MutantSubscription {
    async fn next(&mut self) -> Result<Option<ReceivedEvent>> {
        loop {
            let automatic = self.mutant.automatic;
            if self.mutant.sleepy {
                let mut next = self.inner().next();
                let polled =
                    std::future::poll_fn(|context| Poll::Ready(next.as_mut().poll(context)));
                if let Poll::Ready(outcome) = polled.await {
                    return outcome;
                }
                return std::future::pending().await;
            }
            let received = if automatic == Automatic::OnReturn && self.mutant.hoard == 0 {
                self.inner().next().await
            } else {
                let pending = self.take().await;
                match pending {
                    Ok(Some(pending)) => {
                        let (received, handle) = pending.into_parts();
                        if automatic != Automatic::Never {
                            handle.answer(Answer::Ack).await?;
                        }
                        Ok(Some(received))
                    }
                    Ok(None) => Ok(None),
                    Err(error) => Err(error),
                }
            };
            let Some(received) = received.map_err(self.mutant.error)? else {
                return Ok(None);
            };
            if self.mutant.forgetful {
                tokio::task::yield_now().await;
            }
            if let Some(received) = (self.mutant.deliver)(received) {
                return Ok(Some(received));
            }
        }
    }

    async fn next_manual_ack(&mut self) -> Result<Option<PendingEvent>> {
        loop {
            let Some(pending) = self.take().await.map_err(self.mutant.error)? else {
                return Ok(None);
            };
            if self.mutant.forgetful {
                tokio::task::yield_now().await;
            }
            let (received, handle) = pending.into_parts();
            let (sequence, delivery) = (received.sequence, received.num_delivered);
            self.seen.note(sequence, delivery);
            match (self.mutant.deliver)(received) {
                Some(received) => {
                    let answers = MutantAnswers {
                        handle,
                        mutant: self.mutant,
                        seen: Arc::clone(&self.seen),
                        sequence,
                        delivery,
                    };
                    let handle = DeliveryHandle::new(Arc::new(answers), 0);
                    return Ok(Some(PendingEvent::with_handle(received, handle)));
                }
                None => handle.answer(Answer::Ack).await?,
            }
        }
    }

    fn poll_next(&mut self, _: &mut Context<'_>) -> Option<Poll<Result<Option<ReceivedEvent>>>> {
        (!self.mutant.streams).then_some(Poll::Pending)
    }

    fn missed(&self) -> u64 {
        (self.mutant.missed)(self.inner.as_ref().unwrap().missed())
    }

    async fn close(&mut self) -> Result<()> {
        let again = self.seen.closed.swap(true, Relaxed);
        match self.mutant.close_subscription {
            Closing::Closes => self.inner().close().await.map_err(self.mutant.error),
            Closing::Nothing => Ok(()),
            Closing::Once if !again => self.inner().close().await,
            Closing::Once | Closing::Fails => {
                Err(EventError::provider("mutant", "close", "on purpose"))
            }
            Closing::Swallows => {
                let wait = Duration::from_millis(1);
                while let Ok(Ok(Some(pending))) =
                    tokio::time::timeout(wait, self.inner().next_manual_ack()).await
                {
                    pending.ack().await?;
                }
                self.inner().close().await
            }
        }
    }
}

impl Drop for MutantSubscription {
    fn drop(&mut self) {
        if self.mutant.leaks {
            std::mem::forget(self.inner.take());
        }
    }
}

struct MutantAnswers {
    handle: DeliveryHandle,
    mutant: Mutant,
    seen: Arc<Seen>,
    sequence: u64,
    delivery: u64,
}

impl Settle for MutantAnswers {
    fn settle(&self, _: u64, answer: Answer) -> Settled {
        let latest = self.seen.deliveries.lock().unwrap()[&self.sequence];
        let when = When {
            late: latest > self.delivery,
            closed: self.seen.closed.load(Relaxed),
        };
        (self.mutant.answer)(&self.handle, answer, when)
    }
}

mod guard;

use std::{
    fmt,
    panic::Location,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use a3s_event_core::{
    EventError, Result,
    provider::{Capabilities, EventProvider, Subscription},
    types::{Event, SubscribeOptions},
};
use tokio::time::Instant;

pub(crate) use guard::{claims_publish, claims_subscribe};

use crate::{
    Harness, Limits, Reader,
    events::{CATEGORY, sample_event},
    within::{eventually, fail},
};

/// Makes the harness of one run.
pub(crate) type Make = Arc<dyn Fn() -> Arc<dyn Harness> + Send + Sync>;

/// One run of a case: the provider under test and what may be expected of it.
///
/// The functions in [`suite`](crate::suite) take one.
pub struct Case {
    /// The provider under test, empty at the start.
    pub provider: Arc<dyn EventProvider>,
    harness: Arc<dyn Harness>,
    run: Arc<Run>,
}

/// What the providers of one run have in common.
struct Run {
    make: Make,
    flavor: Flavor,
    paused: bool,
    /// Unix time and tokio's time at the start.
    started: (Duration, Instant),
    opened: Mutex<Vec<Arc<dyn Harness>>>,
}

/// Which way the calls of a case go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavor {
    /// To the provider itself.
    Bare,
    /// Through the forwarding implementation of `Arc<dyn EventProvider>`.
    Shared,
}

impl Flavor {
    fn of(self, provider: Arc<dyn EventProvider>) -> Arc<dyn EventProvider> {
        match self {
            Self::Bare => provider,
            Self::Shared => Arc::new(provider),
        }
    }
}

impl Case {
    /// The case that a run begins with, over `harness`; what it makes comes from
    /// `make`.
    pub(crate) async fn first(
        make: Make,
        harness: Arc<dyn Harness>,
        flavor: Flavor,
        paused: bool,
    ) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let run = Arc::new(Run {
            make,
            flavor,
            paused,
            started: (since_epoch.unwrap_or_default(), Instant::now()),
            opened: Mutex::default(),
        });
        run.opened().push(Arc::clone(&harness));
        Self::open(run, harness).await
    }

    async fn open(run: Arc<Run>, harness: Arc<dyn Harness>) -> Self {
        let ack_wait = Duration::from_secs(SubscribeOptions::DEFAULT_ACK_WAIT_SECS);
        let patiences = Duration::from_secs(5)..ack_wait;
        assert!(
            patiences.contains(&harness.patience()),
            "the patience of a harness lies in {patiences:?}"
        );
        Self {
            provider: run.flavor.of(harness.provider().await),
            harness,
            run,
        }
    }

    /// What removes the storages of this run.
    pub(crate) fn cleaner(&self) -> impl Future<Output = ()> + use<> {
        let run = Arc::clone(&self.run);
        async move {
            let opened = std::mem::take(&mut *run.opened());
            for harness in opened {
                harness.clean_up().await;
            }
        }
    }

    /// A case over another storage.
    pub(crate) async fn another(&self) -> Self {
        Self::open(Arc::clone(&self.run), self.run.harness()).await
    }

    /// A case over another storage with limits, where the harness can set them.
    pub(crate) async fn limited(&self, limits: Limits) -> Option<Self> {
        let harness = self.run.harness();
        let provider = harness.provider_with(limits).await?;
        Some(Self {
            provider: self.run.flavor.of(provider),
            harness,
            run: Arc::clone(&self.run),
        })
    }

    /// A case over the same storage as another process would open it, where it
    /// outlives its provider.
    pub(crate) async fn reopened(&self) -> Option<Self> {
        Some(Self {
            provider: self.run.flavor.of(self.harness.reopen().await?),
            harness: Arc::clone(&self.harness),
            run: Arc::clone(&self.run),
        })
    }

    /// The harness that made the provider.
    #[must_use]
    pub fn harness(&self) -> &dyn Harness {
        &*self.harness
    }

    /// The provider, to be moved into a task.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn EventProvider> {
        Arc::clone(&self.provider)
    }

    pub(crate) fn claims(&self) -> Capabilities {
        self.provider.capabilities()
    }

    pub(crate) fn patience(&self) -> Duration {
        self.harness.patience()
    }

    /// Unix milliseconds as the provider sees them.
    pub(crate) fn now_millis(&self) -> u64 {
        let (unix, started) = self.run.started;
        u64::try_from((unix + started.elapsed()).as_millis()).unwrap_or(u64::MAX)
    }

    /// Longer than the shortest ack wait: what did not come in this time does not
    /// come.
    pub(crate) fn long_after(&self) -> Duration {
        ACK_WAIT + self.harness.quiet()
    }

    /// Long enough to tell two times of storing apart: a server on this machine
    /// has its clock, a paused provider one that was set a little later.
    pub(crate) fn gap(&self) -> Duration {
        Duration::from_millis(if self.run.paused { 1000 } else { 50 })
    }

    /// Lets time pass, for a case that is about time.
    pub(crate) async fn pass(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Asserts that what began at `since` took `wait`: to the millisecond on a
    /// paused clock, otherwise not much less, because the backend's clock
    /// started before the reader saw the delivery.
    #[track_caller]
    pub(crate) fn assert_waited(&self, since: Instant, wait: Duration) {
        let elapsed = since.elapsed();
        let floor = if self.run.paused {
            wait
        } else {
            wait.mul_f64(0.7)
        };
        assert!(elapsed >= floor, "{elapsed:?} instead of {wait:?}");
        if self.run.paused {
            let ceiling = wait + Duration::from_millis(5);
            assert!(elapsed <= ceiling, "{elapsed:?} instead of {wait:?}");
        }
    }

    /// Asserts that what began at `since` took less than `limit`.
    #[track_caller]
    pub(crate) fn assert_sooner(&self, since: Instant, limit: Duration) {
        let elapsed = since.elapsed();
        assert!(elapsed < limit, "{elapsed:?}, not within {limit:?}");
    }

    // Subjects and events. All cases stay in one category of their storage.

    pub(crate) fn subject(&self, topic: &str) -> String {
        self.provider.build_subject(CATEGORY, topic)
    }

    /// The pattern of all events of the case.
    pub(crate) fn everything(&self) -> String {
        self.provider.category_subject(CATEGORY)
    }

    pub(crate) fn event(&self, topic: &str) -> Event {
        sample_event(&*self.provider, topic)
    }

    #[track_caller]
    pub(crate) fn publish<'a>(&'a self, topic: &str) -> impl Future<Output = u64> + use<'a> {
        let caller = Location::caller();
        let event = self.event(topic);
        async move {
            match self.provider.publish(&event).await {
                Ok(sequence) => sequence,
                Err(error) => fail(caller, format_args!("not stored: {error:?}")),
            }
        }
    }

    /// Publishes `count` events on topic `topic` and returns their sequences.
    pub(crate) async fn publish_many(&self, topic: &str, count: usize) -> Vec<u64> {
        let events: Vec<Event> = (0..count).map(|_| self.event(topic)).collect();
        self.provider.publish_batch(&events).await.unwrap()
    }

    /// The ids of all stored events, oldest first.
    pub(crate) async fn stored_ids(&self) -> Vec<String> {
        let mut history = self.provider.history(None, usize::MAX).await.unwrap();
        history.reverse();
        history.iter().map(|event| event.id.clone()).collect()
    }

    pub(crate) async fn assert_nothing_stored(&self) {
        assert_eq!(self.stored_ids().await, [] as [String; 0]);
        assert_eq!(self.provider.info().await.unwrap().messages, 0);
    }

    // Subscriptions.

    pub(crate) fn reader(&self, subscription: Box<dyn Subscription>) -> Reader {
        Reader {
            subscription,
            patience: self.patience(),
            quiet: self.harness.quiet(),
        }
    }

    /// Subscribes to `pattern` with default options.
    #[track_caller]
    pub(crate) fn subscribe<'a>(&'a self, pattern: &str) -> impl Future<Output = Reader> + use<'a> {
        let caller = Location::caller();
        let pattern = pattern.to_owned();
        async move {
            match self.provider.subscribe(&pattern).await {
                Ok(subscription) => self.reader(subscription),
                Err(error) => fail(caller, format_args!("not opened: {error:?}")),
            }
        }
    }

    /// Subscribes to everything with default options.
    #[track_caller]
    pub(crate) fn subscribe_all(&self) -> impl Future<Output = Reader> {
        let everything = self.everything();
        self.subscribe(&everything)
    }

    /// Options that keep the provider from reading ahead, as far as it lets one.
    pub(crate) fn on_demand(&self) -> SubscribeOptions {
        SubscribeOptions {
            prefetch: self.claims().prefetch.then_some(0),
            ..Default::default()
        }
    }

    pub(crate) async fn consumers(&self) -> usize {
        self.provider.info().await.unwrap().consumers
    }

    /// Waits until `count` consumers exist.
    #[track_caller]
    pub(crate) fn settles_at_consumers(&self, count: usize) -> impl Future<Output = ()> {
        eventually(self.patience(), move || async move {
            self.consumers().await == count
        })
    }
}

impl Run {
    fn harness(&self) -> Arc<dyn Harness> {
        let harness = (self.make)();
        self.opened().push(Arc::clone(&harness));
        harness
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Harness>>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shortest ack wait there is.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(1);

/// Options with the shortest ack wait.
pub(crate) fn impatient() -> SubscribeOptions {
    SubscribeOptions::default().with_ack_wait_secs(ACK_WAIT.as_secs())
}

/// Asserts that a call was refused because it is not supported.
#[track_caller]
pub(crate) fn assert_unsupported<T: fmt::Debug>(outcome: Result<T>) {
    assert!(
        matches!(outcome, Err(EventError::Unsupported { .. })),
        "{outcome:?}"
    );
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("provider", &self.provider.name())
            .field("flavor", &self.run.flavor)
            .field("paused", &self.run.paused)
            .finish_non_exhaustive()
    }
}

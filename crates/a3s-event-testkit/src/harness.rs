use std::{sync::Arc, time::Duration};

use a3s_event_core::{async_trait, provider::EventProvider};

/// How the suite gets at a provider, and what it may expect of it.
///
/// One value is one storage that nobody else uses. The suite makes a value for
/// every run of a case, calls [`provider`](Self::provider) or
/// [`provider_with`](Self::provider_with) once, [`reopen`](Self::reopen) any
/// number of times, and [`clean_up`](Self::clean_up) at the end, also after a
/// failure. Whatever cannot be set up is a panic: it fails the test, which is
/// what it should do.
///
/// Names of streams, prefixes, databases or folders come from a fresh id, so
/// that cases run in parallel.
///
/// # Examples
///
/// The harness of a provider on a shared server:
///
/// ```
/// use std::sync::Arc;
///
/// use a3s_event_testkit::{EventProvider, Harness, async_trait, fresh_name};
/// # use a3s_event_testkit::stubs::FailingProvider;
/// # struct RedisProvider;
/// # impl RedisProvider {
/// #     async fn connect(_: &str, _: &str) -> Result<FailingProvider, std::io::Error> {
/// #         Ok(FailingProvider)
/// #     }
/// #     async fn remove(_: &str, _: &str) -> Result<(), std::io::Error> { Ok(()) }
/// # }
///
/// struct RedisHarness {
///     url: String,
///     stream: String,
/// }
///
/// impl RedisHarness {
///     fn new() -> Self {
///         Self {
///             url: "redis://127.0.0.1".to_string(),
///             stream: fresh_name(),
///         }
///     }
/// }
///
/// #[async_trait]
/// impl Harness for RedisHarness {
///     async fn provider(&self) -> Arc<dyn EventProvider> {
///         let provider = RedisProvider::connect(&self.url, &self.stream).await;
///         Arc::new(provider.expect("redis is running"))
///     }
///
///     async fn reopen(&self) -> Option<Arc<dyn EventProvider>> {
///         Some(self.provider().await)
///     }
///
///     async fn clean_up(&self) {
///         RedisProvider::remove(&self.url, &self.stream).await.expect("redis is running");
///     }
/// }
/// # drop(RedisHarness::new());
/// ```
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// Opens a provider over the empty storage of this harness.
    async fn provider(&self) -> Arc<dyn EventProvider>;

    /// Opens a provider over the empty storage, with limits that are smaller
    /// than usual. `None`, the default, means that it cannot be had with one of
    /// them; the cases then prove that nothing is limited.
    async fn provider_with(&self, limits: Limits) -> Option<Arc<dyn EventProvider>> {
        let _: Limits = limits;
        None
    }

    /// Opens one more provider over the storage as it is now, independent of
    /// the first, as another process would. `None`, the default, means that the
    /// storage ends with its provider.
    async fn reopen(&self) -> Option<Arc<dyn EventProvider>> {
        None
    }

    /// Removes the storage. The providers may still be open.
    async fn clean_up(&self) {}

    /// Whose time the provider keeps. The default is [`Clock::Real`].
    fn clock(&self) -> Clock {
        Clock::Real
    }

    /// How long to wait for what must happen, 10 seconds by default. At least 5
    /// seconds, because some cases wait for delays of this order, and less than
    /// 30, the ack wait: what comes in this time was not merely forgotten and
    /// delivered again.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// How long to watch for what must not happen, 300 milliseconds by default:
    /// a few times what a delivery takes, and less than a second, the shortest
    /// ack wait.
    fn quiet(&self) -> Duration {
        Duration::from_millis(300)
    }

    /// The largest event the provider takes, in bytes of JSON, if there is a
    /// limit. An event of half the size must be taken, one of twice the size
    /// refused.
    fn max_event_bytes(&self) -> Option<usize> {
        None
    }

    /// Whether [`Subscription::missed`](a3s_event_core::provider::Subscription::missed)
    /// counts what retention removed before a reader got to it.
    fn counts_missed(&self) -> bool {
        false
    }
}

/// Whose time a provider keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clock {
    /// That of the world: waiting takes time.
    Real,
    /// That of tokio alone. The suite pauses it, so that waits cost nothing and
    /// times are checked to the millisecond. Cases that need threads run
    /// unpaused.
    Tokio,
}

/// Limits that are smaller than usual, to see what a provider does at them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Retain at most so many events and evict the oldest; `None` is the
    /// provider's default, which holds at least 10,000.
    pub max_events: Option<u64>,
    /// Remember a `msg_id` for so long; `None` is the provider's default.
    pub duplicate_window: Option<Duration>,
}

impl Limits {
    /// Sets [`max_events`](Self::max_events).
    #[must_use]
    pub const fn with_max_events(mut self, events: u64) -> Self {
        self.max_events = Some(events);
        self
    }

    /// Sets [`duplicate_window`](Self::duplicate_window).
    #[must_use]
    pub const fn with_duplicate_window(mut self, window: Duration) -> Self {
        self.duplicate_window = Some(window);
        self
    }
}

use std::time::Duration;

use a3s_event_core::{Result, subject::SubjectPrefix};

use crate::{
    MemoryConfig, MemoryProvider,
    clock::nanos,
    store::{Limits, Store},
};

/// Settings of a [`MemoryProvider`] beyond [`MemoryConfig`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use a3s_event_memory::MemoryProvider;
///
/// let provider = MemoryProvider::builder()
///     .subject_prefix("acme.events")
///     .max_events(10_000)
///     .max_age(Duration::from_secs(3600))
///     .build()?;
/// # let _ = provider;
/// # Ok::<(), a3s_event_core::EventError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct MemoryProviderBuilder {
    limits: Limits,
}

impl MemoryProviderBuilder {
    /// What all subjects begin with. Default `events`.
    pub fn subject_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.limits.prefix = prefix.into();
        self
    }

    /// How many events are retained; the oldest goes first. 0 is unlimited.
    /// Default 100 000.
    pub const fn max_events(mut self, events: usize) -> Self {
        self.limits.max_events = events;
        self
    }

    /// How many bytes of events are retained, measured as
    /// [`Event::measure`](a3s_event_core::types::Event::measure)
    /// does; the oldest goes first, and a larger event is refused. 0, the
    /// default, is unlimited.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.limits.max_bytes = bytes;
        self
    }

    /// How long events are retained, in milliseconds, rounded up. Zero, the
    /// default, is for ever. What is too old goes when the provider is used next
    /// and is not delivered; a handle that waits for it to make room is woken.
    pub fn max_age(mut self, age: Duration) -> Self {
        let millis = age.as_nanos().div_ceil(1_000_000);
        self.limits.max_age_millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self
    }

    /// How large an event may be, in bytes as measured for
    /// [`max_bytes`](Self::max_bytes); a larger one is refused. 0, the default,
    /// is unlimited. A NATS server takes 1 MiB unless configured otherwise.
    pub const fn max_event_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_event_bytes = bytes;
        self
    }

    /// How many sequences a filter's live path remembers, see
    /// [`MemoryConfig::channel_capacity`]. Default 10 000.
    pub const fn channel_capacity(mut self, sequences: usize) -> Self {
        self.limits.channel_capacity = sequences;
        self
    }

    /// How long a message id is remembered; at most
    /// [`max_age`](Self::max_age). Default 2 minutes.
    pub fn duplicate_window(mut self, window: Duration) -> Self {
        self.limits.duplicate_window = nanos(window);
        self
    }

    /// Creates the provider.
    ///
    /// # Errors
    ///
    /// [`EventError::InvalidSubject`](a3s_event_core::EventError::InvalidSubject)
    /// for a prefix that breaks the rules of
    /// [`SubjectPrefix`](a3s_event_core::subject::SubjectPrefix).
    pub fn build(self) -> Result<MemoryProvider> {
        SubjectPrefix::parse(&self.limits.prefix)?;
        Ok(self.build_unchecked())
    }

    pub(crate) fn build_unchecked(mut self) -> MemoryProvider {
        if self.limits.max_age_millis > 0 {
            let age = nanos(Duration::from_millis(self.limits.max_age_millis));
            self.limits.duplicate_window = self.limits.duplicate_window.min(age);
        }
        MemoryProvider::with_store(Store::new(self.limits))
    }
}

impl From<MemoryConfig> for MemoryProviderBuilder {
    fn from(config: MemoryConfig) -> Self {
        Self {
            limits: Limits {
                prefix: config.subject_prefix,
                max_events: config.max_events,
                max_bytes: 0,
                max_age_millis: 0,
                max_event_bytes: 0,
                duplicate_window: nanos(Duration::from_secs(120)),
                channel_capacity: config.channel_capacity,
            },
        }
    }
}

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Nanoseconds since the provider was created, on tokio's clock.
pub(crate) type Nanos = u64;

/// Tokio's clock, as small numbers and as Unix time.
///
/// Unix time is taken from the system once and then follows tokio's clock, so
/// that it never goes back and stands still when a test pauses it.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_unix_millis: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            origin: Instant::now(),
            origin_unix_millis: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        nanos(Instant::now().saturating_duration_since(self.origin))
    }

    /// The instant at which `now` will be `at`; far in the future if that is
    /// beyond the clock.
    pub(crate) fn instant(&self, at: Nanos) -> Instant {
        const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);
        self.origin + Duration::from_nanos(at).min(FAR)
    }

    /// When `unix_millis` will be reached, or was.
    pub(crate) const fn at_unix_millis(&self, unix_millis: u64) -> Nanos {
        unix_millis
            .saturating_sub(self.origin_unix_millis)
            .saturating_mul(1_000_000)
    }

    pub(crate) const fn unix_millis(&self, at: Nanos) -> u64 {
        self.origin_unix_millis.saturating_add(at / 1_000_000)
    }
}

pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How a [`MemoryProvider`](crate::MemoryProvider) retains and delivers.
///
/// Further settings are on [`MemoryProvider::builder`](crate::MemoryProvider::builder).
///
/// # Examples
///
/// ```
/// use a3s_event_memory::{MemoryConfig, MemoryProvider};
///
/// let provider = MemoryProvider::new(MemoryConfig {
///     subject_prefix: "events".to_string(),
///     max_events: 100_000,
///     channel_capacity: 10_000,
/// });
/// # let _ = provider;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryConfig {
    /// What all subjects begin with. Default `events`.
    pub subject_prefix: String,
    /// How many events are retained; the oldest goes first. 0 is unlimited.
    /// Default 100 000.
    pub max_events: usize,
    /// How many sequences a filter's live path remembers, 8 bytes each, and never
    /// more than were retained at once. A reader that is further behind goes
    /// through the log: that costs time, not events. 0 reads the log always.
    /// Nothing is allocated in advance. Default 10 000.
    pub channel_capacity: usize,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            subject_prefix: "events".to_owned(),
            max_events: 100_000,
            channel_capacity: 10_000,
        }
    }
}

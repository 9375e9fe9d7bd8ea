use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use a3s_event_core::{
    Result, async_trait,
    dlq::{DeadLetterEvent, DlqHandler},
    types::StreamName,
};

/// A dead-letter handler that keeps a bounded number of letters in memory, for
/// development, for tests, and where losing them with the process is acceptable.
///
/// At the bound the oldest letter goes, and [`dropped`](Self::dropped) counts
/// it. A letter that comes again, for the same stream, sequence and consumer,
/// replaces the earlier one.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use a3s_event_bus::{EventBus, MemoryDlqHandler};
/// use a3s_event_core::dlq::DlqHandler;
/// use a3s_event_memory::MemoryProvider;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> a3s_event_core::Result<()> {
/// let dead_letters = Arc::new(MemoryDlqHandler::new(1_000));
/// let mut bus = EventBus::new(MemoryProvider::default());
/// bus.set_dlq_handler(dead_letters.clone());
///
/// bus.publish("market", "forex", "EUR/USD", "ecb", serde_json::json!({"rate": "n/a"})).await?;
/// let mut rates = bus.subscribe("events.market.>").await?;
/// let pending = rates.next_manual_ack().await?.expect("the bus is open");
/// pending.term("the rate is no number").await?;
///
/// assert_eq!(dead_letters.count().await?, 1);
/// assert_eq!(dead_letters.list(10).await?[0].reason, "the rate is no number");
/// # Ok(())
/// # }
/// ```
pub struct MemoryDlqHandler {
    capacity: usize,
    letters: Mutex<Letters>,
}

type Key = (StreamName, u64, Option<String>);

#[derive(Default)]
struct Letters {
    /// By order of arrival.
    by_arrival: BTreeMap<u64, DeadLetterEvent>,
    arrivals: HashMap<Key, u64>,
    next_arrival: u64,
    dropped: u64,
}

impl MemoryDlqHandler {
    /// Letters that a default handler keeps.
    pub const DEFAULT_CAPACITY: usize = 10_000;

    /// Keeps up to `capacity` letters, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            letters: Mutex::default(),
        }
    }

    /// How many letters went because newer ones came.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.letters().dropped
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryDlqHandler {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

#[async_trait]
impl DlqHandler for MemoryDlqHandler {
    async fn handle(&self, event: DeadLetterEvent) -> Result<()> {
        self.letters().add(event, self.capacity);
        Ok(())
    }

    async fn count(&self) -> Result<usize> {
        Ok(self.letters().by_arrival.len())
    }

    async fn list(&self, limit: usize) -> Result<Vec<DeadLetterEvent>> {
        let letters = self.letters();
        let newest = letters.by_arrival.values().rev().take(limit);
        Ok(newest.cloned().collect())
    }

    fn depth(&self) -> Option<u64> {
        Some(self.letters().by_arrival.len() as u64)
    }
}

impl Letters {
    fn add(&mut self, letter: DeadLetterEvent, capacity: usize) {
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        if let Some(earlier) = self.arrivals.insert(key(&letter), arrival) {
            self.by_arrival.remove(&earlier);
        }
        self.by_arrival.insert(arrival, letter);
        if self.by_arrival.len() > capacity
            && let Some((_, oldest)) = self.by_arrival.pop_first()
        {
            self.arrivals.remove(&key(&oldest));
            self.dropped += 1;
        }
    }
}

fn key(letter: &DeadLetterEvent) -> Key {
    let event = &letter.event;
    (
        event.stream.clone(),
        event.sequence,
        letter.consumer.clone(),
    )
}

impl fmt::Debug for MemoryDlqHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDlqHandler")
            .field("capacity", &self.capacity)
            .field("letters", &self.letters().by_arrival.len())
            .finish_non_exhaustive()
    }
}

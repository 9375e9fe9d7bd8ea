use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use a3s_event_core::{
    EventError, Result, async_trait, state::StateStore, types::SubscriptionFilter,
};

use crate::format::check_keys;

/// Keeps subscriptions in memory: what a test needs, and what a bus without a
/// store does anyway.
///
/// Share it in an `Arc` between the buses that stand for the runs of a service.
///
/// # Examples
///
/// ```
/// use std::collections::HashMap;
///
/// use a3s_event_core::{state::StateStore, types::SubscriptionFilter};
/// use a3s_event_state::MemoryStateStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> a3s_event_core::Result<()> {
/// let store = MemoryStateStore::new();
/// let filter = SubscriptionFilter {
///     subscriber_id: "analyst".to_string(),
///     ..Default::default()
/// };
/// store.save(&HashMap::from([("analyst".to_string(), filter)])).await?;
/// assert_eq!(store.load().await?.len(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct MemoryStateStore {
    subscriptions: Mutex<HashMap<String, SubscriptionFilter>>,
}

impl MemoryStateStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, SubscriptionFilter>> {
        let guard = self.subscriptions.lock();
        guard.unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StateStore for MemoryStateStore {
    /// Replaces what was stored.
    ///
    /// # Errors
    ///
    /// [`EventError::State`] when a key is not the id of its filter, as every
    /// store has it.
    async fn save(&self, subscriptions: &HashMap<String, SubscriptionFilter>) -> Result<()> {
        check_keys(subscriptions).map_err(|error| EventError::state("save", "memory", error))?;
        self.lock().clone_from(subscriptions);
        Ok(())
    }

    async fn load(&self) -> Result<HashMap<String, SubscriptionFilter>> {
        Ok(self.lock().clone())
    }
}

//! Where the bus keeps its subscriptions. `a3s-event-state` has stores in a
//! file and in memory.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;

use crate::{Result, types::SubscriptionFilter};

/// Keeps the subscription filters of one bus across restarts.
///
/// # For implementers
///
/// - `save` replaces everything, atomically: after a crash `load` gives the old
///   or the new filters, never a mixture, and never less than what a `save`
///   that returned `Ok` stored.
/// - Saves take effect in the order in which they are called.
/// - Dropping the future of `save` leaves the old or the new filters.
/// - What cannot be read is an error, never an empty map.
#[async_trait]
pub trait StateStore: Send + Sync {
    /// Stores `subscriptions`, by subscriber id, in place of what was stored.
    ///
    /// # Errors
    ///
    /// [`EventError::State`](crate::EventError::State); the earlier state is kept.
    async fn save(&self, subscriptions: &HashMap<String, SubscriptionFilter>) -> Result<()>;

    /// Returns what the last `save` stored; empty if there was none.
    ///
    /// # Errors
    ///
    /// [`EventError::State`](crate::EventError::State) for anything unreadable.
    async fn load(&self) -> Result<HashMap<String, SubscriptionFilter>>;
}

macro_rules! forward_store {
    ($($pointer:ident)+) => {$(
        #[async_trait]
        impl<S: StateStore + ?Sized> StateStore for $pointer<S> {
            async fn save(&self, subscriptions: &HashMap<String, SubscriptionFilter>) -> Result<()> {
                (**self).save(subscriptions).await
            }

            async fn load(&self) -> Result<HashMap<String, SubscriptionFilter>> {
                (**self).load().await
            }
        }
    )+};
}

forward_store!(Box Arc);

//! Stores for subscriptions that survive a restart.
//!
//! - [`FileStateStore`] keeps them in a JSON file that no crash tears.
//! - [`MemoryStateStore`] keeps them in memory, for tests.
//!
//! Give one to a bus: it loads what was stored, and saves before a change of a
//! subscription returns.
//!
//! # Examples
//!
//! ```
//! use std::collections::HashMap;
//!
//! use a3s_event_core::{state::StateStore, types::SubscriptionFilter};
//! use a3s_event_state::FileStateStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("subscriptions.json");
//! let store = FileStateStore::open(&path).await?;
//! let analyst = SubscriptionFilter {
//!     subscriber_id: "analyst".to_string(),
//!     subjects: vec!["events.market.>".to_string()],
//!     durable: true,
//!     ..Default::default()
//! };
//! store.save(&HashMap::from([("analyst".to_string(), analyst)])).await?;
//!
//! // After a restart:
//! # drop(store);
//! let store = FileStateStore::open(&path).await?;
//! assert!(store.load().await?["analyst"].durable);
//! # Ok(())
//! # }
//! ```

mod file;
mod format;
mod memory;
mod replace;

pub use file::FileStateStore;
pub use memory::MemoryStateStore;

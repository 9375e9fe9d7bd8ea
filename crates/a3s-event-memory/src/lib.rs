//! The embedded provider of A3S Event: one bounded stream in the memory of the
//! process, delivered as NATS JetStream delivers.
//!
//! # How it works
//!
//! - `log`: the stream itself, the only owner of events. Everything else
//!   refers to it by sequence, so retention is exact.
//! - `subjects`: an index by subject. It makes history cost what it returns and
//!   remembers which routes a subject feeds.
//! - `routes`: one per distinct filter, with the sequences that match. A publish
//!   pays for the routes it feeds, not for those that exist.
//! - `store`: the three of them behind one lock, never held across an await; below
//!   it a file for each thing that is done under the lock.
//! - `cursor`: a reading position; it follows its route and goes back to the log
//!   when it is older than the route remembers, so a slow reader costs latency,
//!   not events.
//! - `consumer`: what JetStream keeps about a consumer: the unanswered
//!   deliveries, their deadlines and what has to come again; below it a file for
//!   each part of that.
//! - `subscription`: a handle on a consumer.
//! - `wakers`, `aftermath`: waking, dropping a waker and logging run foreign
//!   code, and so they are done once all locks are released.
//!
//! No task, thread or timer exists while nobody waits: whoever waits for an
//! event also waits for the earliest deadline. All timing is on tokio's clock,
//! so a test can pause it.
//!
//! # Examples
//!
//! ```
//! use a3s_event_core::{Result, provider::EventProvider, types::Event};
//! use a3s_event_memory::MemoryProvider;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let provider = MemoryProvider::default();
//! let subject = provider.build_subject("market", "forex.usd_cny");
//! let rate = serde_json::json!({"rate": 7.3521});
//! provider.publish(&Event::new(subject, "market", "USD/CNY", "reuters", rate)).await?;
//!
//! let mut subscription = provider.subscribe("events.market.>").await?;
//! let received = subscription.next().await?;
//! assert_eq!(received.map(|received| received.sequence), Some(1));
//! # Ok(())
//! # }
//! ```

mod aftermath;
mod builder;
mod clock;
mod config;
mod consumer;
mod cursor;
mod dedup;
mod log;
mod provider;
mod routes;
mod schedule;
mod segmented;
mod store;
mod subjects;
mod subscription;
mod timer;
mod tree;
mod wakers;
mod window;

pub use builder::MemoryProviderBuilder;
pub use config::MemoryConfig;
pub use provider::MemoryProvider;

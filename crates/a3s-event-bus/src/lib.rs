//! The event bus of A3S Event: one pipeline above any provider.
//!
//! [`EventBus`] is what applications talk to. It adds what belongs to the
//! application rather than to a backend: schemas are checked, payloads
//! encrypted and decrypted, subscriptions managed and kept across restarts,
//! events that nobody can process put aside, and everything measured.
//!
//! ```text
//! publish    check names, validate the plaintext, encrypt a copy, hand it to the provider
//! receive    count deliveries, decode, decrypt, hand over
//! answer     ack, nak or term; what leaves the normal path goes to the dead-letter handler first
//! ```
//!
//! The crate starts no task and needs no runtime of its own; providers may.
//!
//! # Examples
//!
//! ```
//! use a3s_event_bus::EventBus;
//! use a3s_event_memory::MemoryProvider;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> a3s_event_core::Result<()> {
//! let bus = EventBus::new(MemoryProvider::default());
//! let mut rates = bus.subscribe("events.market.>").await?;
//!
//! bus.publish("market", "forex.eur_usd", "EUR/USD", "ecb", serde_json::json!({"rate": 1.08}))
//!     .await?;
//!
//! let received = rates.next().await?.expect("the bus is open");
//! assert_eq!(received.event.payload["rate"], 1.08);
//! # Ok(())
//! # }
//! ```

mod backend;
mod builder;
mod bus;
mod dead_letter;
mod encryption;
mod history;
mod metrics;
mod publish;
mod registry;
mod subscribe;
mod trace;

pub use builder::EventBusBuilder;
pub use bus::EventBus;
pub use dead_letter::MemoryDlqHandler;
pub use encryption::EncryptionPolicy;
pub use metrics::{BucketSnapshot, EventMetrics, HistogramSnapshot, MetricsSnapshot};

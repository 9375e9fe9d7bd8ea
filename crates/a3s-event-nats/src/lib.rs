//! NATS JetStream as a provider of A3S Event: events in files on a server,
//! shared by many processes, delivered at least once.
//!
//! [`NatsProvider`] stores all events in one stream and behaves as the memory
//! provider does; one conformance suite proves it on both. What JetStream adds
//! is where events live and who shares them.
//!
//! ```no_run
//! use a3s_event_core::{provider::EventProvider, types::Event};
//! use a3s_event_nats::{NatsConfig, NatsProvider};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> a3s_event_core::Result<()> {
//! let provider = NatsProvider::connect(NatsConfig::default()).await?;
//!
//! let subject = provider.build_subject("market", "forex.usd_cny");
//! let event = Event::new(subject, "market", "USD/CNY", "reuters", serde_json::json!({"rate": 7.3}));
//! provider.publish(&event).await?;
//!
//! let mut worker = provider.subscribe_durable("worker", "events.market.>").await?;
//! if let Some(pending) = worker.next_manual_ack().await? {
//!     println!("{}", pending.received.event.summary);
//!     pending.ack().await?;
//! }
//! provider.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! - **At least once.** A handler must be able to see an event again: after a
//!   crash, after a lost acknowledgement, after `ack_wait`. Even a confirmed
//!   acknowledgement proves receipt only; a server that is killed right
//!   afterwards delivers again.
//! - **A publish that timed out may be stored.** Set
//!   [`msg_id`](a3s_event_core::types::PublishOptions::msg_id) when retrying.
//! - **Call [`close`](a3s_event_core::provider::EventProvider::close)** before
//!   the process ends: acknowledgements wait in a buffer of the client.
//! - **Servers** from 2.10 on are supported. What an older one lacks is an
//!   error, never a silent drop.

mod address;
mod api;
mod batch;
mod client;
mod config;
mod connection;
mod consumer;
mod convert;
mod durable;
mod ephemeral;
mod error;
mod history;
mod incarnation;
mod ledger;
mod names;
mod provider;
mod publish;
mod pull;
mod reader;
mod rest;
mod settle;
mod stream;
mod subscription;
mod tls;

pub use client::NatsProviderBuilder;
pub use config::{NatsConfig, StorageType};
pub use consumer::ExistingDurable;
pub use provider::NatsProvider;
pub use stream::{Discard, ExistingStream, Retention};

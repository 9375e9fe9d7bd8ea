//! Vocabulary of A3S Event: what an event is, how subjects work, and what a
//! backend has to provide.
//!
//! Everything in the workspace depends on this crate and it depends on none of
//! them. It starts no task, opens no file and knows no async runtime, so that a
//! provider for any backend can be written on top of it.
//!
//! - [`types`]: [`Event`](types::Event) and what surrounds one.
//! - [`subject`]: names of events and the patterns that select them.
//! - [`provider`]: [`EventProvider`](provider::EventProvider) and
//!   [`Subscription`](provider::Subscription), the traits a backend implements.
//! - [`error`]: the one error type.
//! - [`schema`], [`crypto`], [`state`], [`dlq`]: what the bus accepts from
//!   outside, each a small trait with its data.
//!
//! # Implementing a provider
//!
//! Depend on this crate alone, implement [`EventProvider`](provider::EventProvider)
//! and [`Subscription`](provider::Subscription), then run the suite of
//! `a3s-event-testkit` against it. [`macro@async_trait`] is re-exported, so that both
//! sides use the same version.

mod clock;

pub mod crypto;
pub mod dlq;
pub mod error;
pub mod provider;
pub mod schema;
pub mod state;
pub mod subject;
pub mod types;

pub use async_trait::async_trait;
pub use error::{BoxError, EventError, Result};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

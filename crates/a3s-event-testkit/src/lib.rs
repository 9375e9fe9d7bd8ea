//! Proves that a provider of A3S Event keeps the contract.
//!
//! Applications swap providers without a change, because all providers behave
//! alike. This crate is how they know: one named test per clause, the same for
//! the provider in memory, for NATS JetStream, and for yours.
//!
//! # Use
//!
//! Add the crate as a development dependency, implement [`Harness`], and let
//! [`conformance!`] make the tests, in `tests/conformance.rs` of your provider:
//!
//! ```
//! use std::sync::Arc;
//!
//! use a3s_event_testkit::{EventProvider, Harness, async_trait, conformance};
//! # use a3s_event_testkit::stubs::FailingProvider as MyProvider;
//!
//! struct MyHarness;
//!
//! #[async_trait]
//! impl Harness for MyHarness {
//!     async fn provider(&self) -> Arc<dyn EventProvider> {
//!         Arc::new(MyProvider::default())
//!     }
//! }
//!
//! conformance!(my, MyHarness);
//!
//! // One that needs a server: an attribute reaches every test.
//! conformance!(#[ignore = "needs nats-server"] remote, MyHarness);
//! # fn main() {}
//! ```
//!
//! `cargo test` then runs `my::ack::nak_redelivers_with_a_higher_count` and its
//! siblings. [`Harness`] shows the harness of a provider on a shared server.
//!
//! # What runs
//!
//! Each case runs on storage of its own, twice at the same time: on the provider
//! itself, and through the forwarding implementation of `Arc<dyn EventProvider>`.
//!
//! Every case applies to every provider. **What a provider does not claim in its
//! [`Capabilities`] it must refuse**, and
//! the case checks that instead: the option is answered with
//! [`EventError::Unsupported`](a3s_event_core::EventError::Unsupported), nothing
//! is stored and no consumer is created. Nothing is skipped: a pass is always a
//! proof of one or the other.
//!
//! The cases wait for conditions under a deadline. Where nothing must happen
//! they watch for [`Harness::quiet`], or for a little longer than the ack wait
//! in question. A provider on tokio's clock says so with [`Clock::Tokio`]: time
//! is then paused, waits cost nothing, and times are checked to the millisecond.
//! On a real clock the cases spend their time waiting; run many at once, with
//! `cargo test -- --test-threads 16`.
//!
//! # Reading a failure
//!
//! The name of the test is the sentence that does not hold; the documentation of
//! the function of that name in [`suite`] quotes the clause. The name of the
//! thread in the message says which of the two runs failed, the message where
//! in the case: the file is in this crate.
//!
//! ```text
//! thread 'ack::nak_redelivers_with_a_higher_count, bare' panicked at …:
//! no event in 10s, at …/a3s-event-testkit/src/suite/ack.rs:73:33
//! ```
//!
//! A case that fails in one run only, `through Arc<dyn EventProvider>`, points
//! at a method that the forwarding implementation of core forgets.
//!
//! Failures elsewhere follow from the basics: begin with [`suite::publish`],
//! [`suite::subjects`] and [`suite::subscribe`].
//!
//! # Stability
//!
//! Minor releases add cases, and so may make a provider fail that passed before;
//! names that exist keep their meaning. [`Harness`] grows by methods with
//! defaults only.
//!
//! # Also here
//!
//! [`within`] and [`eventually`] wait under a deadline, [`sample_event`] and
//! [`fresh_name`] make what tests need, [`stubs`] fail on purpose.

#![allow(
    clippy::unwrap_used,
    reason = "a case fails by a panic, and its place says more than a text"
)]

mod case;
mod events;
mod harness;
#[macro_use]
mod macros;
mod reader;
mod run;
pub mod stubs;
pub mod suite;
mod within;

pub use a3s_event_core::{
    async_trait,
    provider::{Capabilities, EventProvider},
};
pub use case::Case;
pub use events::{fresh_name, sample_event};
pub use harness::{Clock, Harness, Limits};
pub use run::{NamedCase, case_named, cases};
pub use within::{eventually, within};

#[doc(hidden)]
pub use run::run_named;

use reader::Reader;

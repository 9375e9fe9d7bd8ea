//! The public behavior of the bus, on the memory provider and on small
//! providers that fail on purpose.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod close;
mod dead_letter;
mod encryption;
#[cfg(feature = "metrics")]
mod exported;
mod hostile;
mod metrics;
mod opening;
mod options;
#[cfg(feature = "otel")]
mod otel;
mod publish;
mod retire;
mod schema;
mod state;
mod subscribe;
mod support;
mod trace;

//! The public behavior of the bus, on the memory provider and on small
//! providers that fail on purpose.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod close;
mod dead_letter;
mod encryption;
mod hostile;
mod metrics;
mod options;
mod publish;
mod retire;
mod schema;
mod state;
mod subscribe;
mod support;
mod trace;

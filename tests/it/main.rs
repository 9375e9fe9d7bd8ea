//! Tests across crates, through the facade.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod custom_provider;
#[cfg(feature = "full")]
mod equivalence;
mod facade_paths;
#[allow(
    unreachable_pub,
    missing_debug_implementations,
    reason = "the guide shows a published crate"
)]
mod guide {
    //! The provider of `docs/custom-providers.md`, which proves itself.
    include!(concat!(env!("OUT_DIR"), "/guide.rs"));
}
#[macro_use]
mod pipeline;
mod spec_samples;
mod stress;
mod telemetry;
mod wire_formats;

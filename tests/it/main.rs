//! Tests across crates, through the facade.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod custom_provider;
mod facade_paths;
mod spec_samples;
mod stress;
mod wire_formats;

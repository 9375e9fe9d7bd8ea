//! The provider against real servers, which each test starts or shares.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alike;
mod auth;
mod batch;
mod cluster;
mod common;
mod conformance;
mod existing;
mod faults;
mod foreign;
mod handover;
mod history;
mod incarnations;
mod injection;
mod lossy;
mod names;
mod processes;
mod proxy;
mod scenarios;
mod silence;
mod tls;

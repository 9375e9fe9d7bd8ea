//! Servers for tests: each test gets a `nats-server` with JetStream, on a free port, with a store of its own.
//!
//! ```no_run
//! use a3s_event_nats_server::Server;
//!
//! # fn main() -> a3s_event_nats_server::Result<()> {
//! let server = Server::shared()?; // one for all tests of a binary that use it at the same time
//! println!("{} at {}", server.version(), server.url());
//!
//! let own = Server::start()?; // for a test that breaks its server
//! own.kill()?;
//! own.restart()?; // on the same port, which nobody gets meanwhile, with what was stored
//! # Ok(())
//! # }
//! ```
//!
//! The program is, in this order: the one that `A3S_EVENT_NATS_SERVER` names; the pinned version in `target/tools`, where
//! `cargo xtask nats fetch` puts it; a `nats-server` of 2.10 or newer on the `PATH`.
//! `A3S_EVENT_NATS_URL` names a running server, which [`Server::shared`] then uses instead of starting one.
//! Where nothing is found, the error names all of these; no test is skipped.
//!
//! Everything here blocks, a start for some 50 ms, which a test can afford, also an asynchronous one.

mod cluster;
mod error;
mod find;
mod folder;
mod port;
mod process;
mod server;
mod version;

pub use cluster::Cluster;
pub use error::{Error, Result};
pub use server::Server;
pub use version::Version;

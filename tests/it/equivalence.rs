//! The first promise of the project as one property: whatever an application
//! does, it sees the same of the memory provider as of JetStream.
//!
//! A random sequence of operations runs on both through `dyn EventProvider`,
//! one operation after the other, and everything that can be observed is
//! compared: results, the kinds and fields of errors, what is delivered, in
//! which order and how often, that nothing more comes, histories and positions.
//!
//! - [`operation`]: what may happen, and how it is drawn.
//! - [`stage`]: runs operations on both providers, and compares.
//! - [`consumer`]: **what the contract leaves open**, and how much of a
//!   delivery it fixes at a given moment. All latitude is there.
//! - [`outcome`]: results in a form that compares.
//!
//! Memory answers at once, so it says what to wait for: an event that it has
//! must come from the server in time, and where it has none the server is
//! watched for a moment. Waits for answers are so long that none runs out, so
//! that nothing depends on the speed of the machine.
//!
//! `PROPTEST_CASES` sets how many sequences are tried.

mod consumer;
mod operation;
mod outcome;
mod stage;

use std::env;

use a3s_event_nats_server::{Server, Version};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

use operation::operations;
use stage::Stage;

/// As many as a usual run has time for.
const CASES: u32 = 60;

fn config() -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    ProptestConfig {
        // Each step that still fails may wait for what does not come.
        max_shrink_time: 120_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..config
    }
}

#[test]
#[ignore = "needs nats-server"]
fn memory_and_jetstream_show_the_same() {
    // Runs as long as the cases do, so that they share it.
    let server = Server::shared().unwrap();
    // Before 2.10, a bound on unanswered events loses some of the snapshot, and is refused with it.
    let snapshots = server.version() >= Version::new(2, 10, 0);
    proptest!(config(), |(operations in operations(snapshots))| {
        Stage::play(&operations);
    });
}

use tokio::runtime::{Builder, Runtime};

/// The runtime of all benchmarks: two workers on every machine, so that numbers
/// of different machines compare.
///
/// # Panics
///
/// When the system refuses a thread.
#[must_use]
pub fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().enable_io();
    builder.build().expect("threads for two workers")
}

/// A runtime on the calling thread, for what has no concurrency.
///
/// # Panics
///
/// When the system refuses a timer.
#[must_use]
pub fn single_thread() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().enable_io();
    builder.build().expect("a runtime on this thread")
}

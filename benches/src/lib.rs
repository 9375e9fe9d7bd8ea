//! What the benchmarks share: sample events, a runtime, and tables that put two
//! costs beside each other.

mod arguments;
mod ratio;
mod runtime;
mod sample;
mod stopwatch;

pub use arguments::Arguments;
pub use ratio::{Goal, Table, quantiles};
pub use runtime::{runtime, single_thread};
pub use sample::{SUBJECTS, event, events, memory, payload, payload_of, subjects, unique_name};
pub use stopwatch::Stopwatch;

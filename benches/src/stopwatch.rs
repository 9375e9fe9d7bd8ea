use std::time::Instant;

use cpu_time::ProcessTime;

/// Measures time, and the CPU that this process used on all its threads.
#[derive(Debug)]
pub struct Stopwatch {
    start: Instant,
    cpu: ProcessTime,
}

impl Stopwatch {
    /// Starts to measure.
    #[must_use]
    pub fn start() -> Self {
        Self {
            cpu: ProcessTime::now(),
            start: Instant::now(),
        }
    }

    /// The time since the start, in nanoseconds for each of `operations`.
    #[must_use]
    pub fn time(&self, operations: usize) -> [f64; 1] {
        [self.start.elapsed().as_nanos() as f64 / operations as f64]
    }

    /// The time and the CPU since the start, in nanoseconds for each of
    /// `operations`.
    #[must_use]
    pub fn time_and_cpu(&self, operations: usize) -> [f64; 2] {
        let [time] = self.time(operations);
        [
            time,
            self.cpu.elapsed().as_nanos() as f64 / operations as f64,
        ]
    }
}

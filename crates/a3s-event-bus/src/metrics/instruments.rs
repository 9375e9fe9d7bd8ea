//! Figures that count for the bus and, with the feature `metrics`, for a
//! recorder of the `metrics` crate too: whoever records once feeds both views.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::names::{Family, Label};

/// Makes the instruments of one bus.
#[derive(Clone, Copy)]
pub(crate) struct Meter<'a> {
    /// Label of every series.
    pub(super) system: &'a str,
    /// Whether its instruments count.
    counts: bool,
    #[cfg(feature = "metrics")]
    pub(super) recorder: &'a dyn metrics::Recorder,
}

impl<'a> Meter<'a> {
    /// Makes instruments for the recorder that is current: the thread's own, or
    /// the one that the process installed, or none.
    #[cfg(feature = "metrics")]
    pub(crate) fn with<T>(system: &str, make: impl FnOnce(Meter<'_>) -> T) -> T {
        metrics::with_recorder(|recorder| make(Meter::new(system, recorder)))
    }

    #[cfg(not(feature = "metrics"))]
    pub(crate) fn with<T>(system: &str, make: impl FnOnce(Meter<'_>) -> T) -> T {
        make(Meter {
            system,
            counts: true,
        })
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn new(system: &'a str, recorder: &'a dyn metrics::Recorder) -> Self {
        super::bridge::describe(recorder);
        Self {
            system,
            counts: true,
            recorder,
        }
    }

    /// Makes instruments that stay at zero, known to no recorder.
    pub(super) const fn off(system: &'a str) -> Self {
        Self {
            system,
            counts: false,
            #[cfg(feature = "metrics")]
            recorder: &metrics::NoopRecorder,
        }
    }

    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "only a recorder wants names")
    )]
    pub(super) fn counter(self, family: &Family, labels: &[Label]) -> Counter {
        Counter {
            counts: self.counts,
            value: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            exported: self.export_counter(family, labels),
        }
    }

    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "only a recorder wants names")
    )]
    pub(super) fn gauge(self, family: &Family) -> Gauge {
        Gauge {
            counts: self.counts,
            value: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            exported: self.export_gauge(family),
        }
    }
}

/// Only rises.
pub(super) struct Counter {
    counts: bool,
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    exported: metrics::Counter,
}

impl Counter {
    #[inline]
    pub(super) fn add(&self, count: u64) {
        if !self.counts {
            return;
        }
        self.value.fetch_add(count, Relaxed);
        #[cfg(feature = "metrics")]
        self.exported.increment(count);
    }

    #[inline]
    pub(super) fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }
}

/// Rises and falls.
pub(super) struct Gauge {
    counts: bool,
    value: AtomicU64,
    #[cfg(feature = "metrics")]
    exported: metrics::Gauge,
}

impl Gauge {
    pub(super) fn rise(&self) {
        if !self.counts {
            return;
        }
        self.value.fetch_add(1, Relaxed);
        #[cfg(feature = "metrics")]
        self.exported.increment(1.0);
    }

    pub(super) fn fall(&self) {
        if !self.counts {
            return;
        }
        self.value.fetch_sub(1, Relaxed);
        #[cfg(feature = "metrics")]
        self.exported.decrement(1.0);
    }

    pub(super) fn set(&self, value: u64) {
        self.value.store(value, Relaxed);
        #[cfg(feature = "metrics")]
        self.exported.set(value as f64);
    }

    pub(super) fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }
}

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;

use super::{
    instruments::Meter,
    names::{Family, Label},
};

/// Upper bounds of the buckets in microseconds: fine ones for a provider in
/// memory, then those that the OpenTelemetry conventions advise.
const BOUNDS_MICROS: [u64; 23] = [
    1, 5, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000,
    250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000,
];

/// A latency histogram with fixed buckets. Recording takes no lock.
pub(super) struct Histogram {
    /// One for each bound, and one for what lies beyond the last.
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_nanos: AtomicU64,
    max_nanos: AtomicU64,
    #[cfg(feature = "metrics")]
    exported: metrics::Histogram,
}

impl Histogram {
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_variables, reason = "only a recorder wants names")
    )]
    pub(super) fn new(meter: Meter<'_>, family: &Family, labels: &[Label]) -> Self {
        Self {
            buckets: Default::default(),
            sum_nanos: AtomicU64::new(0),
            max_nanos: AtomicU64::new(0),
            #[cfg(feature = "metrics")]
            exported: meter.export_histogram(family, labels),
        }
    }

    pub(super) fn record(&self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|&bound| bound * 1_000 < nanos);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_nanos.fetch_add(nanos, Relaxed);
        self.max_nanos.fetch_max(nanos, Relaxed);
        #[cfg(feature = "metrics")]
        self.exported.record(latency);
    }

    pub(super) fn snapshot(&self, sampling: u64) -> HistogramSnapshot {
        let bounds = BOUNDS_MICROS.into_iter().map(Some).chain([None]);
        let buckets: Vec<BucketSnapshot> = bounds
            .zip(&self.buckets)
            .map(|(upper_micros, count)| BucketSnapshot {
                upper_micros,
                count: count.load(Relaxed),
            })
            .collect();
        HistogramSnapshot {
            sampling: u32::try_from(sampling).unwrap_or(u32::MAX),
            count: buckets.iter().map(|bucket| bucket.count).sum(),
            sum_nanos: self.sum_nanos.load(Relaxed),
            max_nanos: self.max_nanos.load(Relaxed),
            buckets,
        }
    }
}

/// A latency histogram at one moment. JSON names are camelCase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HistogramSnapshot {
    /// One operation in this many was timed; 0 is none. Counts of operations
    /// come from the counters, never from here.
    pub sampling: u32,
    /// How many latencies were recorded: the sum over the buckets.
    pub count: u64,
    /// Their sum in nanoseconds.
    pub sum_nanos: u64,
    /// The longest in nanoseconds.
    pub max_nanos: u64,
    /// The buckets by rising bound, from 1 µs to 10 s, and one for the rest.
    pub buckets: Vec<BucketSnapshot>,
}

/// One bucket of a [`HistogramSnapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BucketSnapshot {
    /// The longest latency that falls into it, in microseconds; `None` for the
    /// last bucket, which has no bound.
    pub upper_micros: Option<u64>,
    /// How many latencies fell into it, and into no bucket before it.
    pub count: u64,
}

impl HistogramSnapshot {
    /// Returns the latency that the fraction `q` of the operations did not
    /// exceed, as the upper bound of its bucket, but never more than the longest
    /// latency. `None` when nothing was recorded or `q` lies outside 0 to 1.
    ///
    /// # Examples
    ///
    /// ```
    /// # use a3s_event_bus::EventBus;
    /// # use a3s_event_memory::MemoryProvider;
    /// let bus = EventBus::new(MemoryProvider::default());
    /// assert_eq!(bus.metrics().snapshot().publish_latency.quantile(0.99), None);
    /// ```
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        // At least 1, so that q = 0 is the first bucket that holds something.
        let rank = ((q * self.count as f64).ceil() as u64).max(1);
        let mut below = 0;
        let bucket = self.buckets.iter().find(|bucket| {
            below += bucket.count;
            below >= rank
        });
        let longest = Duration::from_nanos(self.max_nanos);
        let bound = bucket?.upper_micros.map(Duration::from_micros);
        Some(bound.map_or(longest, |bound| bound.min(longest)))
    }

    /// Returns the mean latency; `None` when nothing was recorded.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.sum_nanos
            .checked_div(self.count)
            .map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{super::names::OPERATION_DURATION, Histogram, Meter};

    fn of(micros: impl IntoIterator<Item = u64>) -> super::HistogramSnapshot {
        let histogram = Meter::with("test", |meter| {
            Histogram::new(meter, &OPERATION_DURATION, &[])
        });
        for micros in micros {
            histogram.record(Duration::from_micros(micros));
        }
        histogram.snapshot(1)
    }

    #[test]
    fn quantiles_are_upper_bounds_of_buckets_and_never_more_than_the_longest() {
        let snapshot = of([1, 4, 30, 40, 3_000]);
        let quantile = |q| snapshot.quantile(q).unwrap();
        assert_eq!(quantile(0.0), Duration::from_micros(1));
        assert_eq!(quantile(0.4), Duration::from_micros(5));
        assert_eq!(quantile(0.5), Duration::from_micros(50));
        assert_eq!(quantile(1.0), Duration::from_micros(3_000));
        assert_eq!(snapshot.mean(), Some(Duration::from_micros(615)));
    }

    #[test]
    fn what_is_longer_than_every_bound_is_the_longest() {
        let snapshot = of([20_000_000, 30_000_000]);
        assert_eq!(snapshot.quantile(0.1), Some(Duration::from_secs(30)));
        assert_eq!(snapshot.buckets.last().unwrap().count, 2);
    }

    #[test]
    fn nothing_and_nonsense_have_no_quantile() {
        assert_eq!((of([]).quantile(0.5), of([]).mean()), (None, None));
        for q in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(of([1]).quantile(q), None);
        }
    }

    proptest! {
        #[test]
        fn buckets_add_up_and_quantiles_rise(
            micros in prop::collection::vec(0..20_000_000_u64, 1..100),
        ) {
            let snapshot = of(micros.iter().copied());
            prop_assert_eq!(snapshot.count, micros.len() as u64);
            let quantiles: Vec<_> = (0..=10).map(|tenth| snapshot.quantile(f64::from(tenth) / 10.0)).collect();
            prop_assert!(quantiles.is_sorted());
            let longest = micros.iter().max().copied().map(Duration::from_micros);
            prop_assert_eq!(snapshot.quantile(1.0).max(longest), longest);
            // At least the fraction lies at or below its quantile.
            let below = |bound| micros.iter().filter(|&&it| Some(Duration::from_micros(it)) <= bound).count();
            prop_assert!(below(snapshot.quantile(0.5)) * 2 >= micros.len());
        }
    }
}

//! Counters, gauges and histograms.
//!
//! Those of requests are each written by one worker, so that their cache line is uncontended: an atomic
//! addition takes a few nanoseconds then. The reader adds them up. Those of listeners and workloads are
//! shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// Counts as one in its gauge until it is dropped.
#[derive(Debug)]
pub struct GaugeGuard(Arc<AtomicU64>);

/// The upper bounds of the histogram buckets, in microseconds. A request with a cached token takes tens of
/// them, an upstream nearby hundreds; streams take minutes.
pub const BUCKET_BOUNDS_MICROS: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 5_000_000, 10_000_000, 60_000_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The last bucket is beyond every bound.
    counts: [AtomicU64; BUCKET_BOUNDS_MICROS.len() + 1],
    nanos: AtomicU64,
}

/// The sum of the [`Histogram`]s of one or more threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// The counts per bucket, not cumulative; the last bucket is beyond every bound.
    pub counts: [u64; BUCKET_BOUNDS_MICROS.len() + 1],
    /// The sum of all durations.
    pub total: Duration,
}

impl Counter {
    /// Adds one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Adds a number.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The current value.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Adds one until the guard is dropped.
    #[must_use]
    pub fn enter(&self) -> GaugeGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeGuard(Arc::clone(&self.0))
    }

    /// The current value.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Histogram {
    /// Records a duration.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let micros = nanos.div_ceil(1000);
        // From the lowest, because most durations are short.
        let bucket = BUCKET_BOUNDS_MICROS
            .iter()
            .position(|bound| micros <= *bound)
            .unwrap_or(BUCKET_BOUNDS_MICROS.len());
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The current counts.
    #[must_use]
    pub fn read(&self) -> HistogramSnapshot {
        let counts = std::array::from_fn(|bucket| self.counts[bucket].load(Ordering::Relaxed));
        HistogramSnapshot {
            counts,
            total: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

impl HistogramSnapshot {
    /// How many durations were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the counts of another histogram.
    pub fn add(&mut self, other: &Self) {
        self.counts
            .iter_mut()
            .zip(other.counts)
            .for_each(|(count, other)| *count += other);
        self.total += other.total;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_falls_into_the_first_bucket_whose_bound_it_does_not_exceed() {
        let durations = Histogram::default();
        for (duration, bucket) in [
            (Duration::ZERO, 0),
            (Duration::from_micros(50), 0),
            (Duration::from_nanos(50_001), 1),
            (Duration::from_micros(100), 1),
            (Duration::from_millis(1), 4),
            (Duration::from_secs(60), 17),
            (Duration::from_nanos(60_000_000_001), 18),
            (Duration::from_nanos(u64::MAX), 18),
        ] {
            let before = durations.read();
            durations.record(duration);
            let changed =
                (0..19).find(|&index| durations.read().counts[index] != before.counts[index]);
            assert_eq!(changed, Some(bucket), "{duration:?}");
        }
        assert!(BUCKET_BOUNDS_MICROS.is_sorted());
    }

    #[test]
    fn snapshots_are_added() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.record(Duration::from_millis(2));
        one.record(Duration::from_millis(3));
        other.record(Duration::from_millis(2));
        let mut both = one.read();
        both.add(&other.read());
        assert_eq!((both.count(), both.total), (3, Duration::from_millis(7)));
        assert_eq!((both.counts[5], both.counts[6]), (2, 1));
    }
}

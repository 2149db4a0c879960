//! The statistics of an upstream. Each worker counts for itself; a scrape adds the workers up.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::sync::lock;
use crate::telemetry::metrics::{Counter, Gauge, Histogram, HistogramSnapshot};

/// What one worker counts of an upstream.
#[derive(Debug, Default)]
pub(super) struct UpstreamStats {
    /// From the start of a request to its response head, over all attempts.
    pub(super) durations: Histogram,
    pub(super) retries: Counter,
}

/// What one worker counts of an endpoint.
#[derive(Debug, Default)]
pub(super) struct EndpointStats {
    pub(super) in_flight: Gauge,
    pub(super) connections: Gauge,
    pub(super) ejections: Counter,
    ejected_until: Mutex<Option<Instant>>,
}

/// One `T` for each worker.
#[derive(Debug)]
pub(super) struct PerWorker<T>(Mutex<Vec<Arc<T>>>);

/// The statistics of an upstream.
#[derive(Clone, Debug)]
pub struct UpstreamReport {
    /// From the start of a request to its response head.
    pub durations: HistogramSnapshot,
    /// Attempts beyond the first one of each request.
    pub retries: u64,
    /// One for each address of each target.
    pub targets: Vec<TargetReport>,
}

/// The statistics of one endpoint.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// The target, with the address where the target is a name.
    pub target: String,
    /// Whether it gets requests: it passes health checks, and no worker has ejected it.
    pub is_up: bool,
    /// Open connections.
    pub connections: u64,
    /// Requests in flight.
    pub in_flight: u64,
    /// Ejections by any worker.
    pub ejections: u64,
}

impl EndpointStats {
    pub(super) fn count_ejection(&self, until: Instant) {
        self.ejections.count();
        *lock(&self.ejected_until) = Some(until);
    }

    /// The endpoint serves again, perhaps before its ejection was over.
    pub(super) fn end_ejection(&self) {
        *lock(&self.ejected_until) = None;
    }

    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        lock(&self.ejected_until).is_some_and(|until| now < until)
    }
}

impl<T> Default for PerWorker<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> PerWorker<T> {
    /// Adds a worker and returns its part.
    pub(super) fn add_worker(&self) -> Arc<T> {
        let part = Arc::default();
        lock(&self.0).push(Arc::clone(&part));
        part
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        lock(&self.0).clone()
    }
}

//! What is counted of an upstream: by each worker for itself, and read from anywhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Settings;
use crate::telemetry::numbers::{Counter, Distribution, Durations, Gauge};

/// What one worker counts of an upstream.
#[derive(Debug, Default)]
pub struct UpstreamStats {
    /// From the sending of a request to the head of its answer, whatever attempts that took.
    pub(super) durations: Durations,
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

/// What every worker counts.
#[derive(Debug)]
pub struct PerWorker<T>(Mutex<Vec<Arc<T>>>);

/// What has come of an upstream so far.
#[derive(Clone, Debug)]
pub struct UpstreamReport {
    /// From the sending of a request to the head of its answer.
    pub durations: Distribution,
    /// Attempts beyond the first one of each exchange.
    pub retries: u64,
    /// One for each address of each target.
    pub targets: Vec<TargetReport>,
}

/// How an endpoint of an upstream is.
#[derive(Clone, Debug)]
pub struct TargetReport {
    /// The target, with the address where it has a name.
    pub target: String,
    /// Whether it gets requests: active checks find it well, and no worker has ejected it.
    pub is_up: bool,
    /// Connections to it that are open.
    pub connections: u64,
    /// Exchanges that are under way.
    pub in_flight: u64,
    /// How often a worker has ejected it.
    pub ejections: u64,
}

impl EndpointStats {
    pub(super) fn ejected(&self, until: Instant) {
        self.ejections.count();
        *self
            .ejected_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// It was ejected, and serves again before its time.
    pub(super) fn readmitted(&self) {
        *self
            .ejected_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|until| now < until)
    }
}

impl<T> Default for PerWorker<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Default> PerWorker<T> {
    /// The part of one worker more.
    pub(super) fn join(&self) -> Arc<T> {
        let part = Arc::default();
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&part));
        part
    }

    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Settings {
    /// What has come of the upstream so far, with all workers.
    #[must_use]
    pub fn report(&self, now: Instant) -> UpstreamReport {
        let mut report = UpstreamReport {
            durations: Distribution::default(),
            retries: 0,
            targets: Vec::new(),
        };
        for exchanges in self.exchanges.all() {
            report.durations.add(&exchanges.durations.read());
            report.retries += exchanges.retries.read();
        }
        report.targets = self
            .endpoints
            .current()
            .iter()
            .map(|endpoint| {
                let traffic = endpoint.traffic.all();
                let sum = |number: fn(&EndpointStats) -> u64| {
                    traffic.iter().map(|traffic| number(traffic)).sum()
                };
                TargetReport {
                    target: endpoint.to_string(),
                    is_up: !endpoint.is_down()
                        && !traffic.iter().any(|traffic| traffic.is_ejected(now)),
                    connections: sum(|traffic| traffic.connections.read()),
                    in_flight: sum(|traffic| traffic.in_flight.read()),
                    ejections: sum(|traffic| traffic.ejections.read()),
                }
            })
            .collect();
        report
    }
}

//! Logs, metrics and traces: one [`Record`] for each request.
//!
//! - [`Telemetry`] belongs to the process. Each worker has a [`WorkerTelemetry`], to which it alone writes.
//! - `access` formats a line of each record with `line`; `log` has all other events. Both write to one
//!   `sink`, so that no thread waits for the reader of standard error.
//! - `trace` is a request's part in a trace; `spans` exports it to a collector.
//! - `throttle` limits the log lines of events that clients cause.
//! - `metrics` are written by the workers and read by the admin listener; `requests` has those of requests.

mod access;
mod access_line;
mod ids;
mod labels;
mod line;
mod log;
pub mod metrics;
mod outcome;
mod panics;
mod record;
mod requests;
mod sink;
mod spans;
mod throttle;
mod timestamp;
mod trace;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::HeaderMap;

pub use access::{AccessLog, RequestLog};
pub use log::Log;
pub use outcome::Outcome;
pub use panics::{log_panics, panicked_requests};
pub use record::{Record, RefusalDetail, RouteNames};
pub use requests::{RequestKind, RouteRequests, SeriesName};
pub use sink::Sink;
pub use spans::{Collector, CollectorError, SpanExportTask, Spans};
pub use throttle::Throttle;
pub use trace::{SampleRatio, Trace};

use access::WorkerAccessLog;
use ids::Ids;
use metrics::{Counter, Gauge, HistogramSnapshot};
use requests::{WorkerRequests, WorkerSeries};

use crate::sync::lock;

/// The telemetry of the process.
#[derive(Debug, Default)]
pub struct Telemetry {
    access: Option<AccessLog>,
    spans: Option<Spans>,
    workers: Mutex<Vec<WorkerMetrics>>,
    listeners: Mutex<Vec<(Arc<str>, Arc<Connections>)>>,
}

/// The metrics of one worker: it writes, and any thread reads.
#[derive(Clone, Debug, Default)]
struct WorkerMetrics {
    requests: Arc<WorkerSeries>,
    tokens: Arc<TokenCacheStats>,
}

/// The telemetry of one worker. It stays on the worker's thread.
#[derive(Debug)]
pub struct WorkerTelemetry {
    access: Option<WorkerAccessLog>,
    spans: Option<Spans>,
    ids: Ids,
    requests: WorkerRequests,
    unrouted: Rc<RouteRequests>,
    tokens: Arc<TokenCacheStats>,
    in_flight: Cell<InFlight>,
}

/// Requests in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Requests with an end of their own.
    pub requests: usize,
    /// Streams: see [`Record::mark_stream`].
    pub streams: usize,
}

/// Hits and sizes of the token cache, fastest tier first.
#[derive(Debug, Default)]
pub struct TokenCacheStats {
    /// In the connection's tier.
    pub connection_hits: Counter,
    /// In the worker's tier.
    pub worker_hits: Counter,
    /// In the tier of all workers.
    pub shared_hits: Counter,
    /// In no tier: the token had to be verified.
    pub misses: Counter,
    /// The last tokens of this worker's connections.
    pub connection_tier: TierSize,
    /// The worker's own tier.
    pub worker_tier: TierSize,
}

/// The size of one tier of the token cache. One thread writes, and another reads.
#[derive(Debug, Default)]
pub struct TierSize {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl TierSize {
    /// Sets the number of entries and their bytes of memory.
    pub fn set(&self, entries: u64, bytes: u64) {
        self.entries.store(entries, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Subtracts entries and bytes that leave, and adds those that enter.
    pub fn replace(&self, (entries_left, bytes_left): (u64, u64), (entries, bytes): (u64, u64)) {
        let (all_entries, all_bytes) = self.read();
        self.set(
            (all_entries + entries).saturating_sub(entries_left),
            (all_bytes + bytes).saturating_sub(bytes_left),
        );
    }

    /// The number of entries, and their bytes of memory.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (
            self.entries.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

/// The client connections of one listener.
#[derive(Debug, Default)]
pub struct Connections {
    /// Open connections.
    pub open: Gauge,
    /// Accepted connections.
    pub accepted: Counter,
    /// Idle connections that were closed to make room for new ones.
    pub evicted: Counter,
    /// Connections that were closed at once because their client had too many.
    pub refused: Counter,
    /// Those that were closed because they had no valid PROXY header of a trusted proxy.
    pub without_proxy_header: Counter,
}

impl Telemetry {
    /// Telemetry without an access log and without spans.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Telemetry with an access log, and optionally spans.
    #[must_use]
    pub fn with_access_log(access: AccessLog, spans: Option<Spans>) -> Arc<Self> {
        Arc::new(Self {
            access: Some(access),
            spans,
            ..Self::default()
        })
    }

    /// The span exporter, if there is one.
    #[must_use]
    pub fn spans(&self) -> Option<&Spans> {
        self.spans.as_ref()
    }

    /// The access log, if there is one.
    #[must_use]
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access.as_ref()
    }

    /// The telemetry of a new worker; called on its thread.
    #[must_use]
    pub fn worker(&self) -> Rc<WorkerTelemetry> {
        let (requests, tokens) = (WorkerRequests::default(), Arc::default());
        let metrics = WorkerMetrics {
            requests: Arc::clone(requests.series_list()),
            tokens: Arc::clone(&tokens),
        };
        lock(&self.workers).push(metrics);
        let unrouted = RouteRequests::new(SeriesName::of_route(&"".into()), requests.series_list());
        Rc::new(WorkerTelemetry {
            access: self.access.as_ref().map(AccessLog::worker),
            spans: self.spans.clone(),
            ids: Ids::new(),
            requests,
            unrouted,
            tokens,
            in_flight: Cell::default(),
        })
    }

    /// The connection counts of the listener at `address`.
    #[must_use]
    pub fn connections(&self, address: &str) -> Arc<Connections> {
        let mut listeners = lock(&self.listeners);
        if let Some((_, connections)) = listeners.iter().find(|(known, _)| **known == *address) {
            return Arc::clone(connections);
        }
        let connections = Arc::default();
        listeners.push((address.into(), Arc::clone(&connections)));
        connections
    }

    /// The requests of all workers so far.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<RequestKind, HistogramSnapshot> {
        let mut all = BTreeMap::new();
        self.worker_metrics()
            .iter()
            .for_each(|metrics| metrics.requests.read_into(&mut all));
        all
    }

    /// The token cache stats of each worker.
    #[must_use]
    pub fn tokens(&self) -> Vec<Arc<TokenCacheStats>> {
        self.worker_metrics()
            .into_iter()
            .map(|metrics| metrics.tokens)
            .collect()
    }

    /// Every listener with its connection counts.
    #[must_use]
    pub fn listeners(&self) -> Vec<(Arc<str>, Arc<Connections>)> {
        lock(&self.listeners).clone()
    }

    fn worker_metrics(&self) -> Vec<WorkerMetrics> {
        lock(&self.workers).clone()
    }
}

impl WorkerTelemetry {
    /// The counters of these routes, in their order. The series of other routes are dropped.
    #[must_use]
    pub fn set_routes(&self, names: impl Iterator<Item = SeriesName>) -> Vec<Rc<RouteRequests>> {
        self.requests.set_routes(names)
    }

    /// The token cache stats of this worker.
    #[must_use]
    pub fn tokens(&self) -> &Arc<TokenCacheStats> {
        &self.tokens
    }

    /// The requests of this worker in flight.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.get()
    }

    /// Continues the trace of these headers, or begins one. `is_trusted` is whether a trusted proxy sent
    /// them.
    #[must_use]
    pub fn begin_trace(
        &self,
        ratio: SampleRatio,
        headers: &HeaderMap,
        is_trusted: bool,
        is_https: bool,
    ) -> Box<Trace> {
        let mut trace = Trace::begin(&self.ids, ratio, headers, is_trusted);
        trace.is_https = is_https;
        Box::new(trace)
    }

    fn finish(&self, record: &mut Record) {
        let duration = record.duration();
        record.count(duration);
        // A client that disconnects early costs no more than a refusal, so the same limit applies.
        if let Some(access) = self.access.as_ref().filter(|_| record.log.is_on)
            && (record.outcome != Outcome::Undecided || access.takes_refusal(record.log))
        {
            access.write(|line| access_line::write(line, record, duration));
        }
        let trace = record.trace.take_if(|trace| trace.is_sampled());
        if let (Some(spans), Some(trace)) = (&self.spans, trace) {
            spans.take(record.finished(trace, duration));
        }
    }
}

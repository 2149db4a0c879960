//! What happened, told to the operator: one [`Record`] for each request, numbers, and the log.
//!
//! - [`Telemetry`] is the whole process's; each worker has a [`WorkerTelemetry`], which it alone writes to.
//! - `access` makes a line of each record, which `line` writes; `log` is everything else that is logged. All of it goes out
//!   through one `sink`, so that nobody waits for whoever reads it.
//! - `trace` is a request's part in a trace, `spans` take it to a collector.
//! - `throttle` bounds what is logged of events that others cause.
//! - `metrics` are counted by one thread and read by another. `requests`: those about requests.

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
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::HeaderMap;

pub use access::{AccessLog, RequestLog};
pub use log::Log;
pub use outcome::Outcome;
pub use panics::{log_panics, panicked_requests};
pub use record::{Record, RefusalDetail, RouteNames};
pub use requests::{RequestKind, RouteRequests};
pub use sink::Sink;
pub use spans::{Collector, CollectorError, SpanExportTask, Spans};
pub use throttle::Throttle;
pub use trace::{SampleRatio, Trace};

use access::WorkerAccessLog;
use ids::Ids;
use metrics::{Counter, Gauge, HistogramSnapshot};
use requests::{WorkerRequests, WorkerSeries};

use crate::sync::lock;

/// What is told of the whole process.
#[derive(Debug, Default)]
pub struct Telemetry {
    access: Option<AccessLog>,
    spans: Option<Spans>,
    workers: Mutex<Vec<WorkerMetrics>>,
    listeners: Mutex<Vec<(SocketAddr, Arc<Connections>)>>,
}

/// What one worker writes to and anybody reads.
#[derive(Clone, Debug, Default)]
struct WorkerMetrics {
    requests: Arc<WorkerSeries>,
    tokens: Arc<TokenCacheStats>,
}

/// What one worker tells. It stays on the worker's thread.
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

/// Requests that have begun and not ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InFlight {
    /// Those that end by themselves.
    pub requests: usize,
    /// The others: see [`Record::mark_stream`].
    pub streams: usize,
}

/// Where the tokens of requests were found, fastest first.
#[derive(Debug, Default)]
pub struct TokenCacheStats {
    /// With the connection.
    pub connection_hits: Counter,
    /// With the worker.
    pub worker_hits: Counter,
    /// With any of the workers.
    pub shared_hits: Counter,
    /// Nowhere: it had to be verified.
    pub misses: Counter,
    /// What the connections of this worker remember: each its last token.
    pub connection_tier: TierSize,
    /// What this worker has in a tier of its own.
    pub worker_tier: TierSize,
}

/// How much one tier of the token cache holds. One thread writes, and another reads.
#[derive(Debug, Default)]
pub struct TierSize {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl TierSize {
    /// It holds so many entries, of so many bytes of memory.
    pub fn set(&self, entries: u64, bytes: u64) {
        self.entries.store(entries, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// So many entries of so many bytes leave, and so many come.
    pub fn replace(&self, (entries_left, bytes_left): (u64, u64), (entries, bytes): (u64, u64)) {
        let (all_entries, all_bytes) = self.read();
        self.set(
            (all_entries + entries).saturating_sub(entries_left),
            (all_bytes + bytes).saturating_sub(bytes_left),
        );
    }

    /// How many entries it holds, and how many bytes of memory they take.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (
            self.entries.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

/// The connections of clients to one listener.
#[derive(Debug, Default)]
pub struct Connections {
    /// Those that are open.
    pub open: Gauge,
    /// Those that there have been.
    pub accepted: Counter,
    /// Those that were closed to make room for others.
    pub evicted: Counter,
    /// Those that were closed at once because their client had too many.
    pub refused: Counter,
}

impl Telemetry {
    /// Of a process of which nothing is told yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The same, with an access log, and spans where they are wanted.
    #[must_use]
    pub fn with_access_log(access: AccessLog, spans: Option<Spans>) -> Arc<Self> {
        Arc::new(Self {
            access: Some(access),
            spans,
            ..Self::default()
        })
    }

    /// Where spans go, if anywhere.
    #[must_use]
    pub fn spans(&self) -> Option<&Spans> {
        self.spans.as_ref()
    }

    /// The access log, where there is one.
    #[must_use]
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.access.as_ref()
    }

    /// The part of one worker more; to be called on its thread.
    #[must_use]
    pub fn worker(&self) -> Rc<WorkerTelemetry> {
        let (requests, tokens) = (WorkerRequests::default(), Arc::default());
        let metrics = WorkerMetrics {
            requests: Arc::clone(requests.series_list()),
            tokens: Arc::clone(&tokens),
        };
        lock(&self.workers).push(metrics);
        let unrouted = RouteRequests::new(&"".into(), requests.series_list());
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

    /// Where connections to the listener at `address` are counted.
    #[must_use]
    pub fn connections(&self, address: SocketAddr) -> Arc<Connections> {
        let mut listeners = lock(&self.listeners);
        if let Some((_, connections)) = listeners.iter().find(|(known, _)| *known == address) {
            return Arc::clone(connections);
        }
        let connections = Arc::default();
        listeners.push((address, Arc::clone(&connections)));
        connections
    }

    /// The requests so far, of all workers.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<RequestKind, HistogramSnapshot> {
        let mut all = BTreeMap::new();
        self.worker_metrics()
            .iter()
            .for_each(|metrics| metrics.requests.read_into(&mut all));
        all
    }

    /// What each worker has found of tokens.
    #[must_use]
    pub fn tokens(&self) -> Vec<Arc<TokenCacheStats>> {
        self.worker_metrics()
            .into_iter()
            .map(|metrics| metrics.tokens)
            .collect()
    }

    /// Every listener, and who is connected to it.
    #[must_use]
    pub fn listeners(&self) -> Vec<(SocketAddr, Arc<Connections>)> {
        lock(&self.listeners).clone()
    }

    fn worker_metrics(&self) -> Vec<WorkerMetrics> {
        lock(&self.workers).clone()
    }
}

impl WorkerTelemetry {
    /// What takes the requests of these routes, in their order; those of any other one are not told from now on.
    #[must_use]
    pub fn set_routes<'r>(
        &self,
        labels: impl Iterator<Item = &'r Arc<str>>,
    ) -> Vec<Rc<RouteRequests>> {
        self.requests.set_routes(labels)
    }

    /// Where it is counted what became of looking for tokens.
    #[must_use]
    pub fn tokens(&self) -> &Arc<TokenCacheStats> {
        &self.tokens
    }

    /// The requests of this worker that have not ended.
    #[must_use]
    pub fn in_flight(&self) -> InFlight {
        self.in_flight.get()
    }

    /// Continues the trace that these headers tell of, or begins one. `is_trusted` says whose word it is.
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
        // Whoever goes away before anything is decided has paid no more than for a refusal.
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

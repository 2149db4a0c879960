//! Closes the longest idle connection to make room for a new one when `max_connections` is reached.
//!
//! 1. A connection is idle while it has no request in flight: silent since it was accepted, or
//!    between two requests; over HTTP/2, without a stream. A connection within a TLS handshake or a
//!    request head is not idle: `header_timeout` ends it. Nor is one whose client has not read the
//!    whole response.
//! 2. A connection that was idle for less than [`MIN_IDLE`] stays: the next request of its client
//!    may be on its way.
//! 3. Each worker knows only its own connections. A worker that needs room requests the longest
//!    idle time of every worker, and then an eviction by one of them. One worker does so at a time:
//!    two would select the same connection.
//! 4. This costs requests nothing before the limit is reached: the idle time follows from the
//!    deadline of the keep-alive timeout ([`ConnectionState::idle_since`]).

use std::cell::RefCell;
use std::cmp::Reverse;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use crate::clock::{TICK, Ticker};
use crate::telemetry::Throttle;
use crate::transport::ConnectionState;

/// How long a connection must have been idle before it may be closed. Idle time is measured in
/// ticks, so the real minimum is between one and three ticks.
const MIN_IDLE: Duration = TICK.saturating_mul(2);
/// How long the reply of a worker is waited for. A worker that is busy for longer is skipped.
const REPLY_TIMEOUT: Duration = TICK;
/// How many idle connections one search remembers. In a flood of clients, this many evictions share
/// the cost of one search.
const MAX_REMEMBERED: usize = 64;
/// How often it is logged that the limit is reached.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Requests evictions from the workers.
#[derive(Clone)]
pub(super) struct Evictors(Arc<Shared>);

struct Shared {
    workers: Box<[mpsc::UnboundedSender<EvictionRequest>]>,
    turn: Mutex<()>,
    exhausted: Throttle,
    not_accepted: Throttle,
}

/// A request to a worker.
pub(super) enum EvictionRequest {
    /// Reply with the time since when its longest idle connection is idle.
    LongestIdle(oneshot::Sender<Option<Instant>>),
    /// Close that connection.
    Evict,
}

impl Evictors {
    /// One for this many workers, with the requests to each of them.
    pub(super) fn new(workers: usize) -> (Self, Vec<mpsc::UnboundedReceiver<EvictionRequest>>) {
        let (workers, requests): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let shared = Shared {
            workers: workers.into(),
            turn: Mutex::default(),
            exhausted: Throttle::new(LOG_INTERVAL),
            not_accepted: Throttle::new(LOG_INTERVAL),
        };
        (Self(Arc::new(shared)), requests)
    }

    /// Requests the eviction of the longest idle connection of all workers, if one is idle. Does
    /// not wait until it is closed.
    pub(super) async fn make_room(&self) {
        let _turn = self.0.turn.lock().await;
        let replies: Vec<_> = self.0.workers.iter().map(request_longest_idle).collect();
        let mut longest: Option<(Instant, &mpsc::UnboundedSender<EvictionRequest>)> = None;
        for (worker, reply) in self.0.workers.iter().zip(replies) {
            // A worker that has ended does not reply.
            if let Ok(Ok(Some(since))) = timeout(REPLY_TIMEOUT, reply).await
                && longest.is_none_or(|(earliest, _)| since < earliest)
            {
                longest = Some((since, worker));
            }
        }
        if let Some((_, worker)) = longest {
            let _ = worker.send(EvictionRequest::Evict);
        }
    }

    /// Logs that `max_connections` is reached, at most once in [`LOG_INTERVAL`].
    pub(super) fn log_exhausted(&self, max_connections: usize, now: Instant) {
        if self.0.exhausted.admit(now).is_some() {
            tracing::warn!(
                max_connections,
                "max_connections reached; evicting idle connections"
            );
        }
    }

    /// Logs that accepting failed, at most once in [`LOG_INTERVAL`].
    pub(super) fn log_not_accepted(&self, error: &io::Error, now: Instant) {
        if let Some(left_out) = self.0.not_accepted.admit(now) {
            tracing::error!(%error, left_out, "accept failed; accepting pauses");
        }
    }
}

fn request_longest_idle(
    worker: &mpsc::UnboundedSender<EvictionRequest>,
) -> oneshot::Receiver<Option<Instant>> {
    let (sender, reply) = oneshot::channel();
    let _ = worker.send(EvictionRequest::LongestIdle(sender));
    reply
}

/// Whether a connection was idle long enough to be evicted.
pub(super) fn is_idle(state: &ConnectionState, now: Instant) -> bool {
    state
        .idle_since()
        .is_some_and(|since| now.saturating_duration_since(since) >= MIN_IDLE)
}

/// The open connections of one worker.
#[derive(Default)]
pub(super) struct OpenConnections(RefCell<Table>);

#[derive(Default)]
struct Table {
    entries: Vec<Option<Rc<ConnectionState>>>,
    free: Vec<usize>,
    /// The longest idle connections of the last search, longest last. Idle times only become later,
    /// so an entry whose time is unchanged is still the longest idle.
    longest_idle: Vec<(Instant, usize)>,
}

/// Removes a connection from [`OpenConnections`] when it is dropped.
pub(super) struct ListedConnection {
    connections: Rc<OpenConnections>,
    index: usize,
}

impl OpenConnections {
    /// Adds a connection.
    pub(super) fn add(self: &Rc<Self>, state: &Rc<ConnectionState>) -> ListedConnection {
        let table = &mut *self.0.borrow_mut();
        let index = table.free.pop().unwrap_or(table.entries.len());
        if index == table.entries.len() {
            table.entries.push(None);
        }
        table.entries[index] = Some(Rc::clone(state));
        ListedConnection {
            connections: Rc::clone(self),
            index,
        }
    }

    /// Serves the requests of other workers until the last evictor is dropped.
    pub(super) async fn run(
        &self,
        mut requests: mpsc::UnboundedReceiver<EvictionRequest>,
        ticker: &Ticker,
    ) {
        while let Some(request) = requests.recv().await {
            match request {
                EvictionRequest::LongestIdle(reply) => {
                    let longest = self.0.borrow_mut().longest_idle(ticker.now());
                    // An error means that the other worker does not wait any more.
                    let _ = reply.send(longest.map(|(since, _)| since));
                }
                EvictionRequest::Evict => self.evict(ticker.now()),
            }
        }
    }

    /// Evicts the longest idle connection, if there is one.
    pub(super) fn evict(&self, now: Instant) {
        let longest = self.0.borrow_mut().longest_idle(now);
        if let Some((_, state)) = longest {
            state.evict();
        }
    }
}

impl Table {
    fn longest_idle(&mut self, now: Instant) -> Option<(Instant, Rc<ConnectionState>)> {
        self.longest_remembered().or_else(|| {
            self.search(now);
            self.longest_remembered()
        })
    }

    fn longest_remembered(&mut self) -> Option<(Instant, Rc<ConnectionState>)> {
        while let Some(&(since, index)) = self.longest_idle.last() {
            if let Some(state) = &self.entries[index]
                && !state.is_evicted()
                && state.idle_since() == Some(since)
            {
                return Some((since, Rc::clone(state)));
            }
            self.longest_idle.pop();
        }
        None
    }

    fn search(&mut self, now: Instant) {
        let idle = self
            .entries
            .iter()
            .enumerate()
            .filter_map(|(index, state)| {
                let state = state.as_ref().filter(|state| !state.is_evicted())?;
                is_idle(state, now).then_some((state.idle_since()?, index))
            });
        self.longest_idle.clear();
        self.longest_idle.extend(idle);
        if self.longest_idle.len() > MAX_REMEMBERED {
            self.longest_idle.select_nth_unstable(MAX_REMEMBERED);
            self.longest_idle.truncate(MAX_REMEMBERED);
            self.longest_idle.shrink_to(MAX_REMEMBERED);
        }
        self.longest_idle
            .sort_unstable_by_key(|&idle| Reverse(idle));
    }
}

impl Drop for ListedConnection {
    fn drop(&mut self) {
        let table = &mut *self.connections.0.borrow_mut();
        table.entries[self.index] = None;
        table.free.push(self.index);
    }
}

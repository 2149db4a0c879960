//! Room for a new client while all places are taken: the connection that has been idle longest is closed.
//!
//! 1. A connection is idle without a request in flight: silent since it was accepted, or between two requests; over
//!    HTTP/2, without a stream. One within a TLS handshake or a request's head is not idle: its client has begun a request,
//!    and `header_timeout` ends it. Neither is one whose client has not taken the whole response.
//! 2. A connection that has been idle for less than [`MIN_IDLE`] stays: its client may just have got its response, and the
//!    next request may be on its way.
//! 3. Every worker knows its own connections only. A worker that has a client and no place asks all workers since when
//!    their longest idle connection has been so, and has one of them evict. One worker asks at a time, or two would get the
//!    same answers.
//! 4. All of this happens when places run out. Until then, no request pays anything for it: the time since when a
//!    connection has been idle is read off the deadline that ends its idleness ([`ConnectionState::idle_since`]).

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

/// How long a connection must have been idle before it may be closed. Idleness is measured in ticks, so it is one tick at
/// least and three at most.
const MIN_IDLE: Duration = TICK.saturating_mul(2);
/// How long the answer of a worker is waited for. One that is busy for longer than this has bigger troubles.
const MAX_ANSWER_TIME: Duration = TICK;
/// How many idle connections are remembered from one search. A flood of clients then costs one search of all connections
/// for each of so many clients.
const REMEMBERED: usize = 64;
/// How often it is logged that places have run out.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Asks the workers to make room.
#[derive(Clone)]
pub(super) struct Evictors(Arc<Shared>);

struct Shared {
    workers: Box<[mpsc::UnboundedSender<EvictionRequest>]>,
    turn: Mutex<()>,
    exhausted: Throttle,
    not_accepted: Throttle,
}

/// What a worker is asked.
pub(super) enum EvictionRequest {
    /// Since when the longest idle of its connections has been so.
    LongestIdle(oneshot::Sender<Option<Instant>>),
    /// To close that one.
    Evict,
}

impl Evictors {
    /// For so many workers, with what each of them is asked.
    pub(super) fn new(workers: usize) -> (Self, Vec<mpsc::UnboundedReceiver<EvictionRequest>>) {
        let (workers, asked): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let shared = Shared {
            workers: workers.into(),
            turn: Mutex::default(),
            exhausted: Throttle::new(LOG_INTERVAL),
            not_accepted: Throttle::new(LOG_INTERVAL),
        };
        (Self(Arc::new(shared)), asked)
    }

    /// Has the longest idle connection of all workers closed, if there is one. Does not wait until it is.
    pub(super) async fn make_room(&self) {
        let _turn = self.0.turn.lock().await;
        let asked: Vec<_> = self.0.workers.iter().map(request_longest_idle).collect();
        let mut longest: Option<(Instant, &mpsc::UnboundedSender<EvictionRequest>)> = None;
        for (worker, answer) in self.0.workers.iter().zip(asked) {
            // A worker that has ended gives no answer.
            if let Ok(Ok(Some(since))) = timeout(MAX_ANSWER_TIME, answer).await
                && longest.is_none_or(|(earliest, _)| since < earliest)
            {
                longest = Some((since, worker));
            }
        }
        if let Some((_, worker)) = longest {
            let _ = worker.send(EvictionRequest::Evict);
        }
    }

    /// Logs that there is no place, from time to time.
    pub(super) fn log_exhausted(&self, max_connections: usize, now: Instant) {
        if self.0.exhausted.admit(now).is_some() {
            tracing::warn!(
                max_connections,
                "max_connections reached; evicting idle connections"
            );
        }
    }

    /// Logs that the kernel gives no connection, from time to time.
    pub(super) fn log_not_accepted(&self, error: &io::Error, now: Instant) {
        if let Some(left_out) = self.0.not_accepted.admit(now) {
            tracing::error!(%error, left_out, "accept failed; accepting pauses");
        }
    }
}

fn request_longest_idle(
    worker: &mpsc::UnboundedSender<EvictionRequest>,
) -> oneshot::Receiver<Option<Instant>> {
    let (reply, answer) = oneshot::channel();
    let _ = worker.send(EvictionRequest::LongestIdle(reply));
    answer
}

/// Whether a connection has been idle for so long that it may be closed.
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
    /// The longest idle ones of the last search, the longest idle one last. A connection only gets idle later than it was:
    /// those of them that are idle since the same time still have been idle longest.
    longest_idle: Vec<(Instant, usize)>,
}

/// A connection that is open until this is dropped.
pub(super) struct ListedConnection {
    connections: Rc<OpenConnections>,
    index: usize,
}

impl OpenConnections {
    /// One more connection.
    pub(super) fn enter(self: &Rc<Self>, state: &Rc<ConnectionState>) -> ListedConnection {
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
        mut asked: mpsc::UnboundedReceiver<EvictionRequest>,
        ticker: &Ticker,
    ) {
        while let Some(ask) = asked.recv().await {
            match ask {
                EvictionRequest::LongestIdle(reply) => {
                    let longest = self.0.borrow_mut().longest_idle(ticker.now());
                    // An error means that a place has become free meanwhile.
                    let _ = reply.send(longest.map(|(since, _)| since));
                }
                EvictionRequest::Evict => self.evict(ticker.now()),
            }
        }
    }

    /// Has the longest idle connection closed, if there is one.
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
        if self.longest_idle.len() > REMEMBERED {
            self.longest_idle.select_nth_unstable(REMEMBERED);
            self.longest_idle.truncate(REMEMBERED);
            self.longest_idle.shrink_to(REMEMBERED);
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

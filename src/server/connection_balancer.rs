//! Spreads connections over the workers.
//!
//! The kernel selects a listening socket by a hash of the addresses (`SO_REUSEPORT`). That spreads
//! many connections evenly, but of two connections it gives both to one of two workers half of the
//! time. If few clients keep their connections and send much on each (a proxy in front, HTTP/2 with
//! many streams), one worker would be full while another idles.
//!
//! 1. A worker that accepts a connection while another has fewer open ones hands it over to the
//!    worker with the fewest.
//! 2. That costs both workers system calls and a wakeup. Handovers are therefore limited to
//!    [`BURST`] at once, and one for each tick beyond that: a few connections are spread exactly, and
//!    a flood of short ones as the kernel does it.
//! 3. A connection that is handed over while the server drains is served: a worker ends only after
//!    every accept loop has ended.

use std::cell::Cell;
use std::net;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::accepted::Accepted;
use super::worker_state::WorkerState;
use crate::clock::TICK;
use crate::telemetry::metrics::{Gauge, GaugeGuard};

/// How many connections one worker hands over at once.
const BURST: u32 = 16;

/// The worker that serves a connection, as one accepting worker selects it.
pub(super) struct ConnectionBalancer {
    own: usize,
    workers: Arc<[Workload]>,
    budget: Cell<Budget>,
}

/// A worker that has fewer open connections than this one.
pub(super) struct OtherWorker<'w>(&'w Workload);

/// What the other workers know of one.
struct Workload {
    open: Gauge,
    handed_over: mpsc::UnboundedSender<HandedOver>,
}

/// How many connections a worker may still hand over.
#[derive(Clone, Copy)]
struct Budget {
    left: u32,
    filled_at: Instant,
}

/// A connection that another worker has accepted.
pub(super) type HandedOver = Accepted<net::TcpStream>;

impl ConnectionBalancer {
    /// One for each of this many workers, with the connections that it is handed. The receivers end
    /// when every balancer is dropped.
    pub(super) fn for_workers(
        workers: usize,
        now: Instant,
    ) -> Vec<(Self, mpsc::UnboundedReceiver<HandedOver>)> {
        let (workloads, receivers): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (handed_over, receiver) = mpsc::unbounded_channel();
                let open = Gauge::default();
                (Workload { open, handed_over }, receiver)
            })
            .unzip();
        let workers: Arc<[_]> = workloads.into();
        let of_worker = |(own, receiver)| {
            let balancer = Self {
                own,
                workers: Arc::clone(&workers),
                budget: Cell::new(Budget::full(now)),
            };
            (balancer, receiver)
        };
        receivers.into_iter().enumerate().map(of_worker).collect()
    }

    /// Counts an open connection of this worker until the guard is dropped.
    pub(super) fn count(&self) -> GaugeGuard {
        self.workers[self.own].open.enter()
    }

    /// The worker that a new connection is handed over to: that with the fewest open ones. `None` if
    /// this one has no more than it, or has handed over too many.
    pub(super) fn other_worker(&self, now: Instant) -> Option<OtherWorker<'_>> {
        let own = self.workers[self.own].open.read();
        // No worker has fewer.
        if own == 0 {
            return None;
        }
        let fewest = self
            .workers
            .iter()
            .min_by_key(|worker| worker.open.read())?;
        let is_other = fewest.open.read() < own;
        (is_other && self.take_from_budget(now)).then_some(OtherWorker(fewest))
    }

    fn take_from_budget(&self, now: Instant) -> bool {
        let (left, is_admitted) = self.budget.get().take(now);
        self.budget.set(left);
        is_admitted
    }
}

impl OtherWorker<'_> {
    /// Counts an open connection of that worker until the guard is dropped.
    pub(super) fn count(&self) -> GaugeGuard {
        self.0.open.enter()
    }

    /// Hands a connection over to it. One that has ended drops it, which closes the connection.
    pub(super) fn hand_over(&self, accepted: HandedOver) {
        let _ = self.0.handed_over.send(accepted);
    }
}

impl Budget {
    fn full(now: Instant) -> Self {
        Self {
            left: BURST,
            filled_at: now,
        }
    }

    /// The budget after a handover, and whether it was enough.
    fn take(self, now: Instant) -> (Self, bool) {
        let ticks = now.saturating_duration_since(self.filled_at).as_nanos() / TICK.as_nanos();
        let filled = if ticks == 0 {
            self
        } else {
            let added = u32::try_from(ticks).unwrap_or(BURST);
            Self {
                left: self.left.saturating_add(added).min(BURST),
                filled_at: now,
            }
        };
        match filled.left.checked_sub(1) {
            Some(left) => (Self { left, ..filled }, true),
            None => (filled, false),
        }
    }
}

/// Serves the connections that other workers hand over to `worker`, until none can any more.
pub(super) async fn serve_handed_over(
    worker: Rc<WorkerState>,
    mut connections: mpsc::UnboundedReceiver<HandedOver>,
) {
    while let Some(accepted) = connections.recv().await {
        let peer = accepted.peer;
        match accepted.map_socket(TcpStream::from_std) {
            Ok(accepted) => accepted.serve(&worker),
            Err(error) => tracing::debug!(%peer, %error, "connection ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_allows_a_burst_and_then_one_handover_for_each_tick() {
        let began = Instant::now();
        let mut budget = Budget::full(began);
        let mut take = |now| {
            let (left, is_admitted) = budget.take(now);
            budget = left;
            is_admitted
        };
        let admitted = |count: usize, now, take: &mut dyn FnMut(Instant) -> bool| {
            (0..count).filter(|_| take(now)).count()
        };
        assert_eq!(admitted(1_000, began, &mut take), BURST as usize);
        assert_eq!(admitted(1_000, began + TICK * 3, &mut take), 3);
        let later = began + TICK * 1_000_000;
        assert_eq!(admitted(1_000, later, &mut take), BURST as usize);
    }

    #[test]
    fn worker_with_the_fewest_open_connections_is_selected() {
        let now = Instant::now();
        let balancers = ConnectionBalancer::for_workers(3, now);
        let [(first, _), (second, _), (third, _)] = &balancers[..] else {
            panic!("three workers");
        };
        assert!(first.other_worker(now).is_none(), "all have none");
        let _of_first = [first.count(), first.count()];
        let of_second = second.count();
        let other = first.other_worker(now).expect("two have fewer");
        assert!(std::ptr::eq(other.0, &raw const third.workers[2]));
        let _of_third = [third.count(), third.count()];
        drop(of_second);
        let other = third.other_worker(now).expect("the second has none");
        assert!(std::ptr::eq(other.0, &raw const third.workers[1]));
        assert!(second.other_worker(now).is_none());
    }
}

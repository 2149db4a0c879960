//! The idle connections to one endpoint, of one worker.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use super::http1::Wire;
use super::settings::Settings;

/// The last one used is the first one used again: it is the least likely to be closed at the other end, and what load
/// no longer needs gets old and goes.
pub(super) struct Pool {
    idle: RefCell<Vec<Idle>>,
    capacity: Cell<usize>,
    keep_for: Duration,
}

struct Idle {
    wire: Wire,
    since: Instant,
}

impl Pool {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { idle: RefCell::default(), capacity: Cell::new(settings.pool_idle), keep_for: settings.pool_idle_timeout }
    }

    /// Takes a connection that can send a request at once.
    pub(super) fn take(&self, now: Instant) -> Option<Wire> {
        let mut idle = self.idle.borrow_mut();
        while let Some(last) = idle.pop() {
            if last.is_good(now, self.keep_for) {
                return Some(last.wire);
            }
            last.wire.close();
        }
        None
    }

    /// Keeps a connection whose exchange is complete.
    pub(super) fn put(&self, wire: Wire, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.capacity.get() && wire.is_read_to_its_end() {
            idle.push(Idle { wire, since: now });
        } else {
            wire.close();
        }
    }

    /// Closes what is idle, and keeps nothing from now on.
    pub(super) fn retire(&self) {
        self.capacity.set(0);
        self.idle.take().into_iter().for_each(|idle| idle.wire.close());
    }

    /// Closes what has been idle for too long, or what the target has closed.
    pub(super) fn prune(&self, now: Instant) {
        let ended = |idle: &mut Idle| !idle.is_good(now, self.keep_for);
        self.idle.borrow_mut().extract_if(.., ended).for_each(|idle| idle.wire.close());
    }
}

impl Idle {
    fn is_good(&self, now: Instant, keep_for: Duration) -> bool {
        now.duration_since(self.since) < keep_for && self.wire.is_quiet()
    }
}

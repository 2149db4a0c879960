//! The idle connections to one endpoint, of one worker.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;

use super::request_body::RequestBody;
use super::settings::Settings;
use crate::net::Pace;

/// A connection on which no exchange is under way, or the one that is under way.
pub(super) struct Connection {
    pub(super) sender: SendRequest<RequestBody>,
    pub(super) pace: Rc<Pace>,
}

/// The last one used is the first one used again: it is the least likely to be closed at the other end, and what load
/// no longer needs gets old and goes.
pub(super) struct Pool {
    idle: RefCell<Vec<Idle>>,
    capacity: Cell<usize>,
    keep_for: Duration,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { idle: RefCell::default(), capacity: Cell::new(settings.pool_idle), keep_for: settings.pool_idle_timeout }
    }

    /// Takes a connection that can send a request at once.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        // From the most recent one: behind one that is too old all are too old. One that is not ready has not yet sent
        // the last request to its end, or is closed; it stays where it is until it is ready or pruned.
        let place = idle
            .iter()
            .rposition(|idle| idle.connection.sender.is_ready() && now.duration_since(idle.since) < self.keep_for)?;
        Some(idle.remove(place).connection)
    }

    /// Keeps a connection whose exchange is complete.
    pub(super) fn put(&self, connection: Connection, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if connection.sender.is_closed() || idle.len() >= self.capacity.get() {
            return;
        }
        idle.push(Idle { connection, since: now });
    }

    /// Closes what is idle, and keeps nothing from now on.
    pub(super) fn retire(&self) {
        self.capacity.set(0);
        self.idle.borrow_mut().clear();
    }

    pub(super) fn prune(&self, now: Instant) {
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.connection.sender.is_closed() && now.duration_since(idle.since) < self.keep_for);
    }
}

//! The idle connections to one endpoint, of one worker.
//!
//! An upstream may send what answers no request: a second response, say, that somebody has made it give. On a connection
//! that is reused it would be taken for the response to the next request, which may be another client's.
//!
//! 1. A connection is closed once something has come on it, as far as the reactor knows. What has come since that last
//!    turned is not known, and a busy worker turns it every few hundred microseconds. To ask the system before each request
//!    costs 3 % of a worker's time, and helps little: with second responses 0.3 ms behind the first, 91 of 12,000 requests
//!    of others got one with that and 91 without. Most come when the connection has been taken again already.
//! 2. So an endpoint that has sent such a thing to any worker is watched for [`WATCH`]: what is idle is closed, a connection
//!    rests for [`REUSE_DELAY`] before it is used again, and the system is asked before that. Of the same 12,000 none or one got
//!    a response that was not its own.
//! 3. What comes later than that, or before an endpoint is found out, cannot be told from a response: HTTP/1.1 has nothing
//!    to tell it by. `pool_idle = 0` gives each request a connection of its own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::upstream::connection::http1::{Http1Connection, X};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::settings::Settings;

use crate::clock;

/// How long an endpoint is watched after it has sent an unsolicited response.
const WATCH: Duration = Duration::from_secs(600);
/// How long a connection to it must be idle before it is reused. A second response usually follows the first one within less, and a worker needs
/// no more connections for it than it forwards requests in that time.
const REUSE_DELAY: Duration = Duration::from_millis(20);

/// The last one used is the first one used again: it is the least likely to be closed at the other end, and what load
/// no longer needs gets old and goes.
pub(in crate::upstream) struct Http1Pool {
    /// The last one used is the last one.
    idle: RefCell<Vec<Idle>>,
    capacity: Cell<usize>,
    idle_timeout: Duration,
    endpoint: Arc<Endpoint>,
    upstream: Arc<str>,
    /// How many times the endpoint had sent what answers no request, when that was last looked at.
    known_unsolicited: Cell<u32>,
    watched_until: Cell<Option<Instant>>,
}

struct Idle {
    wire: Http1Connection,
    since: Instant,
}

impl Http1Pool {
    pub(in crate::upstream) fn new(settings: &Settings, endpoint: Arc<Endpoint>) -> Self {
        Self {
            idle: RefCell::default(),
            capacity: Cell::new(settings.pool_idle),
            idle_timeout: settings.pool_idle_timeout,
            endpoint,
            upstream: Arc::clone(&settings.name),
            known_unsolicited: Cell::new(0),
            watched_until: Cell::new(None),
        }
    }

    /// Takes a connection that can send a request at once.
    pub(in crate::upstream) fn take(&self, now: Instant) -> Option<Http1Connection> {
        let is_watched = self.is_watched(now);
        loop {
            let last = if is_watched {
                self.pop_rested()
            } else {
                self.idle.borrow_mut().pop()
            }?;
            let idle_status = if is_watched {
                last.wire.idle_status_now()
            } else {
                last.wire.idle_status()
            };
            let is_fresh = now.saturating_duration_since(last.since) < self.idle_timeout;
            if is_fresh && idle_status == X::Quiet {
                return Some(last.wire);
            }
            last.wire.close();
            if idle_status == X::Unsolicited {
                self.was_sent_unsolicited(now);
                return None;
            }
        }
    }

    /// Keeps a connection whose exchange is complete.
    pub(in crate::upstream) fn put(&self, wire: Http1Connection, now: Instant) {
        if !wire.is_read_to_its_end() {
            wire.close();
            self.was_sent_unsolicited(now);
            return;
        }
        // `now` is as coarse as the ticker.
        let since = if self.is_watched(now) {
            clock::now()
        } else {
            now
        };
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.capacity.get() {
            idle.push(Idle { wire, since });
        } else {
            wire.close();
        }
    }

    /// Closes what is idle, and keeps nothing from now on.
    pub(in crate::upstream) fn retire(&self) {
        self.capacity.set(0);
        self.close_idle();
    }

    /// Closes what has been idle for too long, or what the target has closed.
    pub(in crate::upstream) fn prune(&self, now: Instant) {
        let ended = |idle: &mut Idle| {
            let idle_status = idle.wire.idle_status();
            if idle_status == X::Unsolicited {
                self.endpoint.has_sent_unsolicited();
            }
            idle_status != X::Quiet
                || now.saturating_duration_since(idle.since) >= self.idle_timeout
        };
        self.idle
            .borrow_mut()
            .extract_if(.., ended)
            .for_each(|idle| idle.wire.close());
        self.is_watched(now);
    }

    fn close_idle(&self) {
        self.idle
            .take()
            .into_iter()
            .for_each(|idle| idle.wire.close());
    }

    fn was_sent_unsolicited(&self, now: Instant) {
        self.endpoint.has_sent_unsolicited();
        self.is_watched(now);
    }

    // Whether the endpoint is watched, which begins when any worker has found it out.
    #[inline]
    fn is_watched(&self, now: Instant) -> bool {
        if self.known_unsolicited.get() != self.endpoint.unsolicited() {
            self.begin_to_watch(now);
        }
        self.watched_until.get().is_some_and(|until| now < until)
    }

    #[cold]
    fn begin_to_watch(&self, now: Instant) {
        self.known_unsolicited.set(self.endpoint.unsolicited());
        if self.watched_until.get().is_none_or(|until| until <= now) {
            self.close_idle();
            let (upstream, target) = (&self.upstream, &self.endpoint);
            tracing::warn!(%upstream, %target, "target sent bytes that answer no request");
        }
        self.watched_until.set(Some(now + WATCH));
    }

    fn pop_rested(&self) -> Option<Idle> {
        let (mut idle, now) = (self.idle.borrow_mut(), clock::now());
        let rested =
            idle.partition_point(|idle| now.saturating_duration_since(idle.since) >= REUSE_DELAY);
        Some(idle.remove(rested.checked_sub(1)?))
    }
}

#[cfg(test)]
mod tests;

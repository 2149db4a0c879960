//! One worker's idle HTTP/1.1 connections to one endpoint.
//!
//! An upstream may send an unsolicited response, such as the second half of a response splitting
//! attack. On a reused connection it would be taken for the response to the next request, which may
//! be another client's.
//!
//! 1. A connection is closed once the reactor knows that something has arrived on it. A busy worker
//!    polls its reactor every few hundred microseconds. A system call before each request would
//!    instead cost 3 % of a worker's time and help little: with second responses 0.3 ms behind
//!    the first, 91 of 12,000 requests got a wrong response with that check and 91 without. Most
//!    arrive when the connection is in use again.
//! 2. Therefore an endpoint that sent an unsolicited response to any worker is watched for
//!    [`WATCH_PERIOD`]: its idle connections are closed, and a connection is reused only after
//!    [`REUSE_DELAY`] and a system call that finds no bytes. Of the same 12,000 requests none or
//!    one got a wrong response.
//! 3. What arrives later than that, or before the endpoint is watched, cannot be distinguished from
//!    a response: HTTP/1.1 has no request identifier. With `pool_idle = 0` each request has a
//!    connection of its own.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Endpoint;
use crate::clock;
use crate::upstream::connection::http1::{Http1Connection, IdleStatus};
use crate::upstream::settings::UpstreamSettings;

/// How long an endpoint is watched after an unsolicited response.
const WATCH_PERIOD: Duration = Duration::from_secs(600);
/// How long a connection to a watched endpoint must be idle before it is reused. A second response
/// usually follows the first one sooner. A worker needs only as many more connections as it
/// forwards requests in that time.
const REUSE_DELAY: Duration = Duration::from_millis(20);

/// A stack: the connection that was used last is the least likely to be closed by the upstream,
/// and those that the load no longer needs expire at the bottom.
pub(in crate::upstream) struct Http1Pool {
    /// Oldest first.
    idle: RefCell<Vec<Idle>>,
    capacity: Cell<usize>,
    idle_timeout: Duration,
    endpoint: Arc<Endpoint>,
    upstream: Arc<str>,
    /// The endpoint's unsolicited responses when this pool last looked.
    known_unsolicited: Cell<u32>,
    watched_until: Cell<Option<Instant>>,
}

struct Idle {
    connection: Http1Connection,
    since: Instant,
}

impl Http1Pool {
    pub(in crate::upstream) fn new(settings: &UpstreamSettings, endpoint: Arc<Endpoint>) -> Self {
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
                self.pop_after_reuse_delay()
            } else {
                self.idle.borrow_mut().pop()
            }?;
            let status = if is_watched {
                last.connection.idle_status_now()
            } else {
                last.connection.idle_status()
            };
            let is_fresh = now.saturating_duration_since(last.since) < self.idle_timeout;
            if is_fresh && status == IdleStatus::Quiet {
                return Some(last.connection);
            }
            last.connection.close();
            if status == IdleStatus::Unsolicited {
                self.record_unsolicited(now);
                return None;
            }
        }
    }

    /// Adds a connection whose exchange is complete.
    pub(in crate::upstream) fn put(&self, connection: Http1Connection, now: Instant) {
        if connection.has_unread_bytes() {
            connection.close();
            self.record_unsolicited(now);
            return;
        }
        // `now` is the ticker's and up to a tick old: too coarse for the reuse delay.
        let since = if self.is_watched(now) {
            clock::now()
        } else {
            now
        };
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.capacity.get() {
            idle.push(Idle { connection, since });
        } else {
            connection.close();
        }
    }

    /// Closes the idle connections and accepts no more.
    pub(in crate::upstream) fn close(&self) {
        self.capacity.set(0);
        self.close_idle();
    }

    /// Closes connections that were idle for too long, and those that the upstream has closed.
    pub(in crate::upstream) fn prune(&self, now: Instant) {
        let is_unusable = |idle: &mut Idle| {
            let status = idle.connection.idle_status();
            if status == IdleStatus::Unsolicited {
                self.endpoint.count_unsolicited_response();
            }
            status != IdleStatus::Quiet
                || now.saturating_duration_since(idle.since) >= self.idle_timeout
        };
        self.idle
            .borrow_mut()
            .extract_if(.., is_unusable)
            .for_each(|idle| idle.connection.close());
        self.is_watched(now);
    }

    fn close_idle(&self) {
        self.idle
            .take()
            .into_iter()
            .for_each(|idle| idle.connection.close());
    }

    fn record_unsolicited(&self, now: Instant) {
        self.endpoint.count_unsolicited_response();
        self.is_watched(now);
    }

    // Any worker that gets an unsolicited response makes every worker watch the endpoint.
    #[inline]
    fn is_watched(&self, now: Instant) -> bool {
        if self.known_unsolicited.get() != self.endpoint.unsolicited_responses() {
            self.start_watch(now);
        }
        self.watched_until.get().is_some_and(|until| now < until)
    }

    #[cold]
    fn start_watch(&self, now: Instant) {
        self.known_unsolicited
            .set(self.endpoint.unsolicited_responses());
        if self.watched_until.get().is_none_or(|until| until <= now) {
            self.close_idle();
            let (upstream, target) = (&self.upstream, &self.endpoint);
            tracing::warn!(%upstream, %target, "upstream sent an unsolicited response");
        }
        self.watched_until.set(Some(now + WATCH_PERIOD));
    }

    fn pop_after_reuse_delay(&self) -> Option<Idle> {
        let (mut idle, now) = (self.idle.borrow_mut(), clock::now());
        let reusable =
            idle.partition_point(|idle| now.saturating_duration_since(idle.since) >= REUSE_DELAY);
        Some(idle.remove(reusable.checked_sub(1)?))
    }
}

#[cfg(test)]
mod tests;

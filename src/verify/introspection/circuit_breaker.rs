//! A circuit breaker: limits the requests to an authorization server that is down.
//!
//! 1. An unreachable server is down for all clients. After [`THRESHOLD`] such failures in a row it gets
//!    no request. It is probed in the background, and the first probe that reaches it closes the
//!    breaker. So no client waits for it, and new tokens are verified at most [`MAX_RETRY_DELAY`] after
//!    it is back.
//! 2. A response that times out, breaks off, redirects or is a 5xx or 429 may be caused by the token:
//!    some servers fail on malformed ones. It counts only against the client that sent the token, or
//!    one client could block the introspection of all others.
//! 3. After each suspension such a client may try one request. The next suspension begins when that
//!    request is sent, so one that hangs delays nothing.
//! 4. Failures of requests that were in flight when a suspension began do not count: a hundred
//!    connections that break at once are one outage.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Consecutive failures that open the breaker.
const THRESHOLD: u32 = 5;

/// How long the first suspension lasts: many outages are a restart.
pub(super) const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long later suspensions last, and the time between two probes. It limits how long new tokens are
/// refused after the server has recovered. A request every two seconds does not burden a starting
/// server.
pub(super) const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// The maximum number of clients with recorded failures. If more fail at once, no single client is the
/// cause.
const MAX_CLIENTS: usize = 4096;

/// The circuit breaker of one server.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    server: Mutex<Server>,
    clients: Mutex<HashMap<IpAddr, Client>>,
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// The server could not be reached.
    Unreachable,
    /// The server failed on this request.
    Failing,
}

/// Permits one request, whose outcome must be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CircuitPermit {
    client: IpAddr,
    /// Whether it is the trial after a suspension.
    is_trial: bool,
}

/// A suspension that begins with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspension {
    /// The breaker has opened: the server must be probed.
    Server(OpenPeriod),
    /// This client gets no requests for this time.
    Client(Duration),
}

/// Identifies one period in which the breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenPeriod(u64);

#[derive(Debug, Default)]
struct Server {
    failures: u32,
    /// How many times it has opened.
    opened: u64,
    is_open: bool,
}

#[derive(Debug, Default)]
struct Client {
    failures: u32,
    suspended_until: Option<Instant>,
}

impl CircuitBreaker {
    /// Permits a request for a client. The caller must record its outcome.
    ///
    /// # Errors
    /// The maximum time until a retry may be permitted.
    pub(super) fn admit(&self, client: IpAddr, now: Instant) -> Result<CircuitPermit, Duration> {
        if self.is_open() {
            return Err(MAX_RETRY_DELAY);
        }
        let is_trial = lock(&self.clients)
            .get_mut(&client)
            .map_or(Ok(false), |state| state.admit(now))?;
        Ok(CircuitPermit { client, is_trial })
    }

    /// Records that the server responded.
    pub(super) fn record_success(&self, permit: CircuitPermit) {
        self.close();
        lock(&self.clients).remove(&permit.client);
    }

    /// Records a failure. Returns the suspension that it starts, if any.
    pub(super) fn record_failure(
        &self,
        permit: CircuitPermit,
        outage: Outage,
        now: Instant,
    ) -> Option<Suspension> {
        match outage {
            Outage::Unreachable => lock(&self.server).record_failure().map(Suspension::Server),
            Outage::Failing => {
                self.close();
                let mut clients = lock(&self.clients);
                if clients.len() >= MAX_CLIENTS {
                    clients.retain(|_, state| state.is_suspended(now));
                }
                if clients.len() >= MAX_CLIENTS {
                    clients.clear();
                }
                let state = clients.entry(permit.client).or_default();
                state
                    .record_failure(permit.is_trial, now)
                    .map(Suspension::Client)
            }
        }
    }

    /// Closes the breaker: a request or probe has reached the server.
    pub(super) fn close(&self) {
        let mut server = lock(&self.server);
        *server = Server {
            opened: server.opened,
            ..Server::default()
        };
    }

    /// Whether all requests are refused.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.server).is_open
    }

    /// Whether this open period lasts.
    pub(super) fn is_still_open(&self, opened: OpenPeriod) -> bool {
        let server = lock(&self.server);
        server.is_open && server.opened == opened.0
    }
}

impl Server {
    fn record_failure(&mut self) -> Option<OpenPeriod> {
        self.failures = self.failures.saturating_add(1);
        if self.is_open || self.failures < THRESHOLD {
            return None;
        }
        self.is_open = true;
        self.opened += 1;
        Some(OpenPeriod(self.opened))
    }
}

impl Client {
    // Returns whether the request is the trial after a suspension.
    fn admit(&mut self, now: Instant) -> Result<bool, Duration> {
        match self.suspended_until {
            None => Ok(false),
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                self.suspended_until = Some(now + MAX_RETRY_DELAY);
                Ok(true)
            }
        }
    }

    fn record_failure(&mut self, was_trial: bool, now: Instant) -> Option<Duration> {
        if self.suspended_until.is_some() && !was_trial {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let suspension = match self.failures.cmp(&THRESHOLD) {
            Ordering::Less => return None,
            Ordering::Equal => FIRST_RETRY_DELAY,
            Ordering::Greater => MAX_RETRY_DELAY,
        };
        self.suspended_until = Some(now + suspension);
        Some(suspension)
    }

    fn is_suspended(&self, now: Instant) -> bool {
        self.suspended_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn unreachable_server_gets_no_request_until_a_probe_reaches_it() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let begun: Vec<_> = (0..100)
            .map(|_| breaker.admit(CLIENT, now).expect("a permit"))
            .collect();
        // All requests in flight break off at once: one outage.
        let suspensions: Vec<_> = begun
            .iter()
            .filter_map(|one| breaker.record_failure(*one, Outage::Unreachable, now))
            .collect();
        let [Suspension::Server(opened)] = suspensions[..] else {
            panic!("{suspensions:?}")
        };
        for later in [now, now + MAX_RETRY_DELAY, now + 100 * MAX_RETRY_DELAY] {
            assert_eq!(
                (breaker.admit(CLIENT, later), breaker.admit(OTHER, later)),
                (Err(MAX_RETRY_DELAY), Err(MAX_RETRY_DELAY))
            );
        }
        assert!(breaker.is_still_open(opened));
        breaker.close();
        assert!(breaker.admit(CLIENT, now).is_ok() && breaker.admit(OTHER, now).is_ok());
        assert!(!breaker.is_still_open(opened));
        // The next open period is another one.
        let fail = || {
            breaker.record_failure(
                breaker.admit(OTHER, now).expect("a permit"),
                Outage::Unreachable,
                now,
            )
        };
        assert!((1..THRESHOLD).all(|_| fail().is_none()));
        assert!(fail().is_some_and(|suspension| suspension != Suspension::Server(opened)));
        assert!(!breaker.is_still_open(opened));
    }

    #[test]
    fn client_whose_requests_fail_is_suspended_alone() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        for failure in 1..=THRESHOLD {
            let permit = breaker.admit(CLIENT, start).expect("a permit");
            let suspension = breaker.record_failure(permit, Outage::Failing, start);
            assert_eq!(
                suspension,
                (failure == THRESHOLD).then_some(Suspension::Client(FIRST_RETRY_DELAY))
            );
        }
        assert_eq!(breaker.admit(CLIENT, start), Err(FIRST_RETRY_DELAY));
        let other = breaker.admit(OTHER, start).expect("a permit");
        breaker.record_success(other);
        assert_eq!(
            breaker.admit(CLIENT, start),
            Err(FIRST_RETRY_DELAY),
            "the success of another client does not count"
        );
        let mut now = start + FIRST_RETRY_DELAY;
        for _ in 0..10 {
            let trial = breaker.admit(CLIENT, now).expect("a trial");
            assert_eq!(
                breaker.admit(CLIENT, now),
                Err(MAX_RETRY_DELAY),
                "one trial at a time"
            );
            assert_eq!(
                breaker.record_failure(trial, Outage::Failing, now),
                Some(Suspension::Client(MAX_RETRY_DELAY))
            );
            now += MAX_RETRY_DELAY;
        }
        // A trial that hangs delays nothing.
        let _hung = breaker.admit(CLIENT, now).expect("a trial");
        let trial = breaker
            .admit(CLIENT, now + MAX_RETRY_DELAY)
            .expect("a trial");
        breaker.record_success(trial);
        assert!(breaker.admit(CLIENT, now + MAX_RETRY_DELAY).is_ok());
    }

    #[test]
    fn failures_of_earlier_requests_do_not_extend_a_suspension() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        let begun: Vec<_> = (0..100)
            .map(|_| breaker.admit(CLIENT, start).expect("a permit"))
            .collect();
        let suspensions = begun
            .iter()
            .filter_map(|one| breaker.record_failure(*one, Outage::Failing, start));
        assert_eq!(
            suspensions.collect::<Vec<_>>(),
            [Suspension::Client(FIRST_RETRY_DELAY)]
        );
        assert!(breaker.admit(CLIENT, start + FIRST_RETRY_DELAY).is_ok());
    }

    #[test]
    fn recorded_clients_are_limited() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        for number in 0..3 * u32::try_from(MAX_CLIENTS).expect("a small number") {
            let permit = breaker
                .admit(IpAddr::from(number.to_be_bytes()), start)
                .expect("a permit");
            breaker.record_failure(permit, Outage::Failing, start);
            assert!(lock(&breaker.clients).len() <= MAX_CLIENTS);
        }
    }
}

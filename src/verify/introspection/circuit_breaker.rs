//! A circuit breaker: an authorization server that is down is asked rarely, and is asked again soon.
//!
//! 1. A server that cannot be reached is down for everybody: after [`THRESHOLD`] such failures in a row no question goes
//!    to it. It is probed in the background instead, and the first probe that reaches it closes the breaker. So no client
//!    waits for a server that is down, and new tokens are judged at most [`MAX_RETRY_DELAY`] after it is back.
//! 2. A response that does not come in time, breaks off, redirects or is a 5xx or 429 may be the doing of a token, or of
//!    many: there are servers that fail on tokens they do not like. It counts against the client that brought it, and
//!    against nobody else, or one client could keep all others from being judged.
//! 3. Such a client may try again after each rest with one question. The next rest begins with that question and not with
//!    its end, so that one that hangs holds nothing up.
//! 4. Questions that were under way when a rest began say nothing new by failing, too: a hundred connections that break
//!    at once are one outage.

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

/// How long later suspensions last, and the time between two probes. It bounds how long new tokens are refused after the
/// server has recovered; a request every two seconds is no load for a server that starts.
pub(super) const MAX_RETRY_DELAY: Duration = Duration::from_secs(2);

/// Clients that failures are remembered of; more than that at once are many clients, and no one client's doing.
const MAX_CLIENTS: usize = 4096;

/// Knows whether a server is worth asking.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    server: Mutex<Server>,
    clients: Mutex<HashMap<IpAddr, Client>>,
}

/// How a question failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// The server could not be reached, whatever was to be asked.
    Unreachable,
    /// It failed over this question.
    Failing,
}

/// A question that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CircuitPermit {
    client: IpAddr,
    /// It is the one that tries again after a rest.
    is_trial: bool,
}

/// What begins with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspension {
    /// The breaker has opened: from now on the server has to be probed.
    Server(OpenPeriod),
    /// This client's questions are not asked for so long.
    Client(Duration),
}

/// One time that the breaker was open, told apart from every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenPeriod(u64);

#[derive(Debug, Default)]
struct Server {
    failures: u32,
    /// How often it has opened.
    opened: u64,
    is_open: bool,
}

#[derive(Debug, Default)]
struct Client {
    failures: u32,
    suspended_until: Option<Instant>,
}

impl CircuitBreaker {
    /// Whether to ask now for a client. Whoever is let through must say how it went.
    ///
    /// # Errors
    /// How long to wait, at most, before it is worth another try.
    pub(super) fn admit(&self, client: IpAddr, now: Instant) -> Result<CircuitPermit, Duration> {
        if self.is_open() {
            return Err(MAX_RETRY_DELAY);
        }
        let is_trial = lock(&self.clients)
            .get_mut(&client)
            .map_or(Ok(false), |state| state.admit(now))?;
        Ok(CircuitPermit { client, is_trial })
    }

    /// It answered.
    pub(super) fn record_success(&self, permit: CircuitPermit) {
        self.close();
        lock(&self.clients).remove(&permit.client);
    }

    /// It failed. Says what begins with that, if anything does.
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

    /// A probe has reached the server: clients may ask.
    pub(super) fn close(&self) {
        let mut server = lock(&self.server);
        *server = Server {
            opened: server.opened,
            ..Server::default()
        };
    }

    /// Whether no question is asked.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.server).is_open
    }

    /// Whether it is still open since then.
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
    // Whether this one tries for all of the client's that wait.
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
    fn server_that_cannot_be_reached_is_not_asked_until_a_probe_reaches_it() {
        let (breaker, now) = (CircuitBreaker::default(), Instant::now());
        let begun: Vec<_> = (0..100)
            .map(|_| breaker.admit(CLIENT, now).expect("it may be asked"))
            .collect();
        // All that were under way break off at once: one outage.
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
        // It starts from nothing, and is another time.
        let fail = || {
            breaker.record_failure(
                breaker.admit(OTHER, now).expect("it may be asked"),
                Outage::Unreachable,
                now,
            )
        };
        assert!((1..THRESHOLD).all(|_| fail().is_none()));
        assert!(fail().is_some_and(|suspension| suspension != Suspension::Server(opened)));
        assert!(!breaker.is_still_open(opened));
    }

    #[test]
    fn client_whose_questions_fail_is_left_alone_and_nobody_else() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        for failure in 1..=THRESHOLD {
            let permit = breaker.admit(CLIENT, start).expect("it may be asked");
            let suspension = breaker.record_failure(permit, Outage::Failing, start);
            assert_eq!(
                suspension,
                (failure == THRESHOLD).then_some(Suspension::Client(FIRST_RETRY_DELAY))
            );
        }
        assert_eq!(breaker.admit(CLIENT, start), Err(FIRST_RETRY_DELAY));
        let other = breaker
            .admit(OTHER, start)
            .expect("nothing is known against it");
        breaker.record_success(other);
        assert_eq!(
            breaker.admit(CLIENT, start),
            Err(FIRST_RETRY_DELAY),
            "another one's luck"
        );
        let mut now = start + FIRST_RETRY_DELAY;
        for _ in 0..10 {
            let trial = breaker.admit(CLIENT, now).expect("it may try");
            assert_eq!(
                breaker.admit(CLIENT, now),
                Err(MAX_RETRY_DELAY),
                "one tries"
            );
            assert_eq!(
                breaker.record_failure(trial, Outage::Failing, now),
                Some(Suspension::Client(MAX_RETRY_DELAY))
            );
            now += MAX_RETRY_DELAY;
        }
        // One that hangs is not waited for.
        let _hung = breaker.admit(CLIENT, now).expect("it may try");
        let trial = breaker
            .admit(CLIENT, now + MAX_RETRY_DELAY)
            .expect("it may try");
        breaker.record_success(trial);
        assert!(breaker.admit(CLIENT, now + MAX_RETRY_DELAY).is_ok());
    }

    #[test]
    fn failures_of_questions_from_before_a_rest_make_it_no_longer() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        let begun: Vec<_> = (0..100)
            .map(|_| breaker.admit(CLIENT, start).expect("it may be asked"))
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
    fn clients_are_remembered_up_to_a_bound() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        for number in 0..3 * u32::try_from(MAX_CLIENTS).expect("a small number") {
            let permit = breaker
                .admit(IpAddr::from(number.to_be_bytes()), start)
                .expect("it may be asked");
            breaker.record_failure(permit, Outage::Failing, start);
            assert!(lock(&breaker.clients).len() <= MAX_CLIENTS);
        }
    }
}

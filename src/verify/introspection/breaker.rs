//! An authorization server that is down is asked rarely.
//!
//! 1. Whoever cannot reach the server at all has found out something about the server: after [`THRESHOLD`] such failures
//!    in a row nobody asks for a while.
//! 2. An answer that does not come in time, breaks off or is a 5xx or 429 may be the doing of a token, or of many: there
//!    are servers that fail on tokens they do not like. It counts against the client that brought it, and against nobody
//!    else, or one client could keep all others from being judged.
//! 3. After a rest one question may try. The others go on waiting until it is known how that one fared; each failure
//!    doubles the rest.
//! 4. Questions that were under way when a rest began say nothing new by failing, too: a hundred connections that break
//!    at once are one outage.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const THRESHOLD: u32 = 5;
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Clients that failures are remembered of; more than that at once are many clients, and no one client's doing.
const MOST_CLIENTS: usize = 4096;

/// Knows whether a server is worth asking.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    server: Mutex<State>,
    clients: Mutex<HashMap<IpAddr, State>>,
}

/// How a question failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outage {
    /// The server could not be reached, whatever was to be asked.
    Unreachable,
    /// It failed over this question.
    Failing,
}

/// A question that was let through, and what depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    client: IpAddr,
    tries_server: bool,
    tries_for_client: bool,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    resting_until: Option<Instant>,
    someone_tries: bool,
}

impl Breaker {
    /// Whether to ask now for a client. Whoever is let through must say how it went.
    ///
    /// # Errors
    /// How long to wait, at most, before it is worth another try.
    pub(super) fn admit(&self, client: IpAddr, now: Instant) -> Result<Admission, Duration> {
        let mut server = locked(&self.server);
        let tries_server = server.admit(now)?;
        match locked(&self.clients).get_mut(&client).map_or(Ok(false), |state| state.admit(now)) {
            Ok(tries_for_client) => Ok(Admission { client, tries_server, tries_for_client }),
            Err(rest) => {
                server.someone_tries &= !tries_server;
                Err(rest)
            }
        }
    }

    /// It answered.
    pub(super) fn answered(&self, admission: Admission) {
        *locked(&self.server) = State::default();
        locked(&self.clients).remove(&admission.client);
    }

    /// It failed. Says how long it is left alone, by all or by this client, where that begins now.
    pub(super) fn failed(&self, admission: Admission, outage: Outage, now: Instant) -> Option<Duration> {
        match outage {
            Outage::Unreachable => {
                let rest = locked(&self.server).failed(admission.tries_server, now);
                self.abandoned(admission);
                rest
            }
            Outage::Failing => {
                *locked(&self.server) = State::default();
                let mut clients = locked(&self.clients);
                if clients.len() >= MOST_CLIENTS {
                    clients.retain(|_, state| state.is_resting(now));
                }
                if clients.len() >= MOST_CLIENTS {
                    clients.clear();
                }
                clients.entry(admission.client).or_default().failed(admission.tries_for_client, now)
            }
        }
    }

    /// Nothing came of it.
    pub(super) fn abandoned(&self, admission: Admission) {
        locked(&self.server).someone_tries &= !admission.tries_server;
        if let Some(state) = locked(&self.clients).get_mut(&admission.client) {
            state.someone_tries &= !admission.tries_for_client;
        }
    }
}

impl State {
    // Whether this one tries for all who wait.
    fn admit(&mut self, now: Instant) -> Result<bool, Duration> {
        match self.resting_until {
            None => Ok(false),
            Some(until) if now < until => Err(until - now),
            Some(_) if self.someone_tries => Err(SHORTEST_REST),
            Some(_) => {
                self.someone_tries = true;
                Ok(true)
            }
        }
    }

    fn failed(&mut self, was_trial: bool, now: Instant) -> Option<Duration> {
        if self.resting_until.is_some() && !was_trial {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        self.someone_tries = false;
        let doublings = self.failures.checked_sub(THRESHOLD)?;
        let rest = SHORTEST_REST.saturating_mul(1 << doublings.min(16)).min(LONGEST_REST);
        self.resting_until = Some(now + rest);
        Some(rest)
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.resting_until.is_some_and(|until| now < until)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere cannot leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn server_that_cannot_be_reached_is_left_alone_by_all_for_longer_and_longer() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let fail = |client, now| {
            let admission = breaker.admit(client, now).expect("it may be asked");
            breaker.failed(admission, Outage::Unreachable, now)
        };
        for _ in 1..THRESHOLD {
            assert_eq!(fail(CLIENT, start), None);
        }
        let mut now = start;
        for rest in [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs) {
            assert_eq!(fail(CLIENT, now), Some(rest));
            assert_eq!((breaker.admit(CLIENT, now), breaker.admit(OTHER, now)), (Err(rest), Err(rest)));
            now += rest;
        }
    }

    #[test]
    fn client_whose_questions_fail_is_left_alone_and_nobody_else() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for failure in 1..=THRESHOLD {
            let admission = breaker.admit(CLIENT, start).expect("it may be asked");
            let rest = breaker.failed(admission, Outage::Failing, start);
            assert_eq!(rest, (failure == THRESHOLD).then_some(SHORTEST_REST));
        }
        assert_eq!(breaker.admit(CLIENT, start), Err(SHORTEST_REST));
        let other = breaker.admit(OTHER, start).expect("nothing is known against it");
        breaker.answered(other);
        assert_eq!(breaker.admit(CLIENT, start), Err(SHORTEST_REST), "another one's luck");
        let later = start + SHORTEST_REST;
        let trial = breaker.admit(CLIENT, later).expect("it may try");
        assert_eq!(breaker.admit(CLIENT, later), Err(SHORTEST_REST), "one tries");
        breaker.answered(trial);
        assert!(breaker.admit(CLIENT, later).is_ok());
    }

    #[test]
    fn one_tries_and_the_others_wait() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let begun: Vec<_> = (0..100).map(|_| breaker.admit(CLIENT, start).expect("it may be asked")).collect();
        // All that were under way break off at once: one outage, and one rest.
        let rests = begun.iter().filter_map(|one| breaker.failed(*one, Outage::Unreachable, start));
        assert_eq!(rests.collect::<Vec<_>>(), [SHORTEST_REST]);
        let later = start + SHORTEST_REST;
        let trial = breaker.admit(OTHER, later).expect("one tries");
        // What ends of the earlier ones ends no trial.
        breaker.failed(begun[0], Outage::Unreachable, later);
        breaker.abandoned(begun[1]);
        assert_eq!(breaker.admit(CLIENT, later), Err(SHORTEST_REST));
        breaker.abandoned(trial);
        let trial = breaker.admit(CLIENT, later).expect("the next one tries");
        breaker.answered(trial);
        assert!(breaker.admit(CLIENT, later).is_ok() && breaker.admit(OTHER, later).is_ok());
        assert_eq!(breaker.failed(trial, Outage::Unreachable, later), None, "it starts from nothing");
    }

    #[test]
    fn clients_are_remembered_up_to_a_bound() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for number in 0..3 * u32::try_from(MOST_CLIENTS).expect("a small number") {
            let admission = breaker.admit(IpAddr::from(number.to_be_bytes()), start).expect("it may be asked");
            breaker.failed(admission, Outage::Failing, start);
            assert!(locked(&breaker.clients).len() <= MOST_CLIENTS);
        }
    }
}

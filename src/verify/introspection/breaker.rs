//! An authorization server that is down is asked rarely.
//!
//! 1. What counts is what no client can provoke with a token: no connection, no answer in time, a status of 5xx.
//! 2. After [`THRESHOLD`] of them in a row nobody asks for a while.
//! 3. Then one may try. The others go on waiting until it is known how that one fared; each failure doubles the while.
//! 4. Questions that were under way when a rest began say nothing new by failing, too: a hundred connections that break
//!    at once are one outage.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const THRESHOLD: u32 = 5;
const SHORTEST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Knows whether a server is worth asking.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    resting_until: Option<Instant>,
    someone_tries: bool,
}

impl Breaker {
    /// Whether to ask now. Whoever is let through must say how it went.
    ///
    /// # Errors
    /// How long to wait, at most, before it is worth another try.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state();
        let Some(until) = state.resting_until else { return Ok(()) };
        if now < until {
            return Err(until - now);
        }
        if state.someone_tries {
            return Err(SHORTEST_REST);
        }
        state.someone_tries = true;
        Ok(())
    }

    /// It answered.
    pub(super) fn answered(&self) {
        *self.state() = State::default();
    }

    /// It failed. Says how long it is left alone, where that begins now.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        if state.resting_until.is_some_and(|until| now < until) {
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        state.someone_tries = false;
        let doublings = state.failures.checked_sub(THRESHOLD)?;
        let rest = SHORTEST_REST.saturating_mul(1 << doublings.min(16)).min(LONGEST_REST);
        state.resting_until = Some(now + rest);
        Some(rest)
    }

    /// Nothing came of it: whoever was let through gave up.
    pub(super) fn abandoned(&self) {
        self.state().someone_tries = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_that_fails_again_and_again_is_left_alone_for_longer_and_longer() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 1..THRESHOLD {
            assert_eq!((breaker.admit(start), breaker.failed(start)), (Ok(()), None));
        }
        let mut now = start;
        for rest in [1, 2, 4, 8, 16, 30, 30].map(Duration::from_secs) {
            assert_eq!((breaker.admit(now), breaker.failed(now)), (Ok(()), Some(rest)));
            assert_eq!(breaker.admit(now), Err(rest));
            now += rest;
        }
    }

    #[test]
    fn many_that_fail_at_once_are_one_outage() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        let rests: Vec<_> = (0..100).filter_map(|_| breaker.failed(start)).collect();
        assert_eq!(rests, [SHORTEST_REST]);
        assert_eq!(breaker.admit(start), Err(SHORTEST_REST));
        assert_eq!(breaker.admit(start + SHORTEST_REST), Ok(()));
    }

    #[test]
    fn one_tries_and_the_others_wait() {
        let (breaker, start) = (Breaker::default(), Instant::now());
        for _ in 0..THRESHOLD {
            breaker.failed(start);
        }
        let later = start + SHORTEST_REST;
        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(SHORTEST_REST));
        breaker.abandoned();
        assert_eq!(breaker.admit(later), Ok(()));
        breaker.answered();
        assert_eq!((breaker.admit(later), breaker.admit(later)), (Ok(()), Ok(())));
        assert_eq!(breaker.failed(later), None, "it starts from nothing");
    }
}

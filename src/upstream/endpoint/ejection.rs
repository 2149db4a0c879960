//! Which endpoint is worth a try: one that keeps failing is left alone for a while (passive ejection).
//!
//! 1. [`FAILURES`] failures to connect in a row eject an endpoint. What happens on a connection does not count: a client
//!    could choose its requests so that they fail, and close an upstream to all others. Nor does what this machine lacks
//!    ([`local_error`](crate::upstream::local_error)).
//! 2. A rest grows with every further failure, up to [`MAX_EJECTION`], and a first success ends it for good. Failures
//!    during a rest began before it and lengthen nothing.
//! 3. At most half of the endpoints, and at least one, are ejected at a time ([`max_ejected`]): where most fail, the
//!    fault may be on our side, and the few that are left would get everything. What may not be ejected is asked last.
//! 4. Each worker judges by what it has seen itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock::Backoff;

/// Failures in a row that eject an endpoint.
const FAILURES: u32 = 3;
const FIRST_EJECTION: Duration = Duration::from_millis(500);
const MAX_EJECTION: Duration = Duration::from_secs(10);

/// How many of so many endpoints one worker may have ejected at a time.
pub(in crate::upstream) fn max_ejected(endpoints: usize) -> usize {
    (endpoints / 2).max(1)
}

/// What one worker has seen of one endpoint.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Health {
    failures: Cell<u32>,
    resting_until: Cell<Option<Instant>>,
    may_eject: Cell<bool>,
}

impl Health {
    /// Whether it is to get no requests.
    pub(in crate::upstream) fn is_ejected(&self, now: Instant) -> bool {
        self.may_eject.get() && self.is_resting(now)
    }

    /// Whether it has failed of late so that it would be ejected if that may be.
    pub(in crate::upstream) fn is_resting(&self, now: Instant) -> bool {
        self.resting_until.get().is_some_and(|until| now < until)
    }

    /// Returns whether it was at rest.
    pub(in crate::upstream) fn succeeded(&self) -> bool {
        self.failures.set(0);
        self.resting_until.take().is_some()
    }

    /// Returns for how long it rests from now on, if it does; `may_eject` tells whether it is ejected for that time.
    pub(in crate::upstream) fn failed(
        &self,
        now: Instant,
        may_eject: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        if self.is_resting(now) {
            return None;
        }
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        let further = failures.checked_sub(FAILURES)?;
        let backoff = Backoff {
            first: FIRST_EJECTION,
            max: MAX_EJECTION,
        };
        let rest = backoff.after(further + 1);
        self.resting_until.set(Some(now + rest));
        self.may_eject.set(may_eject());
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_rests_after_failures_in_a_row_and_longer_each_time() {
        let (health, now) = (Health::default(), Instant::now());
        let failed = |now| health.failed(now, || true);
        assert_eq!([failed(now), failed(now)], [None, None]);
        assert!(!health.is_ejected(now));
        assert_eq!(failed(now), Some(FIRST_EJECTION));
        assert!(health.is_ejected(now));
        let later = now + FIRST_EJECTION;
        assert!(!health.is_ejected(later));
        assert_eq!(failed(later), Some(2 * FIRST_EJECTION));
        assert!(health.is_ejected(later + FIRST_EJECTION));
        health.succeeded();
        assert!(!health.is_ejected(now));
        assert_eq!(failed(now), None);
    }

    #[test]
    fn failures_during_a_rest_do_not_lengthen_it() {
        let (health, now) = (Health::default(), Instant::now());
        let rests: Vec<_> = (0..1000)
            .filter_map(|_| health.failed(now, || true))
            .collect();
        assert_eq!(rests, [FIRST_EJECTION]);
        assert!(!health.is_ejected(now + FIRST_EJECTION));
    }

    #[test]
    fn no_rest_is_longer_than_the_longest() {
        let (health, mut now) = (Health::default(), Instant::now());
        let mut longest = Duration::ZERO;
        for _ in 0..1000 {
            let rest = health.failed(now, || true).unwrap_or_default();
            longest = longest.max(rest);
            now += rest;
        }
        assert_eq!(longest, MAX_EJECTION);
    }

    #[test]
    fn what_may_not_be_ejected_rests_all_the_same() {
        let (health, now) = (Health::default(), Instant::now());
        (0..3).for_each(|_| _ = health.failed(now, || false));
        assert!(health.is_resting(now) && !health.is_ejected(now));
    }

    #[test]
    fn at_most_half_and_at_least_one_is_ejected() {
        assert_eq!([1, 2, 3, 4, 5, 10].map(max_ejected), [1, 1, 1, 2, 2, 5]);
    }
}

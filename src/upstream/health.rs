//! Which target is worth a try: one that keeps failing is left alone for a while (passive ejection).
//!
//! 1. [`FAILURES`] failures to connect in a row eject a target. What happens on a connection does not count: a client
//!    could choose its requests so that they fail, and close an upstream to all others.
//! 2. A rest grows with every further failure, up to [`LONGEST_REST`], and a first success ends it for good.
//! 3. Each worker judges by what it has seen itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Failures in a row that eject a target.
const FAILURES: u32 = 3;
const FIRST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(10);

/// What one worker has seen of one target.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: Cell<u32>,
    resting_until: Cell<Option<Instant>>,
}

impl Health {
    pub(super) fn is_available(&self, now: Instant) -> bool {
        self.resting_until.get().is_none_or(|until| now >= until)
    }

    pub(super) fn succeeded(&self) {
        self.failures.set(0);
        self.resting_until.set(None);
    }

    /// Returns for how long the target is ejected, if it is.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        let further = failures.checked_sub(FAILURES)?;
        let rest = FIRST_REST.saturating_mul(1 << further.min(16)).min(LONGEST_REST);
        self.resting_until.set(Some(now + rest));
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_rests_after_failures_in_a_row_and_longer_each_time() {
        let (health, now) = (Health::default(), Instant::now());
        assert_eq!([health.failed(now), health.failed(now)], [None, None]);
        assert!(health.is_available(now));
        assert_eq!(health.failed(now), Some(FIRST_REST));
        assert!(!health.is_available(now));
        let later = now + FIRST_REST;
        assert!(health.is_available(later));
        assert_eq!(health.failed(later), Some(2 * FIRST_REST));
        assert!(!health.is_available(later + FIRST_REST));
        health.succeeded();
        assert!(health.is_available(now));
        assert_eq!(health.failed(now), None);
    }

    #[test]
    fn no_rest_is_longer_than_the_longest() {
        let (health, now) = (Health::default(), Instant::now());
        let longest = (0..1000).filter_map(|_| health.failed(now)).max();
        assert_eq!(longest, Some(LONGEST_REST));
    }
}

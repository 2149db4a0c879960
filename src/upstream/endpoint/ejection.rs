//! Passive ejection: an endpoint that keeps failing gets no requests for a while.
//!
//! 1. [`FAILURES`] failures in a row to connect eject an endpoint. Failures on an open connection
//!    do not count: a client could choose requests that fail, and take an upstream away from all
//!    others. Failures that this machine causes do not count either
//!    ([`local_error`](crate::upstream::local_error)).
//! 2. An ejection is longer after each further failure, up to [`MAX_EJECTION`]; the first success
//!    ends it. A failure during an ejection belongs to an attempt that began before it, and does
//!    not lengthen it.
//! 3. At most half of the endpoints are ejected at a time, and at least one may be
//!    ([`max_ejected`]). Where most endpoints fail, the fault may be on our side, and the few that
//!    are left would get all requests. An endpoint beyond this limit is selected last instead.
//! 4. Each worker judges by its own connections.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock::Backoff;

/// Failures in a row that eject an endpoint.
const FAILURES: u32 = 3;
const FIRST_EJECTION: Duration = Duration::from_millis(500);
const MAX_EJECTION: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff {
    first: FIRST_EJECTION,
    max: MAX_EJECTION,
};

/// The most of this many endpoints that one worker may have ejected at a time.
pub(in crate::upstream) fn max_ejected(endpoints: usize) -> usize {
    (endpoints / 2).max(1)
}

/// What one worker has seen of the failures of one endpoint.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Ejection {
    failures: Cell<u32>,
    avoided_until: Cell<Option<Instant>>,
    is_allowed: Cell<bool>,
}

impl Ejection {
    /// Whether the endpoint gets no requests.
    pub(in crate::upstream) fn is_ejected(&self, now: Instant) -> bool {
        self.is_allowed.get() && self.is_deprioritized(now)
    }

    /// Whether the endpoint is ejected, or would be if too many were not ejected already.
    pub(in crate::upstream) fn is_deprioritized(&self, now: Instant) -> bool {
        self.avoided_until.get().is_some_and(|until| now < until)
    }

    /// Records a connection that was opened. Returns whether the endpoint had been avoided before.
    pub(in crate::upstream) fn record_success(&self) -> bool {
        self.failures.set(0);
        self.avoided_until.take().is_some()
    }

    /// Records a failure to connect. Returns for how long the endpoint is avoided, if this failure
    /// begins that; `is_allowed` decides whether it is ejected meanwhile.
    pub(in crate::upstream) fn record_failure(
        &self,
        now: Instant,
        is_allowed: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        if self.is_deprioritized(now) {
            return None;
        }
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        let ejections = failures.checked_sub(FAILURES - 1).filter(|n| *n > 0)?;
        let duration = BACKOFF.after(ejections);
        self.avoided_until.set(Some(now + duration));
        self.is_allowed.set(is_allowed());
        Some(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_is_ejected_after_failures_in_a_row_and_longer_each_time() {
        let (ejection, now) = (Ejection::default(), Instant::now());
        let fail = |now| ejection.record_failure(now, || true);
        assert_eq!([fail(now), fail(now)], [None, None]);
        assert!(!ejection.is_ejected(now));
        assert_eq!(fail(now), Some(FIRST_EJECTION));
        assert!(ejection.is_ejected(now));
        let later = now + FIRST_EJECTION;
        assert!(!ejection.is_ejected(later));
        assert_eq!(fail(later), Some(2 * FIRST_EJECTION));
        assert!(ejection.is_ejected(later + FIRST_EJECTION));
        ejection.record_success();
        assert!(!ejection.is_ejected(now));
        assert_eq!(fail(now), None);
    }

    #[test]
    fn failures_during_an_ejection_do_not_lengthen_it() {
        let (ejection, now) = (Ejection::default(), Instant::now());
        let durations: Vec<_> = (0..1000)
            .filter_map(|_| ejection.record_failure(now, || true))
            .collect();
        assert_eq!(durations, [FIRST_EJECTION]);
        assert!(!ejection.is_ejected(now + FIRST_EJECTION));
    }

    #[test]
    fn no_ejection_is_longer_than_the_maximum() {
        let (ejection, mut now) = (Ejection::default(), Instant::now());
        let mut longest = Duration::ZERO;
        for _ in 0..1000 {
            let duration = ejection.record_failure(now, || true).unwrap_or_default();
            longest = longest.max(duration);
            now += duration;
        }
        assert_eq!(longest, MAX_EJECTION);
    }

    #[test]
    fn endpoint_beyond_the_limit_is_avoided_but_not_ejected() {
        let (ejection, now) = (Ejection::default(), Instant::now());
        (0..3).for_each(|_| _ = ejection.record_failure(now, || false));
        assert!(ejection.is_deprioritized(now) && !ejection.is_ejected(now));
    }

    #[test]
    fn at_most_half_and_at_least_one_is_ejected() {
        assert_eq!([1, 2, 3, 4, 5, 10].map(max_ejected), [1, 1, 1, 2, 2, 5]);
    }
}

//! Passive ejection: an endpoint that keeps failing gets no requests for a while.
//!
//! 1. [`CONNECT_FAILURES`] failures in a row to connect eject an endpoint. Failures that this machine
//!    causes do not count ([`local_error`](crate::upstream::local_error)). The first connection that
//!    opens ends the ejection.
//! 2. Failed responses eject it only with `outlier` in its upstream: a client may find requests that
//!    fail. See [`ejector`](crate::upstream::ejector) for which of them count. A success does not end
//!    the ejection, because it belongs to a request from before.
//! 3. An ejection ends by itself, but the failures stay counted: the first further failure ejects the
//!    endpoint again, and the first success clears them. Ejections after failures to connect become
//!    longer, up to [`MAX_EJECTION`]. A failure during an ejection belongs to an attempt that began
//!    before it, and does not lengthen it.
//! 4. At most half of the endpoints are ejected at a time, or the share that `outlier` sets
//!    ([`max_ejected`]). Where most endpoints fail, the fault may be on our side, and the few that are
//!    left would get all requests. An endpoint beyond this limit to which connecting fails is
//!    selected last instead. After failed responses it is not even that, because otherwise clients
//!    could direct the requests to one endpoint.
//! 5. Each worker judges by its own requests.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock::Backoff;
use crate::upstream::settings::Outlier;

/// Failures in a row to connect that eject an endpoint.
const CONNECT_FAILURES: u32 = 3;
const FIRST_EJECTION: Duration = Duration::from_millis(500);
const MAX_EJECTION: Duration = Duration::from_secs(10);
const BACKOFF: Backoff = Backoff {
    first: FIRST_EJECTION,
    max: MAX_EJECTION,
};
/// The share that may be ejected without `outlier`.
const MAX_EJECTED_PERCENT: u8 = 50;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum FailureKind {
    /// No connection could be opened.
    Connect,
    /// A response failed.
    Response,
}

/// The most of this many endpoints that one worker may have ejected at a time, when one more fails.
///
/// One may always be ejected to which connecting fails: it serves nobody. A failed response never
/// ejects the last endpoint.
pub(in crate::upstream) fn max_ejected(
    endpoints: usize,
    outlier: Option<&Outlier>,
    kind: FailureKind,
) -> usize {
    let percent = outlier.map_or(MAX_EJECTED_PERCENT, |outlier| outlier.max_ejected_percent);
    let share = endpoints * usize::from(percent) / 100;
    let all_but_one = endpoints.saturating_sub(1);
    match kind {
        FailureKind::Connect => share.min(all_but_one).max(1),
        FailureKind::Response => share.max(1).min(all_but_one),
    }
}

/// What one worker has seen of the failures of one endpoint.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Ejection {
    connect_failures: Cell<u32>,
    response_failures: Cell<u32>,
    /// The last verdict, which holds for a while.
    verdict: Cell<Option<Verdict>>,
}

#[derive(Clone, Copy, Debug)]
struct Verdict {
    kind: FailureKind,
    until: Instant,
    /// False if too many other endpoints were ejected.
    is_ejected: bool,
}

impl Ejection {
    /// Whether the endpoint gets no requests.
    pub(in crate::upstream) fn is_ejected(&self, now: Instant) -> bool {
        self.verdict(now).is_some_and(|verdict| verdict.is_ejected)
    }

    /// Whether the endpoint gets no requests because its responses failed. It does serve some.
    pub(in crate::upstream) fn is_ejected_for_responses(&self, now: Instant) -> bool {
        self.verdict(now)
            .is_some_and(|verdict| verdict.is_ejected && verdict.kind == FailureKind::Response)
    }

    /// Whether the endpoint is ejected, or connecting to it fails and too many others are ejected. It is
    /// selected last then.
    pub(in crate::upstream) fn is_deprioritized(&self, now: Instant) -> bool {
        self.verdict(now)
            .is_some_and(|verdict| verdict.is_ejected || verdict.kind == FailureKind::Connect)
    }

    fn verdict(&self, now: Instant) -> Option<Verdict> {
        self.verdict.get().filter(|verdict| now < verdict.until)
    }

    /// Records a connection that was opened. Returns whether that ends an ejection.
    pub(in crate::upstream) fn record_connect(&self) -> bool {
        self.connect_failures.set(0);
        let verdict = self.verdict.get();
        let is_ended = verdict.is_some_and(|verdict| verdict.kind == FailureKind::Connect);
        if is_ended {
            self.verdict.set(None);
        }
        is_ended
    }

    /// Records a failure to connect. Returns for how long the endpoint is deprioritized, if this failure
    /// begins that; `may_eject` decides whether it is ejected meanwhile.
    pub(in crate::upstream) fn record_connect_failure(
        &self,
        now: Instant,
        may_eject: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        if self.verdict(now).is_some() {
            return None;
        }
        let failures = count(&self.connect_failures);
        let ejections = failures
            .checked_sub(CONNECT_FAILURES - 1)
            .filter(|n| *n > 0)?;
        let duration = BACKOFF.after(ejections);
        self.judge(FailureKind::Connect, now + duration, may_eject());
        Some(duration)
    }

    /// Records a response that succeeded.
    pub(in crate::upstream) fn record_response(&self, now: Instant) {
        if self.verdict(now).is_none() {
            self.response_failures.set(0);
        }
    }

    /// Records a response that failed. Returns the number of failures in a row, if the last one
    /// ejects the endpoint or, as `may_eject` says, would.
    pub(in crate::upstream) fn record_response_failure(
        &self,
        now: Instant,
        outlier: &Outlier,
        may_eject: impl FnOnce() -> bool,
    ) -> Option<u32> {
        if self.verdict(now).is_some() {
            return None;
        }
        let failures = count(&self.response_failures);
        if failures < outlier.consecutive {
            return None;
        }
        self.judge(
            FailureKind::Response,
            now + outlier.ejection_time,
            may_eject(),
        );
        Some(failures)
    }

    fn judge(&self, kind: FailureKind, until: Instant, is_ejected: bool) {
        self.verdict.set(Some(Verdict {
            kind,
            until,
            is_ejected,
        }));
    }
}

fn count(failures: &Cell<u32>) -> u32 {
    failures.set(failures.get().saturating_add(1));
    failures.get()
}

#[cfg(test)]
mod tests;

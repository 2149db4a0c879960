//! Failures of one authorization server, for the log and readiness: of introspection, of JWKS fetches.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::report::FailuresReport;
use crate::clock;
use crate::sync::lock;

/// Requests may fail a thousand times a second. A new error is logged at most ten times a second, the
/// same one every ten seconds.
const NEW_FAILURE_INTERVAL: Duration = Duration::from_millis(100);
const SAME_FAILURE_INTERVAL: Duration = Duration::from_secs(10);

/// An outage is over once no request has failed for this time: a server that fails every other request
/// has not recovered.
const RECOVERED_AFTER: Duration = Duration::from_secs(1);

/// Requests to one server that failed.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since the last outage was over.
    count: u64,
    /// Since the last one that succeeded.
    in_a_row: u64,
    last: Option<Failure>,
    logged: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    error: String,
}

impl Failures {
    /// Counts a failure. If a log line is due, returns how many there were since the last recovery.
    pub(super) fn record(&self, error: String) -> Option<u64> {
        let (mut state, now) = (lock(&self.0), clock::now());
        state.count += 1;
        state.in_a_row += 1;
        let is_due = state.logged.as_ref().is_none_or(|logged| {
            let interval = if logged.error == error {
                SAME_FAILURE_INTERVAL
            } else {
                NEW_FAILURE_INTERVAL
            };
            now - logged.at >= interval
        });
        if is_due {
            state.logged = Some(Failure {
                at: now,
                error: error.clone(),
            });
        }
        state.last = Some(Failure { at: now, error });
        is_due.then_some(state.count)
    }

    /// Notes a success. Returns whether it ends an outage.
    pub(super) fn record_success(&self) -> bool {
        let mut state = lock(&self.0);
        state.in_a_row = 0;
        let is_over = state
            .last
            .as_ref()
            .is_some_and(|last| clock::since(last.at) >= RECOVERED_AFTER);
        if is_over {
            *state = State::default();
        }
        is_over
    }

    /// The failures since the last success; `None` after a success.
    pub(super) fn report(&self) -> Option<FailuresReport> {
        let state = lock(&self.0);
        let last = state.last.as_ref().filter(|_| state.in_a_row > 0)?;
        Some(FailuresReport {
            count: state.in_a_row,
            since_last: clock::since(last.at),
            last_error: last.error.clone(),
        })
    }
}

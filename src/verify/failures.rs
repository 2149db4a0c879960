//! What the log tells of questions that fail.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What was told of failures. Asking may fail a thousand times a second: the same is told once a second, and something new
/// ten times at the most.
#[derive(Default)]
pub(super) struct Failures(Mutex<Told>);

#[derive(Default)]
struct Told {
    failures: u64,
    last: Option<(Instant, String)>,
}

impl Failures {
    // How many there were so far, where this one is to be told.
    pub(super) fn to_tell(&self, text: String) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.failures = told.failures.saturating_add(1);
        let is_due = told
            .last
            .as_ref()
            .is_none_or(|(at, last)| at.elapsed() >= Duration::from_millis(if *last == text { 1000 } else { 100 }));
        if is_due {
            told.last = Some((Instant::now(), text));
        }
        is_due.then_some(told.failures)
    }

    // Told once the server has been well for a second: where it answers one question and not the next, it is not.
    pub(super) fn is_over(&self) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = told.last.as_ref().is_some_and(|(at, _)| at.elapsed() >= Duration::from_secs(1));
        if over {
            *told = Told::default();
        }
        over
    }
}

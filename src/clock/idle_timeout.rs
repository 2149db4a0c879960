//! A timeout for operations that make no progress.

use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Deadline, Ticker};

/// Passes when there was no progress for a time. Most operations never stall, so it takes an entry
/// in the table of deadlines only at the first stall.
pub struct IdleTimeout {
    ticker: Rc<Ticker>,
    after: Duration,
    deadline: Option<Deadline>,
    is_waiting: bool,
}

impl IdleTimeout {
    /// One that passes after `after` without progress, up to two ticks late.
    #[must_use]
    pub fn new(ticker: &Rc<Ticker>, after: Duration) -> Self {
        Self {
            ticker: Rc::clone(ticker),
            after,
            deadline: None,
            is_waiting: false,
        }
    }

    /// Call it when there is no progress. Ready when that has lasted too long; the task is woken
    /// then.
    pub fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.get_or_insert_with(|| self.ticker.deadline());
        if !mem::replace(&mut self.is_waiting, true) {
            deadline.arm(self.after);
        }
        deadline.poll_passed(context)
    }

    /// There was progress: the time starts again.
    pub fn record_progress(&mut self) {
        if mem::replace(&mut self.is_waiting, false)
            && let Some(deadline) = &self.deadline
        {
            deadline.disarm();
        }
    }

    /// Whether there was no progress since the last poll.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }
}

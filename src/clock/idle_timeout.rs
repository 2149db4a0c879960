//! An end to the waiting for a peer that takes nothing.

use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::{Deadline, Ticker};

/// Passes when nothing has moved for so long. It is made for what hardly ever stalls: before the first time it takes no
/// place among the deadlines.
pub struct IdleTimeout {
    ticker: Rc<Ticker>,
    after: Duration,
    deadline: Option<Deadline>,
    is_waiting: bool,
}

impl IdleTimeout {
    /// One that passes when nothing has moved for `after`, give or take a tick.
    #[must_use]
    pub fn new(ticker: &Rc<Ticker>, after: Duration) -> Self {
        Self {
            ticker: Rc::clone(ticker),
            after,
            deadline: None,
            is_waiting: false,
        }
    }

    /// Nothing moves. Ready when that has been so for too long; the task is woken then.
    pub fn poll_passed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let deadline = self.deadline.get_or_insert_with(|| self.ticker.deadline());
        if !mem::replace(&mut self.is_waiting, true) {
            deadline.arm(self.after);
        }
        deadline.poll_passed(context)
    }

    /// Something has moved.
    pub fn moved(&mut self) {
        if mem::replace(&mut self.is_waiting, false)
            && let Some(deadline) = &self.deadline
        {
            deadline.disarm();
        }
    }

    /// Whether nothing has moved since it was last waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }
}

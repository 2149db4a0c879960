//! Time-outs by the thousand, at the price of a store each.
//!
//! A proxied request passes half a dozen time-outs and nearly always beats them all. A timer for each would be made and
//! thrown away unused. Here a time-out is a number in a table, looked over once a tick: arming and disarming it are a
//! store each, and it ends at most two ticks late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Clock;
use crate::oauth::UnixTime;

/// How often a [`Ticker`] looks over its deadlines: what a time-out may be late, and the coarseness of its clock.
pub const TICK: Duration = Duration::from_millis(50);

/// One worker's clock and its table of deadlines.
pub struct Ticker {
    clock: Clock,
    now: Cell<Instant>,
    deadlines: RefCell<Table>,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    free: Vec<usize>,
}

struct Entry {
    due: Due,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    Never,
    At(Instant),
    Passed(Instant),
}

/// One time-out of one worker; it leaves the table when dropped.
pub struct Deadline {
    ticker: Rc<Ticker>,
    index: usize,
}

impl Ticker {
    /// A ticker that stands still until [`run`](Self::run) is polled.
    #[must_use]
    pub fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            clock,
            now: Cell::new(Instant::now()),
            deadlines: RefCell::default(),
        })
    }

    /// Ticks for ever, calling `each_tick` after the deadlines were looked over. Belongs in a task of the worker.
    pub async fn run(self: Rc<Self>, mut each_tick: impl FnMut()) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.tick(Instant::now());
            each_tick();
        }
    }

    /// The monotonic time of the last tick.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// The wall time.
    #[must_use]
    pub fn wall(&self) -> UnixTime {
        self.clock.now()
    }

    /// The clock of the wall time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A new deadline, not armed.
    #[must_use]
    pub fn deadline(self: &Rc<Self>) -> Deadline {
        let mut table = self.deadlines.borrow_mut();
        let entry = Entry {
            due: Due::Never,
            waker: None,
        };
        let index = match table.free.pop() {
            Some(index) => {
                table.entries[index] = entry;
                index
            }
            None => {
                table.entries.push(entry);
                table.entries.len() - 1
            }
        };
        Deadline {
            ticker: Rc::clone(self),
            index,
        }
    }

    /// Wakes every task that waits beside a deadline, so that it notices what changed for all of them: that the worker
    /// drains, say.
    pub fn wake_all(&self) {
        let wakers: Vec<Waker> = self
            .deadlines
            .borrow_mut()
            .entries
            .iter_mut()
            .filter_map(|entry| entry.waker.take())
            .collect();
        // Outside the borrow: a waker may run code that comes back here.
        wakers.into_iter().for_each(Waker::wake);
    }

    fn tick(&self, now: Instant) {
        self.now.set(now);
        let mut due = Vec::new();
        for entry in &mut self.deadlines.borrow_mut().entries {
            match entry.due {
                Due::At(at) if at <= now => {
                    entry.due = Due::Passed(at);
                    due.extend(entry.waker.take());
                }
                Due::Never | Due::At(_) | Due::Passed(_) => {}
            }
        }
        due.into_iter().for_each(Waker::wake);
    }
}

impl Deadline {
    /// Lets it pass `after` from now, give or take [`TICK`]; what was armed before is forgotten.
    pub fn arm(&self, after: Duration) {
        // The coarse clock lags by up to a tick: a tick more, and no deadline ever passes early.
        let due = self
            .ticker
            .now
            .get()
            .checked_add(after + TICK)
            .map_or(Due::Never, Due::At);
        self.ticker.deadlines.borrow_mut().entries[self.index].due = due;
    }

    /// The monotonic time of the last tick.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.ticker.now()
    }

    /// Takes it back.
    pub fn disarm(&self) {
        self.ticker.deadlines.borrow_mut().entries[self.index].due = Due::Never;
    }

    /// When it passes or has passed, if it is armed.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        match self.ticker.deadlines.borrow().entries[self.index].due {
            Due::At(at) | Due::Passed(at) => Some(at),
            Due::Never => None,
        }
    }

    /// Wakes the task that waits beside it, so that it notices what else has changed.
    pub fn wake(&self) {
        let waker = self.ticker.deadlines.borrow_mut().entries[self.index]
            .waker
            .take();
        // Outside the borrow: a waker may run code that comes back here.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once it has passed. Until then the task is woken when it does, and at [`Ticker::wake_all`].
    pub fn poll_passed(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut table = self.ticker.deadlines.borrow_mut();
        let entry = &mut table.entries[self.index];
        if let Due::Passed(_) = entry.due {
            return Poll::Ready(());
        }
        match &mut entry.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => entry.waker = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let mut table = self.ticker.deadlines.borrow_mut();
        table.entries[self.index] = Entry {
            due: Due::Never,
            waker: None,
        };
        table.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn passed(deadline: &Deadline) -> bool {
        deadline
            .poll_passed(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn deadline_passes_at_the_first_tick_after_its_time_and_never_early() {
        let ticker = Ticker::new(Clock::system());
        let start = ticker.now();
        let deadline = ticker.deadline();
        deadline.arm(Duration::from_millis(100));
        ticker.tick(start + Duration::from_millis(100));
        assert!(!passed(&deadline));
        ticker.tick(start + Duration::from_millis(100) + TICK);
        assert!(passed(&deadline));
    }

    #[test]
    fn disarmed_and_rearmed_deadlines_forget_their_old_time() {
        let ticker = Ticker::new(Clock::system());
        let start = ticker.now();
        let (disarmed, rearmed) = (ticker.deadline(), ticker.deadline());
        disarmed.arm(Duration::from_secs(1));
        rearmed.arm(Duration::from_secs(1));
        disarmed.disarm();
        rearmed.arm(Duration::from_secs(9));
        ticker.tick(start + Duration::from_secs(5));
        assert!(!passed(&disarmed) && !passed(&rearmed));
    }

    #[test]
    fn dropped_deadline_leaves_its_place_to_the_next() {
        let ticker = Ticker::new(Clock::system());
        let start = ticker.now();
        let first = ticker.deadline();
        first.arm(Duration::ZERO);
        drop(first);
        let second = ticker.deadline();
        ticker.tick(start + Duration::from_secs(1));
        assert!(!passed(&second));
        assert_eq!(ticker.deadlines.borrow().entries.len(), 1);
    }

    #[test]
    fn waiting_task_is_woken_when_its_deadline_passes() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime starts");
        runtime.block_on(async {
            let ticker = Ticker::new(Clock::system());
            let deadline = ticker.deadline();
            deadline.arm(Duration::from_millis(1));
            tokio::select! {
                () = Rc::clone(&ticker).run(|| ()) => unreachable!("a ticker runs for ever"),
                () = poll_fn(|context| deadline.poll_passed(context)) => {}
            }
        });
    }
}

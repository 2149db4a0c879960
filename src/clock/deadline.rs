//! Timeouts that cost a store each.
//!
//! A request arms half a dozen timeouts, and nearly always ends before any of them passes. A timer
//! for each would be created for nothing. Here a timeout is an entry of a table that is scanned
//! once a tick. Arming and disarming it are one store each, and it passes at most two ticks late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::Clock;
use crate::oauth::UnixTime;

/// How often a [`Ticker`] scans its deadlines and reads its clock.
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

/// One timeout of one worker. Dropping it frees its entry of the table.
pub struct Deadline {
    ticker: Rc<Ticker>,
    index: usize,
}

impl Ticker {
    /// A ticker that does not tick before [`run`](Self::run) is polled.
    #[must_use]
    pub fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            clock,
            now: Cell::new(Instant::now()),
            deadlines: RefCell::default(),
        })
    }

    /// Ticks for ever, and calls `each_tick` after each scan. Run it in a task of the worker.
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

    /// Wakes every task that waits for a deadline, so that it notices a change for all of them,
    /// such as a drain.
    pub fn wake_all(&self) {
        let wakers: Vec<Waker> = self
            .deadlines
            .borrow_mut()
            .entries
            .iter_mut()
            .filter_map(|entry| entry.waker.take())
            .collect();
        // After the borrow: a waker may call this ticker.
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
    /// Arms it to pass `after` from now, up to two [`TICK`]s late. A second call replaces the time.
    pub fn arm(&self, after: Duration) {
        // The clock of the ticker lags by up to a tick. One more tick, and no deadline passes
        // early.
        let due = self
            .ticker
            .now
            .get()
            .checked_add(after + TICK)
            .map_or(Due::Never, Due::At);
        self.ticker.deadlines.borrow_mut().entries[self.index].due = due;
    }

    /// Disarms it.
    pub fn disarm(&self) {
        self.ticker.deadlines.borrow_mut().entries[self.index].due = Due::Never;
    }

    /// When it passes or passed; `None` if it is not armed.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        match self.ticker.deadlines.borrow().entries[self.index].due {
            Due::At(at) | Due::Passed(at) => Some(at),
            Due::Never => None,
        }
    }

    /// Wakes the task that waits for it, so that it notices another change.
    pub fn wake(&self) {
        let waker = self.ticker.deadlines.borrow_mut().entries[self.index]
            .waker
            .take();
        // After the borrow: a waker may call this ticker.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready once it has passed. Registers the task to be woken then, and by [`wake`](Self::wake)
    /// and [`Ticker::wake_all`].
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
    fn disarmed_or_rearmed_deadline_does_not_pass_at_its_old_time() {
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
    fn dropped_deadline_frees_its_entry() {
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

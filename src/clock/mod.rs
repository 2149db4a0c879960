//! The only room that reads a clock.
//!
//! Code that judges takes the time as an argument. [`Clock`] is the wall time that tokens are
//! checked against; tests set it by hand. A [`Ticker`] belongs to one worker: it reads the
//! monotonic clock once a tick and holds every [`Deadline`] of that worker, so that a timeout costs
//! neither a system call nor a timer. An [`IdleTimeout`] passes when an operation makes no
//! progress.

mod background;
mod backoff;
mod deadline;
mod http_date;
mod idle_timeout;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::oauth::UnixTime;

pub use background::repeat_while_alive;
pub use backoff::{Backoff, jitter};
pub use deadline::{Deadline, TICK, Ticker};
pub use http_date::{ResponseDate, http_date};
pub use idle_timeout::IdleTimeout;

/// The monotonic time now.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The time since `at`; zero if `at` is in the future.
#[must_use]
pub fn since(at: Instant) -> Duration {
    now().saturating_duration_since(at)
}

/// The wall time of this machine, with fractions of a second.
#[must_use]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// A clock of wall time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    ByHand(Arc<AtomicI64>),
}

impl Clock {
    /// The clock of this machine.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that changes only when it is [`set`](Self::set). Clones share its time.
    #[must_use]
    pub fn by_hand(now: UnixTime) -> Self {
        Self(Source::ByHand(Arc::new(AtomicI64::new(now.as_seconds()))))
    }

    /// Sets a clock that was created [`by_hand`](Self::by_hand). The system clock is not changed.
    pub fn set(&self, now: UnixTime) {
        match &self.0 {
            Source::System => {}
            Source::ByHand(seconds) => seconds.store(now.as_seconds(), Ordering::Relaxed),
        }
    }

    /// The time now. A time before 1970 counts as 1970.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        match &self.0 {
            Source::System => {
                let since_epoch = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                UnixTime::from_seconds(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX))
            }
            Source::ByHand(seconds) => UnixTime::from_seconds(seconds.load(Ordering::Relaxed)),
        }
    }
}

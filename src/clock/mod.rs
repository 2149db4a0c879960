//! The only room that reads a clock.
//!
//! Everything that judges takes the time as an argument. [`Clock`] tells the wall time that tokens are judged by;
//! tests set theirs by hand. A [`Ticker`] belongs to one worker: it reads both clocks once a tick and keeps every
//! [`Deadline`] of that worker, so that neither a token's expiry nor a time-out costs a system call or a timer. A
//! [`IdleTimeout`] is the end of the waiting for a peer that takes nothing.

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

/// How long ago `at` was; nothing if it is still to come.
#[must_use]
pub fn since(at: Instant) -> Duration {
    now().saturating_duration_since(at)
}

/// The machine's wall time, with its fractions of a second.
#[must_use]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Tells the wall time.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    ByHand(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's own clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is [`set`](Self::set). Its clones show the same time.
    #[must_use]
    pub fn by_hand(now: UnixTime) -> Self {
        Self(Source::ByHand(Arc::new(AtomicI64::new(now.as_seconds()))))
    }

    /// Sets a clock that was made [`by_hand`](Self::by_hand); the machine's own is left as it is.
    pub fn set(&self, now: UnixTime) {
        match &self.0 {
            Source::System => {}
            Source::ByHand(seconds) => seconds.store(now.as_seconds(), Ordering::Relaxed),
        }
    }

    /// The time now. A machine whose clock stands before 1970 is taken to be at 1970.
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

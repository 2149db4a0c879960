//! HTTP dates, and the `Date` header of responses.
//!
//! hyper writes a `Date` itself, and renews it when the clock of the machine reaches the next
//! second. After that clock steps back, hyper's date does not change until the clock has caught up.
//! Setting our own `Date` costs 2 % of the instructions of a request, so it is set only while
//! hyper's is wrong.

use std::cell::{Cell, RefCell};
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

use super::Clock;
use crate::oauth::UnixTime;

/// Formats a time as an HTTP date (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(time: UnixTime) -> HeaderValue {
    let since_epoch = Duration::from_secs(u64::try_from(time.as_seconds()).unwrap_or_default());
    // An HTTP date is ASCII.
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + since_epoch))
        .unwrap_or(HeaderValue::from_static(""))
}

/// The `Date` of one worker's responses.
#[derive(Debug)]
pub struct ResponseDate {
    /// The last formatted date: one for each second.
    formatted: RefCell<(UnixTime, HeaderValue)>,
    /// The latest time that the clock of the machine has shown. hyper's date is not behind it.
    latest: Cell<UnixTime>,
    is_hyper_date_right: Cell<bool>,
}

impl ResponseDate {
    /// Starts with the time of a clock.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let (machine, now) = (Clock::system().now(), clock.now());
        let formatted = RefCell::new((now, http_date(now)));
        let date = Self {
            formatted,
            latest: Cell::new(machine),
            is_hyper_date_right: Cell::new(false),
        };
        date.compare(machine, now);
        date
    }

    /// Compares hyper's date with a clock. Call it at each tick.
    pub fn tick(&self, clock: &Clock) {
        self.compare(Clock::system().now(), clock.now());
    }

    /// Whether hyper's date is right.
    #[must_use]
    pub fn is_hyper_date_right(&self) -> bool {
        self.is_hyper_date_right.get()
    }

    /// The `Date` for a time, which may be earlier than the one before.
    #[must_use]
    pub fn at(&self, time: UnixTime) -> HeaderValue {
        let mut formatted = self.formatted.borrow_mut();
        if formatted.0 != time {
            *formatted = (time, http_date(time));
        }
        formatted.1.clone()
    }

    fn compare(&self, machine: UnixTime, now: UnixTime) {
        self.latest.set(self.latest.get().max(machine));
        self.is_hyper_date_right.set(self.latest.get() == now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypers_date_is_wrong_after_the_clock_steps_back_until_it_has_caught_up() {
        let date = ResponseDate::new(&Clock::by_hand(UnixTime::from_seconds(0)));
        assert!(
            !date.is_hyper_date_right(),
            "a clock that is not the machine's"
        );
        let begin = Clock::system().now().as_seconds() + 1000;
        let is_right_at = |seconds| {
            let now = UnixTime::from_seconds(begin + seconds);
            date.compare(now, now);
            date.is_hyper_date_right()
        };
        assert!(is_right_at(0) && is_right_at(1));
        assert!(!is_right_at(-10) && !is_right_at(-9) && !is_right_at(0));
        assert!(is_right_at(1) && is_right_at(2));
    }

    #[test]
    fn date_follows_the_clock_forward_and_back() {
        let date = ResponseDate::new(&Clock::system());
        for (seconds, text) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:38 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            assert_eq!(date.at(UnixTime::from_seconds(seconds)), text);
        }
    }
}

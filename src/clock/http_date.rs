//! The time as HTTP tells it.
//!
//! hyper writes a `Date` of its own, which it renews when the machine's clock has passed the next second. When that clock
//! steps back, the date stands still until the clock has caught up. To write one into each response costs 2 % of the
//! instructions of a request, so that is done only while hyper's is wrong.

use std::cell::{Cell, RefCell};
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

use super::Clock;
use crate::oauth::UnixTime;

/// A time as `Date` tells it (RFC 9110 §5.6.7).
#[must_use]
pub fn http_date(time: UnixTime) -> HeaderValue {
    let since_epoch = Duration::from_secs(u64::try_from(time.as_seconds()).unwrap_or_default());
    // What is written there is ASCII.
    HeaderValue::from_str(&httpdate::fmt_http_date(UNIX_EPOCH + since_epoch))
        .unwrap_or(HeaderValue::from_static(""))
}

/// The `Date` of one worker's responses.
#[derive(Debug)]
pub struct ResponseDate {
    /// Written once a second.
    written: RefCell<(UnixTime, HeaderValue)>,
    /// The latest time that the machine's clock has shown, which is at least what hyper tells.
    latest: Cell<UnixTime>,
    is_hyper_right: Cell<bool>,
}

impl ResponseDate {
    /// Begins with the time of a clock.
    #[must_use]
    pub fn new(clock: &Clock) -> Self {
        let (machine, now) = (Clock::system().now(), clock.now());
        let written = RefCell::new((now, http_date(now)));
        let date = Self {
            written,
            latest: Cell::new(machine),
            is_hyper_right: Cell::new(false),
        };
        date.compare(machine, now);
        date
    }

    /// Looks whether hyper's date is that of a clock; to be called often.
    pub fn tick(&self, clock: &Clock) {
        self.compare(Clock::system().now(), clock.now());
    }

    /// Whether hyper's date is right.
    #[must_use]
    pub fn is_hyper_right(&self) -> bool {
        self.is_hyper_right.get()
    }

    /// A time as `Date` tells it, whether it is later or earlier than the one before.
    #[must_use]
    pub fn at(&self, time: UnixTime) -> HeaderValue {
        let mut written = self.written.borrow_mut();
        if written.0 != time {
            *written = (time, http_date(time));
        }
        written.1.clone()
    }

    fn compare(&self, machine: UnixTime, now: UnixTime) {
        self.latest.set(self.latest.get().max(machine));
        self.is_hyper_right.set(self.latest.get() == now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hypers_date_is_wrong_from_when_the_clock_steps_back_until_it_has_caught_up() {
        let date = ResponseDate::new(&Clock::by_hand(UnixTime::from_seconds(0)));
        assert!(!date.is_hyper_right(), "a clock that is not the machine's");
        let begin = Clock::system().now().as_seconds() + 1000;
        let is_right_at = |seconds| {
            let now = UnixTime::from_seconds(begin + seconds);
            date.compare(now, now);
            date.is_hyper_right()
        };
        assert!(is_right_at(0) && is_right_at(1));
        assert!(!is_right_at(-10) && !is_right_at(-9) && !is_right_at(0));
        assert!(is_right_at(1) && is_right_at(2));
    }

    #[test]
    fn date_is_written_anew_for_each_second_whichever_way() {
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

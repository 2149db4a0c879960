//! Timestamps of log lines (RFC 3339), in UTC with milliseconds.

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use crate::clock;

/// The last second of the year 9999. Later years need more than four digits; they are shown as this one.
const LAST_SECOND: u64 = 253_402_300_799;
/// The length of `2026-11-21T13:46:38.123Z`.
const LENGTH: usize = 24;

/// Formats timestamps. The date is formatted once a second, the milliseconds each time.
#[derive(Debug)]
pub(super) struct Timestamps {
    second: u64,
    text: [u8; LENGTH],
}

impl Default for Timestamps {
    fn default() -> Self {
        Self {
            second: 0,
            text: *b"1970-01-01T00:00:00.000Z",
        }
    }
}

impl Timestamps {
    /// The time now. A machine whose clock stands before 1970 is taken to be at 1970.
    pub(super) fn now(&mut self) -> &str {
        self.at(clock::system_time()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default())
    }

    fn at(&mut self, since_1970: Duration) -> &str {
        let second = since_1970.as_secs().min(LAST_SECOND);
        if second != self.second {
            self.second = second;
            self.write_second();
        }
        digits(&mut self.text[20..23], since_1970.subsec_millis());
        str::from_utf8(&self.text).unwrap_or_default()
    }

    fn write_second(&mut self) {
        let date = humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_secs(self.second));
        // Up to the last second the year has four digits, so the text fits.
        let _ = write!(&mut self.text[..], "{date}");
    }
}

fn digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_match_the_calendar() {
        let mut timestamps = Timestamps::default();
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_709_164_800, "2024-02-29T00:00:00"),
            (1_735_689_599, "2024-12-31T23:59:59"),
            (1_795_268_798, "2026-11-21T13:46:38"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            for millis in [0, 7, 123, 999] {
                let timestamp =
                    timestamps.at(Duration::from_secs(seconds) + Duration::from_millis(millis));
                assert_eq!(timestamp, format!("{expected}.{millis:03}Z"));
            }
        }
    }

    #[test]
    fn timestamps_match_those_of_another_library() {
        let mut timestamps = Timestamps::default();
        for day in (0..60_000).step_by(13) {
            let since_1970 = Duration::from_secs(day * 86_400 + day % 86_400);
            let http = httpdate::fmt_http_date(UNIX_EPOCH + since_1970);
            let (_, day, month, year, time) = {
                let mut words = http.split(' ');
                let mut next = || words.next().expect("five words");
                (next(), next(), next(), next(), next())
            };
            let months = [
                "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
            ];
            let month = months
                .iter()
                .position(|name| *name == month)
                .expect("a month")
                + 1;
            assert_eq!(
                timestamps.at(since_1970),
                format!("{year}-{month:02}-{day}T{time}.000Z")
            );
        }
    }
}

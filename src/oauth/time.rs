//! Time in tokens: whole seconds since 1970-01-01T00:00:00Z (RFC 7519 §2, NumericDate).

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999: HTTP dates have four digits for the year.
const LAST_DATE: i64 = 253_402_300_799;

/// A point in time in seconds since the Unix epoch, leap seconds ignored (RFC 7519 §2).
///
/// Arithmetic saturates: a token may claim any 64-bit time, and wrapping could make it valid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

impl UnixTime {
    /// The time that lies `seconds` after the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0
    }

    /// This time, later by the whole seconds of `span`.
    #[must_use]
    pub fn later_by(self, span: Duration) -> Self {
        Self(self.0.saturating_add(whole_seconds(span)))
    }

    /// This time, earlier by the whole seconds of `span`.
    #[must_use]
    pub fn earlier_by(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(whole_seconds(span)))
    }

    /// The time that has passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// As an HTTP date, or as seconds if it has none.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u64::try_from(self.0) {
            Ok(seconds) if self.0 <= LAST_DATE => f.write_str(&httpdate::fmt_http_date(
                UNIX_EPOCH + Duration::from_secs(seconds),
            )),
            Ok(_) | Err(_) => write!(f, "{} seconds after 1970", self.0),
        }
    }
}

impl fmt::Debug for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnixTime({})", self.0)
    }
}

fn whole_seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_without_a_date_is_written_in_seconds() {
        assert_eq!(
            UnixTime::from_seconds(i64::MAX).to_string(),
            "9223372036854775807 seconds after 1970"
        );
        assert_eq!(
            UnixTime::from_seconds(-1).to_string(),
            "-1 seconds after 1970"
        );
        assert_eq!(
            UnixTime::from_seconds(0).to_string(),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
    }

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let hour = Duration::from_secs(3600);
        let end = UnixTime::from_seconds(i64::MAX);
        assert_eq!(end.later_by(hour), end);
        let begin = UnixTime::from_seconds(i64::MIN);
        assert_eq!(begin.earlier_by(hour), begin);
        assert_eq!(begin.since(end), Duration::ZERO);
    }
}

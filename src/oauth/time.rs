//! Time as tokens write it: whole seconds since 1970-01-01T00:00:00Z (RFC 7519 §2, NumericDate).

use std::fmt;
use std::time::Duration;

/// A point in time in seconds since the Unix epoch, leap seconds ignored (RFC 7519 §2).
///
/// Arithmetic saturates: a token may claim any 64-bit time, and none may wrap round into validity.
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

    /// How long it is from `earlier` to this time; zero if `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
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
    fn arithmetic_saturates_instead_of_wrapping() {
        let hour = Duration::from_secs(3600);
        let end = UnixTime::from_seconds(i64::MAX);
        assert_eq!(end.later_by(hour), end);
        let begin = UnixTime::from_seconds(i64::MIN);
        assert_eq!(begin.earlier_by(hour), begin);
        assert_eq!(begin.since(end), Duration::ZERO);
    }
}

//! Times as people read them.

use std::time::{Duration, UNIX_EPOCH};

use crate::oauth::UnixTime;

/// The last second of the year 9999, beyond which a date has no agreed form.
const LAST_DATE: i64 = 253_402_300_799;

/// A point in time.
pub(super) fn at(time: UnixTime) -> String {
    match u64::try_from(time.as_seconds()) {
        Ok(seconds) if time.as_seconds() <= LAST_DATE => {
            httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
        }
        Ok(_) | Err(_) => format!("{} seconds after 1970", time.as_seconds()),
    }
}

/// How long it is; the two largest units will do.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(units.len() - 1);
    let shown = units[first..].iter().take(2).filter(|(count, _)| *count > 0 || seconds == 0);
    shown.map(|(count, unit)| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_their_two_largest_units() {
        for (seconds, told) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3599, "59 min 59 s"), (3600, "1 h"), (90_061, "1 d 1 h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), told);
        }
    }

    #[test]
    fn dates_are_told_as_far_as_they_have_a_form() {
        assert_eq!(at(UnixTime::from_seconds(i64::MAX)), "9223372036854775807 seconds after 1970");
        assert_eq!(at(UnixTime::from_seconds(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}

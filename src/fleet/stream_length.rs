//! How many messages the stream has at least, because this gateway has read them.
//!
//! If it has fewer, messages were lost: Redis began anew, or somebody removed them. Those who have
//! read them must publish them again, because the gateways that first published them may have
//! stopped.

use std::collections::VecDeque;
use std::time::Duration;

use crate::oauth::UnixTime;

/// 45 days. Later minutes count as the last one, and are forgotten with it.
const MAX_MINUTES: usize = 65_536;

/// Counts of messages by the minute in which they were added, oldest first.
#[derive(Debug, Default)]
pub(super) struct StreamLength {
    minutes: VecDeque<(u64, u64)>,
    total: u64,
}

impl StreamLength {
    /// A message with this ID was read.
    pub(super) fn read(&mut self, id: &str) {
        let time = id.split('-').next().and_then(|time| time.parse().ok());
        let minute = time.unwrap_or(0_u64) / 60_000;
        let is_full = self.minutes.len() == MAX_MINUTES;
        match self.minutes.back_mut() {
            Some((last, count)) if is_full || minute <= *last => *count += 1,
            Some(_) | None => self.minutes.push_back((minute, 1)),
        }
        self.total += 1;
    }

    /// The messages that were read and are not older than `retention`.
    pub(super) fn at_least(&mut self, retention: Duration, now: UnixTime) -> u64 {
        let now = u64::try_from(now.as_seconds()).unwrap_or(0);
        let oldest = now.saturating_sub(retention.as_secs());
        while let Some((minute, count)) = self.minutes.front()
            && *minute * 60 < oldest
        {
            self.total -= count;
            self.minutes.pop_front();
        }
        self.total
    }

    /// The stream is read again.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    #[test]
    fn messages_count_until_they_are_older_than_the_retention() {
        let mut length = StreamLength::default();
        for id in ["6000000-0", "6000000-1", "6059999-0", "6060000-0"] {
            length.read(id);
        }
        assert_eq!(length.at_least(HOUR, at(6000 + 3600)), 4);
        assert_eq!(length.at_least(HOUR, at(6001 + 3600)), 1);
        assert_eq!(length.at_least(HOUR, at(100_000)), 0);
        length.read("100000000-0");
        assert_eq!(length.at_least(HOUR, at(100_000)), 1);
        length.clear();
        assert_eq!(length.at_least(HOUR, at(100_000)), 0);
    }

    #[test]
    fn minutes_are_bounded_and_ids_may_be_anything() {
        let mut length = StreamLength::default();
        for index in 0..MAX_MINUTES as u64 + 10 {
            length.read(&format!("{}-0", index * 60_000));
        }
        length.read(&format!("{}-{}", u64::MAX, u64::MAX));
        length.read("0-0");
        assert_eq!(length.minutes.len(), MAX_MINUTES);
        assert_eq!(length.at_least(HOUR, at(0)), MAX_MINUTES as u64 + 12);
    }
}

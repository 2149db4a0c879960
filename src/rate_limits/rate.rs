//! How fast a bucket refills, and how much it holds.

use std::time::{Duration, Instant};

/// The longest time that an empty bucket may take to refill. Nanoseconds of it fit in 64 bits many
/// times over.
pub const MAX_REFILL_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How fast a bucket refills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds in which a bucket regains one request.
    pub(super) interval: u64,
    /// Nanoseconds in which an empty bucket refills.
    pub(super) capacity: u64,
}

/// What a bucket holds, after a request was counted or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// How many requests are possible now.
    pub(super) remaining: u64,
    /// Nanoseconds until it is full.
    pub(super) full_in: u64,
    /// Nanoseconds until one request is possible; 0 if one is now.
    pub(super) wait: u64,
}

impl Rate {
    /// `requests` in each `per`, and `burst` at once. `None` if an empty bucket would take longer than
    /// [`MAX_REFILL_TIME`] to refill.
    #[must_use]
    pub fn new(requests: u32, per: Duration, burst: u32) -> Option<Self> {
        let interval = per.as_nanos() / u128::from(requests.max(1));
        let capacity = interval * u128::from(burst.max(1));
        if capacity > MAX_REFILL_TIME.as_nanos() {
            return None;
        }
        Some(Self {
            interval: u64::try_from(interval).ok()?.max(1),
            capacity: u64::try_from(capacity).ok()?.max(1),
        })
    }

    /// `requests` in each second, and `burst` at once. An empty bucket refills within 137 years, so its
    /// nanoseconds fit.
    pub(super) fn per_second(requests: u32, burst: u32) -> Self {
        let interval = 1_000_000_000 / u64::from(requests.max(1));
        Self {
            interval: interval.max(1),
            capacity: interval.max(1) * u64::from(burst.max(1)),
        }
    }

    /// The time in which an empty bucket refills.
    #[must_use]
    pub fn refill_time(self) -> Duration {
        Duration::from_nanos(self.capacity)
    }

    /// One of `parts` of it: as much at once where that is possible, and refilled more slowly.
    pub(super) fn divided_by(self, parts: u64) -> Self {
        // Sums with a time, which is less than half of it, do not overflow.
        let interval = self.interval.saturating_mul(parts).min(u64::MAX / 4);
        Self {
            interval,
            // At least one request.
            capacity: self.capacity.max(interval),
        }
    }
}

/// A time as buckets have it.
pub(super) fn nanos_since(created: Instant, now: Instant) -> u64 {
    let since = now.saturating_duration_since(created);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX / 2)
}

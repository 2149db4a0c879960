//! A rate that each client may reach, with a fixed amount of memory.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clients with the same remainder share a bucket. Nobody can choose whom to share with: the hash has
/// a secret.
const BUCKETS: usize = 4096;

/// Token buckets of clients (GCRA): the time at which each will be full.
#[derive(Debug)]
pub(crate) struct ClientRates {
    /// Nanoseconds for one use.
    interval: u64,
    /// Nanoseconds in which an empty bucket refills.
    capacity: u64,
    created: Instant,
    hasher: RandomState,
    full_at: Box<[AtomicU64]>,
}

impl ClientRates {
    /// Up to `burst` uses at once, and `per_second` on average.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let interval = 1_000_000_000 / u64::from(per_second.max(1));
        Self {
            interval,
            capacity: interval * u64::from(burst.max(1)),
            created: now,
            hasher: RandomState::new(),
            full_at: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts one use by a client, a [`client_network`](crate::client_limits::client_network).
    ///
    /// # Errors
    /// How long the client must wait.
    pub(crate) fn count(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.created).as_nanos();
        let now = u64::try_from(since).unwrap_or(u64::MAX / 2);
        let bucket = self.hasher.hash_one(client) as usize % BUCKETS;
        let counted = |full_at: u64| {
            let full_at = full_at.max(now) + self.interval;
            (full_at - now <= self.capacity).then_some(full_at)
        };
        let updated =
            self.full_at[bucket].try_update(Ordering::Relaxed, Ordering::Relaxed, counted);
        updated.map(|_| ()).map_err(|full_at| {
            Duration::from_nanos((full_at + self.interval).saturating_sub(now + self.capacity))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_may_use_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let rates = ClientRates::new(10, 3, start);
        let count = |client: u8, millis: u64| {
            let at = start + Duration::from_millis(millis);
            rates.count(IpAddr::from([10, 0, 0, client]), at)
        };
        for _ in 0..3 {
            assert_eq!(count(1, 0), Ok(()));
        }
        assert_eq!(count(1, 0), Err(Duration::from_millis(100)));
        assert_eq!(count(1, 99), Err(Duration::from_millis(1)));
        assert_eq!(count(1, 100), Ok(()));
        assert_eq!(count(1, 100), Err(Duration::from_millis(100)));
        assert_eq!(count(1, 10_000), Ok(()));
    }

    #[test]
    fn flood_of_one_client_leaves_others_their_rate() {
        let start = Instant::now();
        let rates = ClientRates::new(10, 3, start);
        while rates.count(IpAddr::from([10, 0, 0, 1]), start).is_ok() {}
        let others = (0..1000_u32).map(|number| IpAddr::from((number + 1).to_be_bytes()));
        let refused = others
            .filter(|one| rates.count(*one, start).is_err())
            .count();
        // Those that share its bucket, by chance.
        assert!(refused < 10, "{refused}");
    }
}

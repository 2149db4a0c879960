//! A rate that each client may reach, with a fixed amount of memory.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use super::rate::{Rate, nanos_since};

/// Clients with the same remainder share a bucket. Nobody can choose whom to share with: the hash has
/// a secret.
const BUCKETS: usize = 4096;

/// Token buckets of clients.
#[derive(Debug)]
pub(crate) struct ClientRates {
    rate: Rate,
    created: Instant,
    hasher: RandomState,
    buckets: Box<[Bucket]>,
}

impl ClientRates {
    /// Up to `burst` uses at once, and `per_second` on average.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self {
            rate: Rate::per_second(per_second, burst),
            created: now,
            hasher: RandomState::new(),
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
        }
    }

    /// Counts one use by a client, a [`client_network`](crate::client_limits::client_network).
    ///
    /// # Errors
    /// How long the client must wait.
    pub(crate) fn count(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        let bucket = &self.buckets[self.hasher.hash_one(client) as usize % BUCKETS];
        let taken = bucket.take(self.rate, nanos_since(self.created, now));
        taken
            .map(drop)
            .map_err(|level| Duration::from_nanos(level.wait))
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

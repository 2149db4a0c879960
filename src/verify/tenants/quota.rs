//! How many new tenants tokens may name.
//!
//! Naming a tenant costs a client nothing, and the gateway a fetch. So new tenants are limited for
//! each client and for the issuer. Tenants with a verified token are not new and need no quota.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// New tenants of one client within the [`WINDOW`].
const MAX_PER_CLIENT: usize = 10;
/// New tenants of all clients within the [`WINDOW`].
const MAX_PER_ISSUER: usize = 100;
const WINDOW: Duration = Duration::from_secs(60);

/// The new tenants within the last minute: when, and of which client. At most [`MAX_PER_ISSUER`].
#[derive(Debug, Default)]
pub(super) struct Quota(VecDeque<(Instant, IpAddr)>);

/// A limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    /// The limit.
    pub(super) bound: &'static str,
    /// When there is room again.
    pub(super) retry_after: Duration,
}

impl Quota {
    /// Whether a client, a [`client_network`](crate::client_limits::client_network), may name one
    /// more.
    ///
    /// # Errors
    /// The limit that is reached.
    pub(super) fn check(&mut self, client: IpAddr, now: Instant) -> Result<(), Exceeded> {
        let is_over = |(at, _): &(Instant, IpAddr)| now.saturating_duration_since(*at) >= WINDOW;
        while self.0.front().is_some_and(is_over) {
            self.0.pop_front();
        }
        let exceeded = |bound, oldest: Instant| Exceeded {
            bound,
            retry_after: (oldest + WINDOW).saturating_duration_since(now),
        };
        if let Some((oldest, _)) = self.0.front().filter(|_| self.0.len() >= MAX_PER_ISSUER) {
            let bound = "new tenants (at most 100 within a minute)";
            return Err(exceeded(bound, *oldest));
        }
        let mut own = self.0.iter().filter(|(_, one)| *one == client);
        let count = own.clone().count();
        match own.next().filter(|_| count >= MAX_PER_CLIENT) {
            Some((oldest, _)) => {
                let bound = "new tenants of one client (at most 10 within a minute)";
                Err(exceeded(bound, *oldest))
            }
            None => Ok(()),
        }
    }

    /// Counts a new tenant that [`check`](Self::check) allowed.
    pub(super) fn count(&mut self, client: IpAddr, now: Instant) {
        self.0.push_back((now, client));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn client(number: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, number])
    }

    #[test]
    fn client_and_issuer_have_a_limit_within_any_minute() {
        let (mut quota, start) = (Quota::default(), clock::now());
        let mut take = |number: u8, seconds: u64| {
            let at = start + Duration::from_secs(seconds);
            let outcome = quota.check(client(number), at);
            if outcome.is_ok() {
                quota.count(client(number), at);
            }
            outcome.map_err(|exceeded| (exceeded.bound.contains("client"), exceeded.retry_after))
        };
        for second in 0..10 {
            assert_eq!(take(1, second), Ok(()));
        }
        assert_eq!(take(1, 10), Err((true, Duration::from_secs(50))));
        assert_eq!(take(2, 10), Ok(()));
        // The window slides: one tenant leaves it at a time.
        assert_eq!(take(1, 60), Ok(()));
        assert_eq!(take(1, 60), Err((true, Duration::from_secs(1))));
        assert_eq!(take(1, 200), Ok(()));
        for number in 0..99 {
            assert_eq!(take(10 + number / 10, 200), Ok(()), "{number}");
        }
        assert_eq!(take(99, 210), Err((false, Duration::from_secs(50))));
        assert_eq!(take(1, 259), Err((false, Duration::from_secs(1))));
        assert_eq!(take(99, 260), Ok(()));
        for number in 0..100_000 {
            let at = start + Duration::from_secs(260);
            let client = IpAddr::from(u32::to_be_bytes(number));
            if quota.check(client, at).is_ok() {
                quota.count(client, at);
            }
        }
        assert_eq!(quota.0.len(), MAX_PER_ISSUER);
    }
}

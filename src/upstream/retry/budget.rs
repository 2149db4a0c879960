//! How many retries a worker may make. Few beside its requests, so that an upstream in trouble does
//! not get twice the load of a healthy one.
//!
//! 1. Retries are at most a fifth of the requests, and [`PER_SECOND`] more a second, so that an
//!    upstream with few requests has retries too.
//! 2. Unspent retries accumulate up to [`MAX_SAVED`]: an endpoint that stops breaks many exchanges
//!    at once.
//!
//! These are the numbers of Finagle and linkerd: a fifth, 10 a second, 10 seconds' worth of them.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a retry costs; each request deposits one.
const COST: u32 = 5;
/// The retries that each second adds.
const PER_SECOND: u32 = 10;
/// Maximum retries that accumulate.
const MAX_SAVED: u32 = 100;

/// One worker's retries at one upstream.
pub(in crate::upstream) struct RetryBudget {
    balance: Cell<u32>,
    /// The time up to which seconds were credited.
    credited_until: Cell<Instant>,
}

impl RetryBudget {
    pub(in crate::upstream) fn full(now: Instant) -> Self {
        Self {
            balance: Cell::new(MAX_SAVED * COST),
            credited_until: Cell::new(now),
        }
    }

    /// Credits a request that is no retry.
    pub(in crate::upstream) fn deposit(&self) {
        self.credit(1);
    }

    /// Pays for a retry. False, and nothing is paid, if the balance is too low.
    pub(in crate::upstream) fn spend(&self, now: Instant) -> bool {
        self.credit_time(now);
        let rest = self.balance.get().checked_sub(COST);
        self.balance.set(rest.unwrap_or(self.balance.get()));
        rest.is_some()
    }

    // Only when a retry is due: a request without one costs a single addition.
    fn credit_time(&self, now: Instant) {
        let each = Duration::from_secs(1) / (PER_SECOND * COST);
        let passed = now.saturating_duration_since(self.credited_until.get());
        let earned = u32::try_from(passed.as_nanos() / each.as_nanos())
            .unwrap_or(u32::MAX)
            .min(MAX_SAVED * COST);
        self.credit(earned);
        let is_full = self.balance.get() == MAX_SAVED * COST;
        // A fraction of a unit is credited later, unless the balance is full.
        self.credited_until.set(if is_full {
            now
        } else {
            self.credited_until.get() + each * earned
        });
    }

    fn credit(&self, amount: u32) {
        self.balance.set(
            self.balance
                .get()
                .saturating_add(amount)
                .min(MAX_SAVED * COST),
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spent(budget: &RetryBudget, attempts: usize, now: Instant) -> usize {
        (0..attempts).filter(|_| budget.spend(now)).count()
    }

    #[test]
    fn saved_retries_are_spent_first_and_then_a_fifth_of_the_requests() {
        let now = Instant::now();
        let budget = RetryBudget::full(now);
        assert_eq!(spent(&budget, 1000, now), 100);
        (0..1000).for_each(|_| budget.deposit());
        assert_eq!(spent(&budget, 1000, now), 100, "no more than is saved");
        let mut retries = 0;
        for _ in 0..1000 {
            budget.deposit();
            retries += spent(&budget, 1, now);
        }
        assert_eq!(retries, 200);
    }

    #[test]
    fn without_requests_retries_accumulate_with_time() {
        let now = Instant::now();
        let budget = RetryBudget::full(now);
        spent(&budget, 100, now);
        assert_eq!(spent(&budget, 100, now + Duration::from_millis(99)), 0);
        assert_eq!(spent(&budget, 100, now + Duration::from_millis(100)), 1);
        assert_eq!(spent(&budget, 100, now + Duration::from_secs(1)), 9);
        assert_eq!(spent(&budget, 1000, now + Duration::from_secs(3600)), 100);
    }

    proptest! {
        #[test]
        fn no_order_of_events_allows_more_retries_than_the_budget(events in prop::collection::vec((0..3_u8, 0..200_u64), 0..300)) {
            let begin = Instant::now();
            let budget = RetryBudget::full(begin);
            let (mut requests, mut retries, mut passed) = (0_u64, 0_u64, Duration::ZERO);
            for (event, amount) in events {
                match event {
                    0 => passed += Duration::from_millis(amount),
                    1 => (0..amount).for_each(|_| { budget.deposit(); requests += 1; }),
                    _ => retries += spent(&budget, usize::try_from(amount).expect("few"), begin + passed) as u64,
                }
            }
            let allowed = u128::from(requests) + passed.as_millis() / 20 + 500;
            prop_assert!(u128::from(retries) * 5 <= allowed, "{retries} retries");
        }
    }
}

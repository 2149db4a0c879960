//! How many retries a worker may make: few beside its requests, so that an upstream in trouble is not asked twice as
//! often as one that is well.
//!
//! 1. Retries are at most a fifth of the requests, and [`EACH_SECOND`] more a second, so that an upstream with few
//!    requests has retries as well.
//! 2. What is not spent is saved, up to [`SAVED`]: a target that is stopped breaks many exchanges at once.
//!
//! The numbers are those of Finagle and linkerd: a fifth, 10 a second, 10 seconds' worth of them.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What a retry costs; each request brings one.
const COST: u32 = 5;
const EACH_SECOND: u32 = 10;
/// The most retries that are saved.
const SAVED: u32 = 100;

/// One worker's retries at one upstream.
pub(in crate::upstream) struct RetryBudget {
    level: Cell<u32>,
    /// Until when time has paid in.
    paid_until: Cell<Instant>,
}

impl RetryBudget {
    pub(in crate::upstream) fn full(now: Instant) -> Self {
        Self {
            level: Cell::new(SAVED * COST),
            paid_until: Cell::new(now),
        }
    }

    /// A request that is no retry pays in.
    pub(in crate::upstream) fn pay_in(&self) {
        self.add(1);
    }

    /// Whether there may be one retry more, which is spent with the answer.
    pub(in crate::upstream) fn spend(&self, now: Instant) -> bool {
        self.add_for_time(now);
        let rest = self.level.get().checked_sub(COST);
        self.level.set(rest.unwrap_or(self.level.get()));
        rest.is_some()
    }

    // Only where something is spent: a request that needs no retry costs an addition.
    fn add_for_time(&self, now: Instant) {
        let each = Duration::from_secs(1) / (EACH_SECOND * COST);
        let passed = now.saturating_duration_since(self.paid_until.get());
        let earned = u32::try_from(passed.as_nanos() / each.as_nanos())
            .unwrap_or(u32::MAX)
            .min(SAVED * COST);
        self.add(earned);
        let is_full = self.level.get() == SAVED * COST;
        // What is left of a part stays to be paid, unless nothing more can be saved.
        self.paid_until.set(if is_full {
            now
        } else {
            self.paid_until.get() + each * earned
        });
    }

    fn add(&self, amount: u32) {
        self.level
            .set(self.level.get().saturating_add(amount).min(SAVED * COST));
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
    fn savings_are_spent_and_then_a_fifth_of_the_requests() {
        let now = Instant::now();
        let budget = RetryBudget::full(now);
        assert_eq!(spent(&budget, 1000, now), 100);
        (0..1000).for_each(|_| budget.pay_in());
        assert_eq!(spent(&budget, 1000, now), 100, "no more than is saved");
        let mut retries = 0;
        for _ in 0..1000 {
            budget.pay_in();
            retries += spent(&budget, 1, now);
        }
        assert_eq!(retries, 200);
    }

    #[test]
    fn without_requests_time_pays() {
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
        fn no_order_of_events_brings_more_retries_than_the_budget(events in prop::collection::vec((0..3_u8, 0..200_u64), 0..300)) {
            let begin = Instant::now();
            let budget = RetryBudget::full(begin);
            let (mut requests, mut retries, mut passed) = (0_u64, 0_u64, Duration::ZERO);
            for (event, amount) in events {
                match event {
                    0 => passed += Duration::from_millis(amount),
                    1 => (0..amount).for_each(|_| { budget.pay_in(); requests += 1; }),
                    _ => retries += spent(&budget, usize::try_from(amount).expect("few"), begin + passed) as u64,
                }
            }
            let allowed = u128::from(requests) + passed.as_millis() / 20 + 500;
            prop_assert!(u128::from(retries) * 5 <= allowed, "{retries} retries");
        }
    }
}

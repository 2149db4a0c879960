//! Which of several endpoints gets the next request.
//!
//! [`Balance::LeastRequests`] draws two at random and selects the one with the smaller load ("the
//! power of two choices"). That is nearly as even as a comparison of all of them, and workers that
//! do not see each other's requests do not all select the same endpoint.

use std::cell::Cell;

use crate::upstream::random::Random;
use crate::values::Balance;

/// Selects by one algorithm.
pub(super) struct Selector {
    balance: Balance,
    /// The next index in turn.
    next: Cell<usize>,
    random: Random,
}

impl Selector {
    pub(super) fn new(balance: Balance) -> Self {
        Self {
            balance,
            next: Cell::new(0),
            random: Random::new(),
        }
    }

    /// One of the indices below `count` that are available, if any is.
    pub(super) fn select(
        &self,
        count: usize,
        is_available: impl Fn(usize) -> bool,
        load: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        if count == 1 {
            return is_available(0).then_some(0);
        }
        match self.balance {
            Balance::RoundRobin => {
                let next = self.next.get();
                let selected = (next..next + count)
                    .map(|index| index % count)
                    .find(|&index| is_available(index))?;
                self.next.set((selected + 1) % count);
                Some(selected)
            }
            Balance::LeastRequests => {
                let available = || (0..count).filter(|&index| is_available(index));
                let choices = available().count();
                if choices < 2 {
                    return available().next();
                }
                let first = self.random.below(choices);
                // Never the first again, and every other one with the same probability.
                let second = (first + 1 + self.random.below(choices - 1)) % choices;
                let first = available().nth(first)?;
                let second = available().nth(second)?;
                Some(if load(second) < load(first) {
                    second
                } else {
                    first
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(
        selector: &Selector,
        rounds: usize,
        is_available: [bool; 4],
        loads: [u64; 4],
    ) -> [usize; 4] {
        let mut counts = [0; 4];
        for _ in 0..rounds {
            let selected = selector
                .select(4, |index| is_available[index], |index| loads[index])
                .expect("one is available");
            counts[selected] += 1;
        }
        counts
    }

    #[test]
    fn round_robin_is_even_and_skips_unavailable_endpoints() {
        let selector = Selector::new(Balance::RoundRobin);
        assert_eq!(counts(&selector, 400, [true; 4], [9, 0, 0, 0]), [100; 4]);
        assert_eq!(
            counts(&selector, 400, [true, false, true, false], [0; 4]),
            [200, 0, 200, 0]
        );
    }

    #[test]
    fn endpoints_with_equal_load_are_selected_equally_often() {
        for count in counts(
            &Selector::new(Balance::LeastRequests),
            40_000,
            [true; 4],
            [3; 4],
        ) {
            // Eight standard deviations.
            assert!((9_300..10_700).contains(&count), "{count}");
        }
    }

    #[test]
    fn busiest_endpoint_is_never_selected_and_the_idlest_half_of_the_time() {
        let counts = counts(
            &Selector::new(Balance::LeastRequests),
            40_000,
            [true; 4],
            [0, 1, 2, 3],
        );
        assert_eq!(counts[3], 0, "the other one of the two has less load");
        // It is one of the two in half of the draws.
        assert!((19_200..20_800).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn of_two_endpoints_the_one_with_less_load_is_selected() {
        let selector = Selector::new(Balance::LeastRequests);
        assert_eq!(
            counts(&selector, 1000, [false, true, true, false], [0, 5, 4, 0]),
            [0, 0, 1000, 0]
        );
        assert_eq!(
            counts(&selector, 1000, [false, true, false, false], [0, 5, 4, 0]),
            [0, 1000, 0, 0]
        );
    }

    #[test]
    fn nothing_is_selected_if_no_endpoint_is_available() {
        for balance in [Balance::LeastRequests, Balance::RoundRobin] {
            let selector = Selector::new(balance);
            for count in 0..5 {
                assert_eq!(selector.select(count, |_| false, |_| 0), None);
            }
            assert_eq!(selector.select(1, |_| true, |_| 0), Some(0));
        }
    }
}

//! Which of several gets the next request.
//!
//! [`Balance::LeastRequests`] draws two at random and takes the one with less to do ("the power of two choices"): nearly
//! as even as looking at all of them, and workers that do not see each other's requests do not all run to the same one.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::values::Balance;

/// Where a worker is in its choosing.
pub(super) struct LoadBalancer {
    balance: Balance,
    turn: Cell<usize>,
    random: Random,
}

/// A generator of numbers that nobody has a use for guessing (xorshift64*).
pub(super) struct Random(Cell<u64>);

impl LoadBalancer {
    pub(super) fn new(balance: Balance) -> Self {
        Self {
            balance,
            turn: Cell::new(0),
            random: Random::new(),
        }
    }

    /// One of the first `count` numbers that is fit, where any is.
    pub(super) fn choose(
        &self,
        count: usize,
        is_fit: impl Fn(usize) -> bool,
        load: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        if count == 1 {
            return is_fit(0).then_some(0);
        }
        match self.balance {
            Balance::RoundRobin => {
                let turn = self.turn.get();
                let chosen = (turn..turn + count)
                    .map(|place| place % count)
                    .find(|&index| is_fit(index))?;
                self.turn.set((chosen + 1) % count);
                Some(chosen)
            }
            Balance::LeastRequests => {
                let fit = || (0..count).filter(|&index| is_fit(index));
                let among = fit().count();
                if among < 2 {
                    return fit().next();
                }
                let first = self.random.below(among);
                // Distinct from the first, and every other one as likely.
                let second = (first + 1 + self.random.below(among - 1)) % among;
                let (first, second) = (fit().nth(first)?, fit().nth(second)?);
                Some(if load(second) < load(first) {
                    second
                } else {
                    first
                })
            }
        }
    }
}

impl Random {
    pub(super) fn new() -> Self {
        // The state must not be zero.
        Self(Cell::new(RandomState::new().build_hasher().finish() | 1))
    }

    /// A number below `bound`, which is above zero.
    pub(super) fn below(&self, bound: usize) -> usize {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        let drawn = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // The upper half of 64 bits spread over the bound: no division.
        usize::try_from((drawn * bound as u64) >> 32).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(
        chooser: &LoadBalancer,
        rounds: usize,
        is_fit: [bool; 4],
        loads: [u64; 4],
    ) -> [usize; 4] {
        let mut counts = [0; 4];
        for _ in 0..rounds {
            let chosen = chooser
                .choose(4, |index| is_fit[index], |index| loads[index])
                .expect("one is fit");
            counts[chosen] += 1;
        }
        counts
    }

    #[test]
    fn each_in_turn_is_even_and_passes_over_what_is_not_fit() {
        let chooser = LoadBalancer::new(Balance::RoundRobin);
        assert_eq!(counts(&chooser, 400, [true; 4], [9, 0, 0, 0]), [100; 4]);
        assert_eq!(
            counts(&chooser, 400, [true, false, true, false], [0; 4]),
            [200, 0, 200, 0]
        );
    }

    #[test]
    fn of_equals_two_choices_take_each_as_often() {
        for count in counts(
            &LoadBalancer::new(Balance::LeastRequests),
            40_000,
            [true; 4],
            [3; 4],
        ) {
            // Eight standard deviations.
            assert!((9_300..10_700).contains(&count), "{count}");
        }
    }

    #[test]
    fn the_busiest_of_all_is_never_taken_and_the_idlest_every_other_time() {
        let counts = counts(
            &LoadBalancer::new(Balance::LeastRequests),
            40_000,
            [true; 4],
            [0, 1, 2, 3],
        );
        assert_eq!(counts[3], 0, "the other one of the two has less to do");
        // It is one of the two in half of the draws.
        assert!((19_200..20_800).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn of_two_the_one_with_less_to_do_is_taken() {
        let chooser = LoadBalancer::new(Balance::LeastRequests);
        assert_eq!(
            counts(&chooser, 1000, [false, true, true, false], [0, 5, 4, 0]),
            [0, 0, 1000, 0]
        );
        assert_eq!(
            counts(&chooser, 1000, [false, true, false, false], [0, 5, 4, 0]),
            [0, 1000, 0, 0]
        );
    }

    #[test]
    fn where_none_is_fit_none_is_chosen() {
        for balance in [Balance::LeastRequests, Balance::RoundRobin] {
            let chooser = LoadBalancer::new(balance);
            for count in 0..5 {
                assert_eq!(chooser.choose(count, |_| false, |_| 0), None);
            }
            assert_eq!(chooser.choose(1, |_| true, |_| 0), Some(0));
        }
    }
}

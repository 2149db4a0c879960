//! Which of several endpoints gets the next request.
//!
//! 1. [`Balance::LeastRequests`] draws two at random and selects the one with the smaller load ("the
//!    power of two choices"). That is nearly as even as a comparison of all of them, and workers that
//!    do not see each other's requests do not all select the same endpoint.
//! 2. With weights, an endpoint is drawn as often as its weight says, and loads are divided by the
//!    weights. Without load, the first one drawn is selected, so that few requests follow the weights
//!    too.
//! 3. With weights, [`Balance::RoundRobin`] is smooth: requests to a heavy endpoint are spread over
//!    the round instead of following each other. Each selection adds to every available endpoint
//!    its weight, takes the one with the largest sum, and subtracts all added weights from that sum.

use std::cell::{Cell, RefCell};

use crate::upstream::random::Random;
use crate::values::Balance;

/// Selects by one algorithm.
pub(super) struct Selector {
    balance: Balance,
    is_weighted: bool,
    /// The next index in turn.
    next: Cell<usize>,
    /// With weights, the sum of each index.
    sums: RefCell<Vec<i64>>,
    random: Random,
}

impl Selector {
    pub(super) fn new(balance: Balance, is_weighted: bool) -> Self {
        Self {
            balance,
            is_weighted,
            next: Cell::new(0),
            sums: RefCell::default(),
            random: Random::new(),
        }
    }

    /// Forgets whose turn it is: the indices mean other endpoints from now on.
    pub(super) fn restart(&self) {
        self.sums.borrow_mut().clear();
    }

    /// One of the indices below `count` that are available, if any is.
    pub(super) fn select(
        &self,
        count: usize,
        is_available: impl Fn(usize) -> bool,
        weight: impl Fn(usize) -> u32,
        load: impl Fn(usize) -> u64,
    ) -> Option<usize> {
        if count == 1 {
            return is_available(0).then_some(0);
        }
        match (self.balance, self.is_weighted) {
            (Balance::RoundRobin, false) => {
                let next = self.next.get();
                let selected = (next..next + count)
                    .map(|index| index % count)
                    .find(|&index| is_available(index))?;
                self.next.set((selected + 1) % count);
                Some(selected)
            }
            (Balance::RoundRobin, true) => {
                self.select_in_weighted_turn(count, is_available, weight)
            }
            (Balance::LeastRequests, false) => {
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
            (Balance::LeastRequests, true) => {
                let first = self.draw((0..count).filter(|&index| is_available(index)), &weight)?;
                let is_other = |&index: &usize| index != first && is_available(index);
                let Some(second) = self.draw((0..count).filter(is_other), &weight) else {
                    return Some(first);
                };
                // `load / weight`, compared without a division.
                let weighted = |index, other| load(index) * u64::from(weight(other));
                Some(if weighted(second, first) < weighted(first, second) {
                    second
                } else {
                    first
                })
            }
        }
    }

    fn select_in_weighted_turn(
        &self,
        count: usize,
        is_available: impl Fn(usize) -> bool,
        weight: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let mut sums = self.sums.borrow_mut();
        sums.resize(count, 0);
        let (mut added, mut selected) = (0, None);
        for index in (0..count).filter(|&index| is_available(index)) {
            let weight = i64::from(weight(index));
            added += weight;
            sums[index] += weight;
            if selected.is_none_or(|selected: usize| sums[selected] < sums[index]) {
                selected = Some(index);
            }
        }
        let selected = selected?;
        sums[selected] -= added;
        Some(selected)
    }

    // One of the candidates, each with a probability in proportion to its weight.
    fn draw(
        &self,
        candidates: impl Iterator<Item = usize> + Clone,
        weight: impl Fn(usize) -> u32,
    ) -> Option<usize> {
        let weight = |index| usize::try_from(weight(index)).unwrap_or(usize::MAX);
        let total: usize = candidates.clone().map(weight).sum();
        let mut drawn = self.random.below(total);
        candidates.into_iter().find(|&index| {
            let weight = weight(index);
            let is_drawn = drawn < weight;
            drawn = drawn.saturating_sub(weight);
            is_drawn
        })
    }
}

#[cfg(test)]
mod tests;

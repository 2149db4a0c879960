//! Random numbers that may be predictable.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A generator (xorshift64*). It is not for secrets.
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new() -> Self {
        // The state must not be zero.
        Self(Cell::new(RandomState::new().build_hasher().finish() | 1))
    }

    /// A number below `bound`, which must not be zero.
    pub(super) fn below(&self, bound: usize) -> usize {
        let mut state = self.0.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.0.set(state);
        let drawn = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        // Scales the upper 32 bits to the bound without a division.
        usize::try_from((drawn * bound as u64) >> 32).unwrap_or_default()
    }
}

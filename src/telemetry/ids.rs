//! Ids of spans and traces.

use std::cell::Cell;

/// Generates the ids of one worker, without a lock or a system call.
#[derive(Debug)]
pub(super) struct Ids(Cell<u64>);

impl Ids {
    /// Starts at a random number.
    pub(super) fn new() -> Self {
        let mut random = [0; 8];
        // On an error, ids are not unique across processes. Nothing depends on that.
        let _ = aws_lc_rs::rand::fill(&mut random);
        Self(Cell::new(u64::from_ne_bytes(random)))
    }

    /// Returns the next id. None repeats within 2^64 ids. The ids are evenly distributed, because
    /// sampling depends on them. They are not secret: two ids reveal how many lie between them.
    pub(super) fn generate(&self) -> u64 {
        // An odd step reaches every number. The digits of the golden ratio spread neighbours.
        let number = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(number);
        mix(number)
    }
}

// Each step is reversible, so different numbers stay different.
fn mix(mut number: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        number = (number ^ (number >> 33)).wrapping_mul(factor);
    }
    number ^ (number >> 33)
}

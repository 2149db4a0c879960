//! Numbers of spans and traces.

use std::cell::Cell;

/// One worker's numbers. It takes neither a lock nor a system call to make one.
#[derive(Debug)]
pub(super) struct Ids(Cell<u64>);

impl Ids {
    /// Numbers that begin anywhere.
    pub(super) fn new() -> Self {
        let mut random = [0; 8];
        // Without randomness they are not unique among processes, and nothing else is lost.
        let _ = aws_lc_rs::rand::fill(&mut random);
        Self(Cell::new(u64::from_ne_bytes(random)))
    }

    /// The next number: each of the 2^64 comes once before one comes again. They are spread, which sampling by them needs,
    /// and no secret: whoever gets two can tell how many there were in between.
    pub(super) fn make(&self) -> u64 {
        // Odd, so that every number comes; the golden ratio's digits, so that neighbours differ.
        let number = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(number);
        mixed(number)
    }
}

// Each step can be undone, so different numbers stay different.
fn mixed(mut number: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        number = (number ^ (number >> 33)).wrapping_mul(factor);
    }
    number ^ (number >> 33)
}

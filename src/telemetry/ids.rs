//! Numbers that are never the same twice.

use std::cell::Cell;

/// One worker's numbers. It takes neither a lock nor a system call to make one.
#[derive(Debug)]
pub struct Ids {
    worker: u64,
    next: Cell<u64>,
}

impl Ids {
    /// Numbers that begin anywhere.
    #[must_use]
    pub fn new() -> Self {
        let mut random = [0; 16];
        // Without randomness they are not unique among processes, and nothing else is lost.
        let _ = aws_lc_rs::rand::fill(&mut random);
        let random = u128::from_ne_bytes(random);
        Self { worker: (random >> 64) as u64, next: Cell::new(random as u64) }
    }

    /// The worker's own number, random.
    #[must_use]
    pub fn worker(&self) -> u64 {
        self.worker
    }

    /// The next number: each of the 2^64 comes once before one comes again, in an order that tells nobody how many there
    /// were.
    #[must_use]
    pub fn make(&self) -> u64 {
        // Odd, so that every number comes; the golden ratio's digits, so that neighbours differ.
        let number = self.next.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.next.set(number);
        mixed(number)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

// Each step can be undone, so different numbers stay different.
fn mixed(mut number: u64) -> u64 {
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        number = (number ^ (number >> 33)).wrapping_mul(factor);
    }
    number ^ (number >> 33)
}

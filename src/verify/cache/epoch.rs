//! Changes of keys and configuration, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the changes of keys and configuration, for whoever keeps what was true before.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<AtomicU64>);

impl Epoch {
    /// Something changed: every cached fact has to be looked at once more before it is used.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub(in crate::verify) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

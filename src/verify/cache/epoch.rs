//! Changes of keys and configuration, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the changes of keys and configuration, so that cache entries from before are checked again.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<AtomicU64>);

impl Epoch {
    /// Keys or configuration changed: each cache entry is checked again before its next use.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub(in crate::verify) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

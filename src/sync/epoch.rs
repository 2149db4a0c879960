//! Changes of keys, configuration and revocations, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the changes of keys, configuration and revocations, so that cache entries from before are checked again.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<AtomicU64>);

impl Epoch {
    /// Keys, configuration or revocations changed: each cache entry is checked again before its next use.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    /// The number of changes so far.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

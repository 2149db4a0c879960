//! The cache that all workers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::CacheBudget;
use super::key::{Text, Token};
use crate::verify::verified_token::VerifiedToken;

/// The verified tokens that all workers share.
pub struct TokenCache {
    entries: moka::sync::Cache<Token, Arc<VerifiedToken>>,
    bytes: Arc<AtomicU64>,
    budget: CacheBudget,
}

impl TokenCache {
    /// An empty cache within `budget`.
    #[must_use]
    pub fn new(budget: CacheBudget) -> Self {
        let weigher = |_: &Token, verified: &Arc<VerifiedToken>| {
            verified.issuer.cache_limit.weight(verified.size())
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let evicted_bytes = Arc::clone(&bytes);
        let on_evict = move |_: Arc<Token>, verified: Arc<VerifiedToken>, _| {
            evicted_bytes.fetch_sub(verified.size().in_shared(), Ordering::Relaxed);
        };
        let entries = moka::sync::Cache::builder();
        let entries = entries
            .max_capacity(budget.shared)
            .weigher(weigher)
            .eviction_listener(on_evict)
            .build();
        Self {
            entries,
            bytes,
            budget,
        }
    }

    /// The limits of its tiers.
    #[must_use]
    pub fn budget(&self) -> CacheBudget {
        self.budget
    }

    /// The entries of this tier, and their bytes of memory.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        // Before this, recently evicted entries still count.
        self.entries.run_pending_tasks();
        (
            self.entries.entry_count(),
            self.bytes.load(Ordering::Relaxed),
        )
    }

    pub(in crate::verify) fn find(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.entries.get(&Text(token))
    }

    pub(in crate::verify) fn insert(&self, verified: &Arc<VerifiedToken>) {
        // A moka cache without capacity inserts nothing and calls no eviction listener.
        if self.budget.shared == 0 {
            return;
        }
        self.bytes
            .fetch_add(verified.size().in_shared(), Ordering::Relaxed);
        self.entries
            .insert(Token(Arc::clone(verified)), Arc::clone(verified));
    }

    pub(in crate::verify) fn remove(&self, token: &str) {
        self.entries.invalidate(&Text(token));
    }
}

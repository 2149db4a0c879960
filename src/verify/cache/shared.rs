//! The cache that all workers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::budget::CacheBudget;
use super::key::{Text, Token};
use crate::verify::verified_token::VerifiedToken;

/// The facts that all workers share.
pub struct TokenCache {
    facts: moka::sync::Cache<Token, Arc<VerifiedToken>>,
    bytes: Arc<AtomicU64>,
    budget: CacheBudget,
}

impl TokenCache {
    /// A cache that takes no more than the budget.
    #[must_use]
    pub fn new(budget: CacheBudget) -> Self {
        let weigher = |_: &Token, verified: &Arc<VerifiedToken>| {
            verified.issuer.cache_limit.weight(verified.size())
        };
        let bytes = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&bytes);
        let leaves = move |_: Arc<Token>, verified: Arc<VerifiedToken>, _| {
            left.fetch_sub(verified.size().in_shared(), Ordering::Relaxed);
        };
        let facts = moka::sync::Cache::builder();
        let facts = facts
            .max_capacity(budget.shared)
            .weigher(weigher)
            .eviction_listener(leaves)
            .build();
        Self {
            facts,
            bytes,
            budget,
        }
    }

    /// What its tiers may take.
    #[must_use]
    pub fn budget(&self) -> CacheBudget {
        self.budget
    }

    /// How many facts there are in this tier, and how many bytes of memory they take.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        // What was thrown out lately is still counted before this.
        self.facts.run_pending_tasks();
        (self.facts.entry_count(), self.bytes.load(Ordering::Relaxed))
    }

    pub(in crate::verify) fn find(&self, token: &str) -> Option<Arc<VerifiedToken>> {
        self.facts.get(&Text(token))
    }

    pub(in crate::verify) fn keep(&self, verified: &Arc<VerifiedToken>) {
        // A cache of moka's without capacity takes nothing, and says of nothing that it leaves.
        if self.budget.shared == 0 {
            return;
        }
        self.bytes
            .fetch_add(verified.size().in_shared(), Ordering::Relaxed);
        self.facts
            .insert(Token(Arc::clone(verified)), Arc::clone(verified));
    }

    pub(in crate::verify) fn forget(&self, token: &str) {
        self.facts.invalidate(&Text(token));
    }
}

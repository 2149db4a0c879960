//! Tokens that were verified before: facts, never decisions.
//!
//! 1. What is kept is that a token is active and what it says. Whether that suffices is decided anew for each request.
//! 2. A fact is found by the whole token, compared byte for byte; a hash alone never identifies one.
//! 3. A fact ends with its token (`exp` + leeway), with `cache_max_age`, and with the configuration or the key that it
//!    stands on. The last two change rarely, and an [`Epoch`] tells cheaply that they did not.
//! 4. There are three tiers, the fastest first: the last token of a connection ([`Memo`]), the tokens of a worker
//!    ([`WorkerCache`]), those of all workers ([`TokenCache`]). All hold the same fact, so it is in memory once.
//! 5. Each is bounded in bytes of memory, by [`CacheBudget`]; a connection has one token at most. Only tokens that were
//!    verified come in, and a flood of new ones does not push out those that are used often.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Equivalent;

use super::budget::{CacheBudget, in_shared};
use super::{Verified, WorkerCache};

/// Counts the changes of keys and configuration, for whoever keeps what was true before.
#[derive(Clone, Debug, Default)]
pub struct Epoch(Arc<AtomicU64>);

impl Epoch {
    /// Something changed: every cached fact has to be looked at once more before it is used.
    pub fn advance(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The facts that all workers share.
pub struct TokenCache {
    facts: moka::sync::Cache<Token, Arc<Verified>>,
    bytes: Arc<AtomicU64>,
    budget: CacheBudget,
}

impl TokenCache {
    /// A cache that takes no more than the budget.
    #[must_use]
    pub fn new(budget: CacheBudget) -> Self {
        let weigher = |_: &Token, fact: &Arc<Verified>| fact.issuer.cache_limit.weight(fact);
        let bytes = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&bytes);
        let leaves = move |_: Arc<Token>, fact: Arc<Verified>, _| {
            left.fetch_sub(in_shared(&fact), Ordering::Relaxed);
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

    pub(super) fn find(&self, token: &str) -> Option<Arc<Verified>> {
        self.facts.get(&Text(token))
    }

    pub(super) fn keep(&self, fact: &Arc<Verified>) {
        // A cache of moka's without capacity takes nothing, and says of nothing that it leaves.
        if self.budget.shared == 0 {
            return;
        }
        self.bytes.fetch_add(in_shared(fact), Ordering::Relaxed);
        self.facts.insert(Token(Arc::clone(fact)), Arc::clone(fact));
    }

    pub(super) fn forget(&self, token: &str) {
        self.facts.invalidate(&Text(token));
    }
}

/// What one connection remembers: its last token, for a client that keeps its connection keeps its token; and all that
/// its worker does.
pub struct Memo {
    last: RefCell<Option<Arc<Verified>>>,
    worker: Rc<WorkerCache>,
}

impl Memo {
    /// The memory of a connection of `worker`.
    #[must_use]
    pub fn new(worker: Rc<WorkerCache>) -> Self {
        Self {
            last: RefCell::default(),
            worker,
        }
    }

    /// Where this connection's worker keeps its facts.
    pub(super) fn worker(&self) -> &WorkerCache {
        &self.worker
    }

    /// What is known of the connection's last token, whether or not it still holds.
    #[must_use]
    pub fn last(&self) -> Option<Arc<Verified>> {
        self.last.borrow().clone()
    }

    /// Looks through all tiers, from the fastest to `shared`, for a fact that `holds`. One that does not is dropped where it
    /// is found, and the next tier may have a newer one.
    pub(super) fn find(
        &self,
        token: &str,
        shared: &TokenCache,
        holds: impl Fn(&Verified) -> bool,
    ) -> Option<Arc<Verified>> {
        if let Some(last) = self
            .last
            .borrow()
            .as_ref()
            .filter(|last| *last.text == *token && holds(last))
        {
            self.worker.found.by_connection.count();
            return Some(Arc::clone(last));
        }
        if let Some(fact) = self.worker.find(&Text(token)) {
            if holds(&fact) {
                self.replace(Some(Arc::clone(&fact)));
                self.worker.found.by_worker.count();
                return Some(fact);
            }
            self.worker.forget(&Text(token));
        }
        let fact = shared.find(token)?;
        if !holds(&fact) {
            // The one that took the place of a retired one may be there by now, and must stay.
            if !fact.is_retired() {
                shared.forget(token);
            }
            return None;
        }
        self.keep(&fact);
        self.worker.found.shared.count();
        Some(fact)
    }

    /// There was no fact in any tier.
    pub(super) fn missed(&self) {
        self.worker.found.nowhere.count();
    }

    /// Keeps a fact with this connection and its worker.
    pub(super) fn keep(&self, fact: &Arc<Verified>) {
        self.worker.keep(fact);
        self.replace(Some(Arc::clone(fact)));
    }

    fn replace(&self, fact: Option<Arc<Verified>>) {
        let size = |fact: &Option<Arc<Verified>>| {
            fact.as_ref()
                .map_or((0, 0), |fact| (1, fact.memory() as u64))
        };
        let (comes, goes) = (size(&fact), size(&self.last.borrow()));
        self.worker.found.with_connections.replace(goes, comes);
        *self.last.borrow_mut() = fact;
    }
}

impl Drop for Memo {
    fn drop(&mut self) {
        self.replace(None);
    }
}

/// A fact as the key to itself.
pub(super) struct Token(pub(super) Arc<Verified>);

/// The text of a token, to find the fact by.
pub(super) struct Text<'t>(pub(super) &'t str);

// The end of a JWT is its signature, which is as good as random and cannot be chosen by who does not hold the key:
// hashing that alone is several times faster, and only verified tokens are kept. Opaque tokens may share an end, such as
// the name of a tenant, so some of the middle counts as well.
fn hash_some(text: &str, state: &mut impl Hasher) {
    let (bytes, middle) = (text.as_bytes(), text.len() / 2);
    state.write(&bytes[middle.saturating_sub(16)..middle]);
    state.write(&bytes[bytes.len().saturating_sub(32)..]);
}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_some(&self.0.text, state);
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_some(self.0, state);
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        *self.0.text == *other.0.text
    }
}

impl Eq for Token {}

impl Equivalent<Token> for Text<'_> {
    fn equivalent(&self, token: &Token) -> bool {
        *self.0 == *token.0.text
    }
}

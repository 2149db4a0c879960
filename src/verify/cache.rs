//! Tokens that were verified before: facts, never decisions.
//!
//! 1. What is kept is that a token is active and what it says. Whether that suffices is decided anew for each request.
//! 2. A fact is found by the whole token, compared byte for byte; a hash alone never identifies one.
//! 3. A fact ends with its token (`exp` + leeway), with `cache_max_age`, and with the configuration or the key that it
//!    stands on. The last two change rarely, and an [`Epoch`] tells cheaply that they did not.
//! 4. It is bounded in entries and in bytes, and a flood of new tokens does not push out what is used often.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroize;

use super::Verified;

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
    facts: moka::sync::Cache<TokenText, Arc<Verified>>,
}

/// A token larger than this counts as several entries, so that the bound in entries is one in bytes too.
const ENTRY_BYTES: usize = 4096;

impl TokenCache {
    /// A cache of at most `entries` tokens of up to 4 KiB each, or fewer larger ones.
    #[must_use]
    pub fn new(entries: u64) -> Self {
        let facts = moka::sync::Cache::builder()
            .max_capacity(entries)
            .weigher(|token: &TokenText, fact: &Arc<Verified>| {
                let entries = (token.0.len() + fact.token.size()).div_ceil(ENTRY_BYTES).max(1);
                u32::try_from(entries).unwrap_or(u32::MAX)
            })
            .build();
        Self { facts }
    }

    pub(super) fn find(&self, token: &str) -> Option<Arc<Verified>> {
        self.facts.get(token)
    }

    pub(super) fn keep(&self, token: &str, fact: Arc<Verified>) {
        self.facts.insert(TokenText::new(token), fact);
    }

    pub(super) fn forget(&self, token: &str) {
        self.facts.invalidate(token);
    }
}

/// The last token of one connection and what is known of it: a client that keeps its connection keeps its token.
#[derive(Default)]
pub struct Memo(RefCell<Option<(TokenText, Arc<Verified>)>>);

impl Memo {
    pub(super) fn find(&self, token: &str) -> Option<Arc<Verified>> {
        let memo = self.0.borrow();
        memo.as_ref().filter(|(known, _)| *known.0 == *token).map(|(_, fact)| Arc::clone(fact))
    }

    pub(super) fn keep(&self, token: &str, fact: &Arc<Verified>) {
        *self.0.borrow_mut() = Some((TokenText::new(token), Arc::clone(fact)));
    }

    pub(super) fn forget(&self) {
        *self.0.borrow_mut() = None;
    }
}

/// A token in memory. It is wiped when it leaves: a later leak of freed memory finds none.
#[derive(PartialEq, Eq, Hash)]
struct TokenText(Box<str>);

impl TokenText {
    fn new(token: &str) -> Self {
        Self(token.into())
    }
}

impl Borrow<str> for TokenText {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Drop for TokenText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

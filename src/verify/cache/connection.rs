//! The cache of one client connection: its last token.

use std::cell::RefCell;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use super::key::Text;
use super::shared::TokenCache;
use super::worker::WorkerCache;
use crate::verify::verified_token::VerifiedToken;

/// The last token of one connection, and the cache of its worker. A client that keeps its connection
/// usually keeps its token.
pub struct ConnectionCache {
    last: RefCell<Option<Arc<VerifiedToken>>>,
    worker: Rc<WorkerCache>,
}

impl ConnectionCache {
    /// The empty cache of a new connection of `worker`.
    #[must_use]
    pub fn new(worker: Rc<WorkerCache>) -> Self {
        Self {
            last: RefCell::default(),
            worker,
        }
    }

    /// The cache of this connection's worker.
    pub(in crate::verify) fn worker(&self) -> &WorkerCache {
        &self.worker
    }

    /// The connection's last token, whether or not it is still valid.
    #[must_use]
    pub fn last(&self) -> Option<Arc<VerifiedToken>> {
        self.last.borrow().clone()
    }

    /// Looks through all tiers, from the fastest to `shared`, for an entry that `is_valid`. An invalid
    /// one is removed from the worker's tier, and from the shared tier unless a newer one has replaced it
    /// there. The connection's last token stays until another one replaces it.
    pub(in crate::verify) fn find(
        &self,
        token: &str,
        shared: &TokenCache,
        is_valid: impl Fn(&VerifiedToken) -> bool,
    ) -> Option<Arc<VerifiedToken>> {
        if let Some(last) = self
            .last
            .borrow()
            .as_ref()
            .filter(|last| is_same(&last.text, token) && is_valid(last))
        {
            self.worker.stats.connection_hits.count();
            return Some(Arc::clone(last));
        }
        if let Some(verified) = self.worker.find(&Text(token)) {
            if is_valid(&verified) {
                self.replace(Some(Arc::clone(&verified)));
                self.worker.stats.worker_hits.count();
                return Some(verified);
            }
            self.worker.remove(&Text(token));
        }
        let verified = shared.find(token)?;
        if !is_valid(&verified) {
            // The entry that superseded this one may have been inserted by now, and must stay.
            if !verified.is_superseded() {
                shared.remove(token);
            }
            return None;
        }
        self.insert(&verified);
        self.worker.stats.shared_hits.count();
        Some(verified)
    }

    /// Counts a token that no tier had.
    pub(in crate::verify) fn count_miss(&self) {
        self.worker.stats.misses.count();
    }

    /// Inserts an entry into the tiers of this connection and its worker.
    pub(in crate::verify) fn insert(&self, verified: &Arc<VerifiedToken>) {
        self.worker.insert(verified);
        self.replace(Some(Arc::clone(verified)));
    }

    fn replace(&self, verified: Option<Arc<VerifiedToken>>) {
        let size = |verified: &Option<Arc<VerifiedToken>>| {
            verified
                .as_ref()
                .map_or((0, 0), |verified| (1, verified.size().memory as u64))
        };
        let (comes, goes) = (size(&verified), size(&self.last.borrow()));
        self.worker.stats.connection_tier.replace(goes, comes);
        *self.last.borrow_mut() = verified;
    }
}

// A token that its header repeats is borrowed from here: see `bearer::extract_or_reuse`.
fn is_same(last: &str, token: &str) -> bool {
    ptr::eq(last, token) || last == token
}

impl Drop for ConnectionCache {
    fn drop(&mut self) {
        self.replace(None);
    }
}

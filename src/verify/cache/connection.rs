//! The cache of one client connection: its last token.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::key::Text;
use super::shared::TokenCache;
use super::worker::WorkerCache;
use crate::verify::verified_token::VerifiedToken;

/// What one connection remembers: its last token, for a client that keeps its connection keeps its token; and all that
/// its worker does.
pub struct ConnectionCache {
    last: RefCell<Option<Arc<VerifiedToken>>>,
    worker: Rc<WorkerCache>,
}

impl ConnectionCache {
    /// The memory of a connection of `worker`.
    #[must_use]
    pub fn new(worker: Rc<WorkerCache>) -> Self {
        Self {
            last: RefCell::default(),
            worker,
        }
    }

    /// Where this connection's worker keeps its facts.
    pub(in crate::verify) fn worker(&self) -> &WorkerCache {
        &self.worker
    }

    /// What is known of the connection's last token, whether or not it still holds.
    #[must_use]
    pub fn last(&self) -> Option<Arc<VerifiedToken>> {
        self.last.borrow().clone()
    }

    /// Looks through all tiers, from the fastest to `shared`, for a fact that `holds`. One that does not is dropped where it
    /// is found, and the next tier may have a newer one.
    pub(in crate::verify) fn find(
        &self,
        token: &str,
        shared: &TokenCache,
        holds: impl Fn(&VerifiedToken) -> bool,
    ) -> Option<Arc<VerifiedToken>> {
        if let Some(last) = self
            .last
            .borrow()
            .as_ref()
            .filter(|last| *last.text == *token && holds(last))
        {
            self.worker.found.connection_hits.count();
            return Some(Arc::clone(last));
        }
        if let Some(verified) = self.worker.find(&Text(token)) {
            if holds(&verified) {
                self.replace(Some(Arc::clone(&verified)));
                self.worker.found.worker_hits.count();
                return Some(verified);
            }
            self.worker.forget(&Text(token));
        }
        let verified = shared.find(token)?;
        if !holds(&verified) {
            // The one that took the place of a retired one may be there by now, and must stay.
            if !verified.is_superseded() {
                shared.forget(token);
            }
            return None;
        }
        self.keep(&verified);
        self.worker.found.shared_hits.count();
        Some(verified)
    }

    /// There was no fact in any tier.
    pub(in crate::verify) fn missed(&self) {
        self.worker.found.misses.count();
    }

    /// Keeps a fact with this connection and its worker.
    pub(in crate::verify) fn keep(&self, verified: &Arc<VerifiedToken>) {
        self.worker.keep(verified);
        self.replace(Some(Arc::clone(verified)));
    }

    fn replace(&self, verified: Option<Arc<VerifiedToken>>) {
        let size = |verified: &Option<Arc<VerifiedToken>>| {
            verified
                .as_ref()
                .map_or((0, 0), |verified| (1, verified.size().memory as u64))
        };
        let (comes, goes) = (size(&verified), size(&self.last.borrow()));
        self.worker.found.connection_tier.replace(goes, comes);
        *self.last.borrow_mut() = verified;
    }
}

impl Drop for ConnectionCache {
    fn drop(&mut self) {
        self.replace(None);
    }
}

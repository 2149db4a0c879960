//! The token cache of one worker, without a lock; and its turns at verifying signatures.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use quick_cache::unsync;
use quick_cache::{DefaultHashBuilder, Lifecycle};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::budget::{CacheBudget, MAX_WORKER_BYTES};
use super::key::{Text, Token};
use crate::client_limits::ClientShares;
use crate::telemetry::TokenCacheStats;
use crate::verify::verified_token::VerifiedToken;

/// The maximum number of requests of one worker that wait for a signature verification. Beyond it the
/// worker is flooded, and a longer wait would help nobody. One client may have a quarter of them.
const MAX_WAITING: usize = 1024;

type Entries =
    unsync::Cache<Token, Arc<VerifiedToken>, Weight, DefaultHashBuilder, EvictionListener>;

/// Subtracts the bytes of entries that are evicted, replaced or not admitted.
struct EvictionListener(Rc<Cell<u64>>);

impl Lifecycle<Token, Arc<VerifiedToken>> for EvictionListener {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Token, verified: Arc<VerifiedToken>) {
        self.0.update(|bytes| bytes - verified.size().in_worker());
    }
}

/// One worker's verified tokens, without a lock; and its turns at verifying signatures.
pub struct WorkerCache {
    entries: RefCell<Entries>,
    /// Bytes of memory of the entries.
    bytes: Rc<Cell<u64>>,
    turns: Semaphore,
    waiting: RefCell<ClientShares>,
    pub(super) stats: Arc<TokenCacheStats>,
}

impl WorkerCache {
    /// An empty cache that counts in `stats`.
    #[must_use]
    pub fn new(stats: Arc<TokenCacheStats>) -> Rc<Self> {
        let waiting = RefCell::new(ClientShares::new(MAX_WAITING));
        let bytes = Rc::default();
        let (hasher, eviction_listener) = (
            DefaultHashBuilder::default(),
            EvictionListener(Rc::clone(&bytes)),
        );
        // The number of entries is only an initial estimate.
        let entries = RefCell::new(Entries::with(
            1024,
            MAX_WORKER_BYTES,
            Weight,
            hasher,
            eviction_listener,
        ));
        Rc::new(Self {
            entries,
            bytes,
            turns: Semaphore::new(1),
            waiting,
            stats,
        })
    }

    /// Applies a new budget.
    pub fn set_budget(&self, budget: CacheBudget) {
        let mut entries = self.entries.borrow_mut();
        if entries.capacity() != budget.worker {
            entries.set_capacity(budget.worker);
            self.publish_size(&entries);
        }
    }

    pub(super) fn find(&self, text: &Text<'_>) -> Option<Arc<VerifiedToken>> {
        self.entries.borrow().get(text).map(Arc::clone)
    }

    pub(super) fn insert(&self, verified: &Arc<VerifiedToken>) {
        let mut entries = self.entries.borrow_mut();
        self.bytes
            .update(|bytes| bytes + verified.size().in_worker());
        entries.insert(Token(Arc::clone(verified)), Arc::clone(verified));
        self.publish_size(&entries);
    }

    pub(super) fn remove(&self, text: &Text<'_>) {
        let mut entries = self.entries.borrow_mut();
        if let Some((_, verified)) = entries.remove(text) {
            self.bytes
                .update(|bytes| bytes - verified.size().in_worker());
        }
        self.publish_size(&entries);
    }

    fn publish_size(&self, entries: &Entries) {
        self.stats
            .worker_tier
            .set(entries.len() as u64, self.bytes.get());
    }

    /// Whether a signature is being verified, so that another one would have to wait.
    pub(in crate::verify) fn is_busy(&self) -> bool {
        self.turns.available_permits() == 0
    }

    /// Waits for the turn of `client`, a [`client_network`](crate::client_limits::client_network), to
    /// verify a signature. `None` if too many wait already.
    ///
    /// A verification takes up to a quarter of a millisecond, and forging a token costs nothing. One at
    /// a time, with all other ready tasks in between, a flood of bad tokens cannot starve known clients.
    pub(in crate::verify) async fn turn(&self, client: IpAddr) -> Option<SemaphorePermit<'_>> {
        if !self.waiting.borrow_mut().take(client) {
            return None;
        }
        let _waiting = OnDrop(|| self.waiting.borrow_mut().release(client));
        // The semaphore is never closed.
        self.turns.acquire().await.ok()
    }
}

/// Runs a function when a future ends or is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[derive(Clone)]
struct Weight;

impl quick_cache::Weighter<Token, Arc<VerifiedToken>> for Weight {
    fn weight(&self, _: &Token, verified: &Arc<VerifiedToken>) -> u64 {
        verified
            .issuer
            .cache_limit
            .weight_in_worker(verified.size())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn client(number: usize) -> IpAddr {
        IpAddr::from(u32::try_from(number).expect("a small number").to_be_bytes())
    }

    #[test]
    fn signature_verifications_take_turns_and_waiting_ones_are_limited() {
        let (cache, mut context) = (
            WorkerCache::new(Arc::default()),
            Context::from_waker(Waker::noop()),
        );
        let mut first = pin!(cache.turn(client(0)));
        let Poll::Ready(Some(turn)) = first.as_mut().poll(&mut context) else {
            panic!("the first caller gets its turn at once")
        };
        // One client may have a quarter of the waiting requests.
        let mut waiting: Vec<_> = (0..MAX_WAITING / 4)
            .map(|_| Box::pin(cache.turn(client(1))))
            .collect();
        assert!(
            waiting
                .iter_mut()
                .all(|one| one.as_mut().poll(&mut context).is_pending())
        );
        let mut beyond = pin!(cache.turn(client(1)));
        assert!(matches!(
            beyond.as_mut().poll(&mut context),
            Poll::Ready(None)
        ));
        // All clients together reach the limit.
        waiting.extend(
            (waiting.len()..MAX_WAITING).map(|number| Box::pin(cache.turn(client(number)))),
        );
        assert!(
            waiting
                .iter_mut()
                .all(|one| one.as_mut().poll(&mut context).is_pending())
        );
        let mut beyond = pin!(cache.turn(client(9999)));
        assert!(matches!(
            beyond.as_mut().poll(&mut context),
            Poll::Ready(None)
        ));

        // A cancelled request makes room, and the next one gets the turn.
        waiting.pop();
        drop(turn);
        let next = waiting[0].as_mut().poll(&mut context);
        assert!(matches!(next, Poll::Ready(Some(_))));
        assert!(waiting[1].as_mut().poll(&mut context).is_pending());
        drop(next);
        drop(waiting);
        assert!(cache.waiting.borrow().is_empty());
    }
}

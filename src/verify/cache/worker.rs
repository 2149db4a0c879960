//! What one worker remembers of tokens, without a lock; and its turns at verifying signatures.

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

/// Requests of one worker that may wait for their token's signature to be verified. Beyond it the worker is flooded, and
/// to wait longer than this many signatures take helps nobody. One client may be a quarter of them.
const MAX_WAITING: usize = 1024;

type Facts = unsync::Cache<Token, Arc<VerifiedToken>, Weight, DefaultHashBuilder, Leaving>;

/// Takes the facts that leave off the bytes that they all take: evicted ones, those that another one of the same token
/// replaces, and those that are not let in.
struct Leaving(Rc<Cell<u64>>);

impl Lifecycle<Token, Arc<VerifiedToken>> for Leaving {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Token, verified: Arc<VerifiedToken>) {
        self.0.update(|bytes| bytes - verified.size().in_worker());
    }
}

/// The facts that one worker keeps for itself, without a lock; and its turns at verifying signatures.
pub struct WorkerCache {
    facts: RefCell<Facts>,
    /// Bytes of memory that they take.
    bytes: Rc<Cell<u64>>,
    turns: Semaphore,
    waiting: RefCell<ClientShares>,
    pub(super) found: Arc<TokenCacheStats>,
}

impl WorkerCache {
    /// An empty one, which counts where tokens are `found`.
    #[must_use]
    pub fn new(found: Arc<TokenCacheStats>) -> Rc<Self> {
        let waiting = RefCell::new(ClientShares::new(MAX_WAITING));
        let bytes = Rc::default();
        let (hasher, leaving) = (DefaultHashBuilder::default(), Leaving(Rc::clone(&bytes)));
        // The number of entries is only where it begins; it grows with what comes in.
        let facts = RefCell::new(Facts::with(1024, MAX_WORKER_BYTES, Weight, hasher, leaving));
        Rc::new(Self {
            facts,
            bytes,
            turns: Semaphore::new(1),
            waiting,
            found,
        })
    }

    /// Keeps no more than the budget from now on.
    pub fn limit(&self, budget: CacheBudget) {
        let mut facts = self.facts.borrow_mut();
        if facts.capacity() != budget.worker {
            facts.set_capacity(budget.worker);
            self.tell(&facts);
        }
    }

    pub(super) fn find(&self, text: &Text<'_>) -> Option<Arc<VerifiedToken>> {
        self.facts.borrow().get(text).map(Arc::clone)
    }

    pub(super) fn keep(&self, verified: &Arc<VerifiedToken>) {
        let mut facts = self.facts.borrow_mut();
        self.bytes
            .update(|bytes| bytes + verified.size().in_worker());
        facts.insert(Token(Arc::clone(verified)), Arc::clone(verified));
        self.tell(&facts);
    }

    pub(super) fn forget(&self, text: &Text<'_>) {
        let mut facts = self.facts.borrow_mut();
        if let Some((_, verified)) = facts.remove(text) {
            self.bytes
                .update(|bytes| bytes - verified.size().in_worker());
        }
        self.tell(&facts);
    }

    fn tell(&self, facts: &Facts) {
        self.found
            .worker_tier
            .set(facts.len() as u64, self.bytes.get());
    }

    /// Whether a signature is being verified, so that another one would have to wait.
    pub(in crate::verify) fn is_busy(&self) -> bool {
        self.turns.available_permits() == 0
    }

    /// Waits for the worker's turn to verify a signature for a client, as [`client_network`](crate::client_limits::client_network) has it; `None`
    /// where too many wait already.
    ///
    /// A signature takes up to a quarter of a millisecond, and forging a token takes nothing. One at a time, with
    /// everything else that is ready in between, a flood of bad tokens cannot starve those who are known.
    pub(in crate::verify) async fn turn(&self, client: IpAddr) -> Option<SemaphorePermit<'_>> {
        if !self.waiting.borrow_mut().take(client) {
            return None;
        }
        let _waiting = OnDrop(|| self.waiting.borrow_mut().release(client));
        // It is never closed, so there is always a turn.
        self.turns.acquire().await.ok()
    }
}

/// Does something however a future ends, dropped ones included.
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
    fn signatures_take_turns_and_a_flood_is_turned_away() {
        let (cache, mut context) = (
            WorkerCache::new(Arc::default()),
            Context::from_waker(Waker::noop()),
        );
        let mut first = pin!(cache.turn(client(0)));
        let Poll::Ready(Some(turn)) = first.as_mut().poll(&mut context) else {
            panic!("nobody else is there")
        };
        // One client has a quarter of the room.
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
        // And all together no more than there is.
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

        // Whoever goes away makes room, and the turn goes on to the next.
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

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

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::unsync;
use quick_cache::{DefaultHashBuilder, Equivalent, Lifecycle};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::budget::{CacheBudget, MAX_WORKER_BYTES, in_shared, in_worker};
use super::{OnDrop, Shares, Verified};
use crate::telemetry::TokensFound;

/// Requests of one worker that may wait for their token's signature to be verified. Beyond it the worker is flooded, and
/// to wait longer than this many signatures take helps nobody. One client may be a quarter of them.
const MAX_WAITING: usize = 1024;

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
        let facts = facts.max_capacity(budget.shared).weigher(weigher).eviction_listener(leaves).build();
        Self { facts, bytes, budget }
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

type Facts = unsync::Cache<Token, Arc<Verified>, Weight, DefaultHashBuilder, Leaving>;

/// Takes the facts that leave off the bytes that they all take: evicted ones, those that another one of the same token
/// replaces, and those that are not let in.
struct Leaving(Rc<Cell<u64>>);

impl Lifecycle<Token, Arc<Verified>> for Leaving {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Token, fact: Arc<Verified>) {
        self.0.update(|bytes| bytes - in_worker(&fact));
    }
}

/// The facts that one worker keeps for itself, without a lock; and its turns at verifying signatures.
pub struct WorkerCache {
    facts: RefCell<Facts>,
    /// Bytes of memory that they take.
    bytes: Rc<Cell<u64>>,
    turns: Semaphore,
    waiting: RefCell<Shares>,
    found: Arc<TokensFound>,
}

impl WorkerCache {
    /// An empty one, which counts where tokens are `found`.
    #[must_use]
    pub fn new(found: Arc<TokensFound>) -> Rc<Self> {
        let waiting = RefCell::new(Shares::new(MAX_WAITING));
        let bytes = Rc::default();
        let (hasher, leaving) = (DefaultHashBuilder::default(), Leaving(Rc::clone(&bytes)));
        // The number of entries is only where it begins; it grows with what comes in.
        let facts = RefCell::new(Facts::with(1024, MAX_WORKER_BYTES, Weight, hasher, leaving));
        Rc::new(Self { facts, bytes, turns: Semaphore::new(1), waiting, found })
    }

    /// Keeps no more than the budget from now on.
    pub fn limit(&self, budget: CacheBudget) {
        let mut facts = self.facts.borrow_mut();
        if facts.capacity() != budget.worker {
            facts.set_capacity(budget.worker);
            self.tell(&facts);
        }
    }

    fn find(&self, text: &Text<'_>) -> Option<Arc<Verified>> {
        self.facts.borrow().get(text).map(Arc::clone)
    }

    fn keep(&self, fact: &Arc<Verified>) {
        let mut facts = self.facts.borrow_mut();
        self.bytes.update(|bytes| bytes + in_worker(fact));
        facts.insert(Token(Arc::clone(fact)), Arc::clone(fact));
        self.tell(&facts);
    }

    fn forget(&self, text: &Text<'_>) {
        let mut facts = self.facts.borrow_mut();
        if let Some((_, fact)) = facts.remove(text) {
            self.bytes.update(|bytes| bytes - in_worker(&fact));
        }
        self.tell(&facts);
    }

    fn tell(&self, facts: &Facts) {
        self.found.in_worker.set(facts.len() as u64, self.bytes.get());
    }

    /// Whether a signature is being verified, so that another one would have to wait.
    pub(super) fn is_busy(&self) -> bool {
        self.turns.available_permits() == 0
    }

    /// Waits for the worker's turn to verify a signature for a client, as [`network_of`](super::network_of) has it; `None`
    /// where too many wait already.
    ///
    /// A signature takes up to a quarter of a millisecond, and forging a token takes nothing. One at a time, with
    /// everything else that is ready in between, a flood of bad tokens cannot starve those who are known.
    pub(super) async fn turn(&self, client: IpAddr) -> Option<SemaphorePermit<'_>> {
        if !self.waiting.borrow_mut().enter(client) {
            return None;
        }
        let _waiting = OnDrop(|| self.waiting.borrow_mut().leave(client));
        // It is never closed, so there is always a turn.
        self.turns.acquire().await.ok()
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
        Self { last: RefCell::default(), worker }
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
        if let Some(last) = self.last.borrow().as_ref().filter(|last| *last.text == *token && holds(last)) {
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
        let size = |fact: &Option<Arc<Verified>>| fact.as_ref().map_or((0, 0), |fact| (1, fact.memory() as u64));
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
struct Token(Arc<Verified>);

/// The text of a token, to find the fact by.
struct Text<'t>(&'t str);

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

#[derive(Clone)]
struct Weight;

impl quick_cache::Weighter<Token, Arc<Verified>> for Weight {
    fn weight(&self, _: &Token, fact: &Arc<Verified>) -> u64 {
        fact.issuer.cache_limit.weight_in_worker(fact)
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
        let (cache, mut context) = (WorkerCache::new(Arc::default()), Context::from_waker(Waker::noop()));
        let mut first = pin!(cache.turn(client(0)));
        let Poll::Ready(Some(turn)) = first.as_mut().poll(&mut context) else { panic!("nobody else is there") };
        // One client has a quarter of the room.
        let mut waiting: Vec<_> = (0..MAX_WAITING / 4).map(|_| Box::pin(cache.turn(client(1)))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()));
        let mut beyond = pin!(cache.turn(client(1)));
        assert!(matches!(beyond.as_mut().poll(&mut context), Poll::Ready(None)));
        // And all together no more than there is.
        waiting.extend((waiting.len()..MAX_WAITING).map(|number| Box::pin(cache.turn(client(number)))));
        assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()));
        let mut beyond = pin!(cache.turn(client(9999)));
        assert!(matches!(beyond.as_mut().poll(&mut context), Poll::Ready(None)));

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

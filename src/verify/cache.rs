//! Tokens that were verified before: facts, never decisions.
//!
//! 1. What is kept is that a token is active and what it says. Whether that suffices is decided anew for each request.
//! 2. A fact is found by the whole token, compared byte for byte; a hash alone never identifies one.
//! 3. A fact ends with its token (`exp` + leeway), with `cache_max_age`, and with the configuration or the key that it
//!    stands on. The last two change rarely, and an [`Epoch`] tells cheaply that they did not.
//! 4. There are three tiers, the fastest first: the last token of a connection ([`Memo`]), the tokens of a worker
//!    ([`WorkerCache`]), those of all workers ([`TokenCache`]). All hold the same fact, so it is in memory once.
//! 5. Each is bounded in entries and in bytes. Only tokens that were verified come in, and a flood of new ones does not
//!    push out those that are used often.

use std::cell::RefCell;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Equivalent;
use quick_cache::unsync;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{OnDrop, Shares, Verified};
use crate::telemetry::TokensFound;

/// A fact larger than this counts as several entries, so that the bound in entries is one in bytes too.
const ENTRY_BYTES: usize = 4096;

/// Facts that one worker keeps for itself: what a worker uses often fits, and the rest is one tier away.
const WORKER_ENTRIES: u64 = 16_384;

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
}

impl TokenCache {
    /// A cache of at most `entries` tokens of up to 4 KiB each, or fewer larger ones.
    #[must_use]
    pub fn new(entries: u64) -> Self {
        let weigher = |_: &Token, fact: &Arc<Verified>| u32::try_from(weight(fact)).unwrap_or(u32::MAX);
        let bytes = Arc::new(AtomicU64::new(0));
        let left = Arc::clone(&bytes);
        let leaves = move |_: Arc<Token>, fact: Arc<Verified>, _| {
            left.fetch_sub(fact.size() as u64, Ordering::Relaxed);
        };
        let facts = moka::sync::Cache::builder().max_capacity(entries).weigher(weigher).eviction_listener(leaves);
        Self { facts: facts.build(), bytes }
    }

    /// How many facts there are, and about how many bytes of memory they take.
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
        self.bytes.fetch_add(fact.size() as u64, Ordering::Relaxed);
        self.facts.insert(Token(Arc::clone(fact)), Arc::clone(fact));
    }

    pub(super) fn forget(&self, token: &str) {
        self.facts.invalidate(&Text(token));
    }
}

/// The facts that one worker keeps for itself, without a lock; and its turns at verifying signatures.
pub struct WorkerCache {
    facts: RefCell<unsync::Cache<Token, Arc<Verified>, Weight>>,
    turns: Semaphore,
    waiting: RefCell<Shares>,
    found: Arc<TokensFound>,
}

impl WorkerCache {
    /// An empty one, which counts where tokens are `found`.
    #[must_use]
    pub fn new(found: Arc<TokensFound>) -> Rc<Self> {
        let waiting = RefCell::new(Shares::new(MAX_WAITING));
        let facts = unsync::Cache::with_weighter(1024, WORKER_ENTRIES, Weight);
        Rc::new(Self { facts: RefCell::new(facts), turns: Semaphore::new(1), waiting, found })
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
        let of_worker = self.worker.facts.borrow().get(&Text(token)).map(Arc::clone);
        if let Some(fact) = of_worker {
            if holds(&fact) {
                *self.last.borrow_mut() = Some(Arc::clone(&fact));
                self.worker.found.by_worker.count();
                return Some(fact);
            }
            self.worker.facts.borrow_mut().remove(&Text(token));
        }
        let fact = shared.find(token)?;
        if !holds(&fact) {
            shared.forget(token);
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
        self.worker.facts.borrow_mut().insert(Token(Arc::clone(fact)), Arc::clone(fact));
        *self.last.borrow_mut() = Some(Arc::clone(fact));
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
        weight(fact) as u64
    }
}

fn weight(fact: &Verified) -> usize {
    fact.size().div_ceil(ENTRY_BYTES).max(1)
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

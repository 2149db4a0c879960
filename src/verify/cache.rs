//! Tokens that were verified before: facts, never decisions.
//!
//! 1. What is kept is that a token is active and what it says. Whether that suffices is decided anew for each request.
//! 2. A fact is found by the whole token, compared byte for byte; a hash alone never identifies one.
//! 3. A fact ends with its token (`exp` + leeway), with `cache_max_age`, and with the configuration or the key that it
//!    stands on. The last two change rarely, and an [`Epoch`] tells cheaply that they did not.
//! 4. There are three tiers, the fastest first: the last token of a connection ([`ConnectionCache`]), the tokens of a worker
//!    ([`WorkerCache`]), those of all workers ([`TokenCache`]). All hold the same fact, so it is in memory once.
//! 5. Each is bounded in bytes of memory, by [`CacheBudget`]; a connection has one token at most. Only tokens that were
//!    verified come in, and a flood of new ones does not push out those that are used often.

mod budget;
mod connection;
mod epoch;
mod key;
mod shared;
mod worker;

pub(super) use budget::EntrySize;
pub use budget::{CacheBudget, CacheLimit, USUAL_ENTRY_BYTES};
pub use connection::ConnectionCache;
pub use epoch::Epoch;
pub use shared::TokenCache;
pub use worker::WorkerCache;

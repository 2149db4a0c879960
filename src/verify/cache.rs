//! Caches verified tokens: facts, never decisions.
//!
//! 1. An entry says that a token is active and what it claims. Whether that suffices is decided anew
//!    for each request.
//! 2. An entry is found by the whole token, compared byte for byte. A hash alone never identifies one.
//! 3. An entry ends with its token (`exp` + leeway), with `cache_max_age`, with a revocation, and with
//!    the configuration or the key that it depends on. The last three change rarely; an
//!    [`Epoch`](crate::sync::Epoch) shows cheaply that they did not.
//! 4. There are three tiers, fastest first: the last token of a connection ([`ConnectionCache`]), the
//!    tokens of a worker ([`WorkerCache`]), those of all workers ([`TokenCache`]). They share their
//!    entries, so each is in memory once.
//! 5. [`CacheBudget`] bounds the memory of each tier; a connection has at most one token. Only verified
//!    tokens enter, and a flood of new ones does not evict those that are used often.

mod budget;
mod connection;
mod key;
mod shared;
mod worker;

pub(super) use budget::EntrySize;
pub use budget::{CacheBudget, CacheLimit, USUAL_ENTRY_BYTES};
pub use connection::ConnectionCache;
pub use shared::TokenCache;
pub use worker::WorkerCache;

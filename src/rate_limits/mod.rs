//! Rate limits: token buckets over keys that a request has (GCRA).
//!
//! - `rate`: how fast a bucket refills, and how much it holds. `bucket`: one bucket, an atomic number.
//! - `key`: which requests share a bucket. `limit`: the buckets of one `[limits.NAME]`, shared by all
//!   workers. `worker_limits`: one worker's memory of its last buckets. `counted`: one request in
//!   several limits. `fields`: what its response says about them.
//! - `client_rates`: a rate for each client address, in a fixed amount of memory.
//! - `lease`: one gateway's part of a bucket that a fleet shares. `sharing`: what is to be leased.
//!
//! 1. Every worker counts in the same buckets, so a limit is as exact with many workers as with one.
//! 2. A request counts in all of its limits or in none. All buckets are read before one is
//!    changed, so that refused requests do not disturb others.
//! 3. Time is an argument and monotonic. A step of the wall clock changes nothing.
//! 4. Memory is bounded. If a limit has too many buckets, those that have been idle longest are
//!    dropped. Each limit has buckets of its own: a flood of addresses drops no client's bucket.
//! 5. A bucket knows its key as a keyed hash only, so that nobody can choose keys that collide, and no
//!    identity is kept.

mod bucket;
mod client_rates;
mod counted;
mod fields;
mod key;
mod lease;
mod limit;
mod rate;
mod sharing;
#[cfg(test)]
mod tests;
mod worker_limits;

pub(crate) use client_rates::ClientRates;
pub use counted::{Counted, RateLimited};
pub use key::{BucketKey, ClientIdentity, KeyPart};
pub use lease::{Grant, LeaseRequest};
pub use limit::{Limit, LimitReport, LimitSettings, MAX_BUCKETS};
pub use rate::{MAX_REFILL_TIME, Rate};
pub use sharing::{SharedBucket, Sharing};
pub use worker_limits::WorkerLimits;

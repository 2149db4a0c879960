//! The limits as one worker uses them: it remembers where its last buckets are.
//!
//! To find a bucket, a limit hashes what requests have in common, and searches a cache that all workers
//! share. That takes several times as long as to count in it. The next request of a client usually
//! comes to the same worker, with the same token.
//!
//! 1. A worker remembers buckets and no counts, so all workers still count in the same ones.
//! 2. A bucket that its limit has dropped is not used any more. Otherwise its client would have two.
//! 3. A bucket is searched again after [`REMEMBERED_FOR`], so that its limit knows that it is in use.
//! 4. The number of remembered buckets is fixed, and a reload begins with none.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::fields::Fields;
use super::key::ClientIdentity;
use super::limit::{Found, Limit};
use crate::oauth::claims::ActiveToken;

/// How long a worker uses a bucket before it asks the limit for it again.
///
/// A limit drops a bucket a second after it must be full again, and puts buckets in the order of their
/// use about three times a second. This is shorter.
pub(super) const REMEMBERED_FOR: Duration = Duration::from_millis(200);

/// The buckets that one worker remembers: a power of two. They take 90 KiB.
const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 10;

/// All limits, and what one worker remembers of them.
pub struct WorkerLimits {
    limits: Box<[(Arc<Limit>, Fields)]>,
    /// Each bucket has one slot. Clients whose buckets have the same slot displace each other.
    slots: RefCell<Box<[Option<Remembered>]>>,
}

/// A bucket, and whose it is.
struct Remembered {
    limit: usize,
    /// It keeps the address of the token from being that of another one, and not the token.
    token: Option<Weak<ActiveToken>>,
    address: Option<IpAddr>,
    route: Arc<str>,
    /// In the time of the limit.
    searched_at: u64,
    found: Found,
}

impl WorkerLimits {
    /// For one worker and one configuration. Nothing is remembered yet.
    #[must_use]
    pub fn new(limits: &[Arc<Limit>]) -> Self {
        let with_fields = |limit: &Arc<Limit>| (Arc::clone(limit), Fields::new(limit.settings()));
        let slots = if limits.is_empty() { 0 } else { SLOTS };
        Self {
            limits: limits.iter().map(with_fields).collect(),
            slots: RefCell::new((0..slots).map(|_| None).collect()),
        }
    }

    pub(super) fn limit(&self, index: usize) -> &Limit {
        &self.limits[index].0
    }

    pub(super) fn fields(&self, index: usize) -> &Fields {
        &self.limits[index].1
    }

    /// The bucket for a request; `now` is in the time of the limit.
    pub(super) fn bucket(&self, limit: usize, client: ClientIdentity<'_>, now: u64) -> Found {
        let slot = &mut self.slots.borrow_mut()[slot(limit, client)];
        if let Some(remembered) = slot
            && remembered.is_of(limit, client)
            && remembered.is_usable(now)
        {
            return remembered.found.clone();
        }
        let found = self.limit(limit).find(client);
        *slot = Some(Remembered {
            limit,
            token: client.token.map(Arc::downgrade),
            address: client.address,
            route: Arc::clone(client.route),
            searched_at: now,
            found: found.clone(),
        });
        found
    }
}

impl Remembered {
    fn is_of(&self, limit: usize, client: ClientIdentity<'_>) -> bool {
        self.limit == limit
            && self.token.as_ref().map(Weak::as_ptr) == client.token.map(Arc::as_ptr)
            && self.address == client.address
            && Arc::ptr_eq(&self.route, client.route)
    }

    fn is_usable(&self, now: u64) -> bool {
        u128::from(now.saturating_sub(self.searched_at)) < REMEMBERED_FOR.as_nanos()
            && !self.found.bucket.is_dropped()
    }
}

// The upper bits of a product depend on all bits of the factors (Fibonacci hashing).
fn slot(limit: usize, client: ClientIdentity<'_>) -> usize {
    let address = match client.address {
        None => 0,
        Some(IpAddr::V4(address)) => u64::from(address.to_bits()),
        // The network of the client.
        Some(IpAddr::V6(address)) => (address.to_bits() >> 64) as u64,
    };
    let token = client.token.map_or(0, |token| Arc::as_ptr(token).addr());
    let route = client.route.as_ptr().addr();
    let mixed = (token ^ route.rotate_left(1) ^ limit) as u64 ^ address;
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - SLOT_BITS)) as usize
}

impl fmt::Debug for WorkerLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerLimits").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

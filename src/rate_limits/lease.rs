//! A bucket that several gateways share: requests are leased from it in batches.
//!
//! The shared bucket is elsewhere, in Redis. A gateway leases some requests from it in advance, and
//! admits requests from that balance without further communication.
//!
//! 1. No request waits for a lease. A gateway that has none yet admits a few requests on credit
//!    ([`Terms::credit`]), which the next lease repays.
//! 2. The shared bucket counts credit even if it is empty. So the gateways together admit at most
//!    their credit too much, and that only once: later requests pay for it.
//! 3. While the shared bucket is known to be empty there is no credit.
//! 4. Batches grow with use, up to a part of the burst: what one gateway has leased, another cannot
//!    use. A balance that is not used is given back.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::rate::{Level, Rate};

/// All credit of a fleet is this part of a burst.
const CREDIT_FRACTION: u64 = 20;
/// All gateways together lease at most this part of a burst in advance.
const LEASED_FRACTION: u64 = 2;

/// One gateway's part of a shared bucket. Times are nanoseconds since its limit was created.
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// Requests that may be admitted. Below zero: those that were admitted on credit.
    balance: AtomicI64,
    /// Requests that were admitted since the last lease.
    used: AtomicU64,
    /// Whether a lease was requested and has not arrived.
    is_requested: AtomicBool,
    /// Until when the shared bucket has no request.
    empty_until: AtomicU64,
    /// When the shared bucket is full, as far as is known.
    full_at: AtomicU64,
}

/// How much of a shared bucket one gateway may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Requests that are admitted before a lease. At least one.
    pub(super) credit: u64,
    /// Maximum requests that are leased at once. At least one.
    pub(super) batch: u64,
    /// The credit of all gateways together.
    pub(super) total_credit: u64,
}

/// What a gateway requests of a shared bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Requests that were admitted on credit; the bucket counts them in any case.
    pub credit: u64,
    /// Requests to lease in advance.
    pub wanted: u64,
}

/// What a shared bucket grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Requests that are leased, of those that were wanted.
    pub leased: u64,
    /// Nanoseconds until the bucket is full. More than its capacity if it has given credit.
    pub full_in: u64,
}

impl Terms {
    /// The terms of one of `gateways`.
    pub(super) fn new(rate: Rate, gateways: u64) -> Self {
        let burst = rate.capacity / rate.interval;
        let gateways = gateways.max(1);
        let credit = (burst / (CREDIT_FRACTION * gateways)).max(1);
        Self {
            credit,
            batch: (burst / (LEASED_FRACTION * gateways)).max(1),
            total_credit: credit.saturating_mul(gateways),
        }
    }

    /// The longest time, in nanoseconds, in which a bucket becomes full that has given all credit.
    /// Twice the credit: gateways may have come that were not heard yet.
    pub(super) fn max_refill_time(self, rate: Rate) -> u64 {
        let credit = self.total_credit.saturating_mul(2);
        rate.capacity
            .saturating_add(rate.interval.saturating_mul(credit))
    }
}

impl Lease {
    /// What it and the shared bucket hold, as far as is known.
    pub(super) fn level(&self, rate: Rate, terms: Terms, now: u64) -> Level {
        let balance = self.balance.load(Ordering::Relaxed);
        let full_in = self.full_at.load(Ordering::Relaxed).saturating_sub(now);
        let shared = rate.capacity.saturating_sub(full_in) / rate.interval;
        Level {
            // Without what was admitted on credit.
            remaining: shared.saturating_add_signed(balance),
            full_in,
            wait: self.wait(balance, rate, terms, now),
        }
    }

    /// Takes one request out of it.
    ///
    /// # Errors
    /// It is empty, and there is no credit.
    pub(super) fn take(&self, rate: Rate, terms: Terms, now: u64) -> Result<Level, Level> {
        let taken = |balance| (self.wait(balance, rate, terms, now) == 0).then_some(balance - 1);
        let outcome = self
            .balance
            .try_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        let level = self.level(rate, terms, now);
        match outcome {
            Ok(_) => {
                self.used.fetch_add(1, Ordering::Relaxed);
                Ok(level)
            }
            Err(_) => Err(level),
        }
    }

    /// Puts back a request that [`Self::take`] took.
    pub(super) fn put_back(&self) {
        self.balance.fetch_add(1, Ordering::Relaxed);
    }

    // Nanoseconds until a request is possible; 0 if one is now.
    fn wait(&self, balance: i64, rate: Rate, terms: Terms, now: u64) -> u64 {
        if balance > 0 {
            return 0;
        }
        let empty_for = self.empty_until.load(Ordering::Relaxed).saturating_sub(now);
        let has_credit = balance.unsigned_abs() < terms.credit;
        match (empty_for, has_credit) {
            (0, true) => 0,
            // Until the lease arrives.
            (0, false) => rate.interval.max(1),
            (empty_for, _) => empty_for,
        }
    }

    /// Whether a lease is to be requested now. True for one caller only, until
    /// [`grant`](Self::grant) or [`fail`](Self::fail).
    pub(super) fn claim_request(&self, terms: Terms, now: u64) -> bool {
        let is_low = self.balance.load(Ordering::Relaxed) <= self.next_batch(terms) / 2;
        is_low
            && self.empty_until.load(Ordering::Relaxed) <= now
            && !self.is_requested.swap(true, Ordering::Relaxed)
    }

    /// What to request. What was admitted on credit is repaid by the grant.
    pub(super) fn request(&self, terms: Terms) -> LeaseRequest {
        let balance = self.balance.load(Ordering::Relaxed);
        let wanted = self.next_batch(terms) - balance.max(0);
        LeaseRequest {
            credit: u64::try_from(-balance).unwrap_or(0),
            wanted: u64::try_from(wanted).unwrap_or(0),
        }
    }

    // Twice as many as were used since the last lease.
    fn next_batch(&self, terms: Terms) -> i64 {
        let doubled = self.used.load(Ordering::Relaxed).saturating_mul(2);
        let least = (terms.batch / 4).max(1);
        i64::try_from(doubled.clamp(least, terms.batch)).unwrap_or(i64::MAX)
    }

    /// A lease has arrived. Whatever it says, its client waits no longer than for a bucket that has
    /// given all credit.
    pub(super) fn grant(
        &self,
        request: LeaseRequest,
        grant: Grant,
        rate: Rate,
        terms: Terms,
        now: u64,
    ) {
        let full_in = grant.full_in.min(terms.max_refill_time(rate));
        let wait = full_in
            .saturating_add(rate.interval)
            .saturating_sub(rate.capacity);
        let is_empty = grant.leased < request.wanted;
        let empty_until = if is_empty {
            now.saturating_add(wait)
        } else {
            0
        };
        self.empty_until.store(empty_until, Ordering::Relaxed);
        self.full_at
            .store(now.saturating_add(full_in), Ordering::Relaxed);
        let added = request.credit.saturating_add(grant.leased);
        let added = i64::try_from(added).unwrap_or(i64::MAX);
        self.balance.fetch_add(added, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
        self.is_requested.store(false, Ordering::Relaxed);
    }

    /// No lease has arrived. Another may be requested.
    pub(super) fn fail(&self) {
        self.is_requested.store(false, Ordering::Relaxed);
    }

    /// Whether it was used since the last lease, or one was requested.
    pub(super) fn is_in_use(&self) -> bool {
        self.used.load(Ordering::Relaxed) > 0 || self.is_requested.load(Ordering::Relaxed)
    }

    /// Takes the balance, to give it back, unless it was used since the last lease or is about to
    /// change.
    pub(super) fn take_unused(&self) -> u64 {
        if self.is_in_use() {
            return 0;
        }
        let rest = |balance| (balance > 0).then_some(0);
        let unused = self
            .balance
            .try_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        unused.map_or(0, |unused| u64::try_from(unused).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests;

//! One token bucket: the generic cell rate algorithm (GCRA).
//!
//! A bucket is the time at which it will be full. A request moves that time by one interval, and is
//! refused if the bucket would then be emptier than empty. So a bucket needs no timer to refill, and
//! one compare-and-swap to count.
//!
//! The rate is no part of a bucket: the caller says which one applies. A gateway that has only a
//! share of a limit counts with the rate of its share, in the same buckets.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::lease::Lease;
use super::rate::{Level, Rate};

/// A bucket. Times are nanoseconds since its limit was created.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When it is full.
    full_at: AtomicU64,
    /// This gateway's part of the bucket, if several gateways share it.
    lease: Option<Box<Lease>>,
    /// Whether its limit has forgotten it, to make room or because it was idle.
    is_dropped: AtomicBool,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(is_shared: bool) -> Self {
        Self {
            lease: is_shared.then(Box::default),
            ..Self::default()
        }
    }

    /// This gateway's part of it, if several gateways share it.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_deref()
    }

    /// Its limit has forgotten it: who counts in it must find another one.
    pub(super) fn mark_dropped(&self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Relaxed)
    }

    /// What it holds.
    pub(super) fn level(&self, rate: Rate, now: u64) -> Level {
        level(self.full_at.load(Ordering::Relaxed), rate, now)
    }

    /// Takes one request out of it.
    ///
    /// # Errors
    /// It is empty. What it holds is unchanged.
    pub(super) fn take(&self, rate: Rate, now: u64) -> Result<Level, Level> {
        let taken = |full_at: u64| {
            let full_at = full_at.max(now).saturating_add(rate.interval);
            (full_at - now <= rate.capacity).then_some(full_at)
        };
        let outcome = self
            .full_at
            .try_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        match outcome {
            Ok(before) => {
                let full_at = before.max(now).saturating_add(rate.interval);
                Ok(level(full_at, rate, now))
            }
            Err(full_at) => Err(level(full_at, rate, now)),
        }
    }

    /// Puts back a request that [`Self::take`] took at this interval.
    pub(super) fn put_back(&self, interval: u64) {
        let fuller = |full_at: u64| Some(full_at.saturating_sub(interval));
        let _ = self
            .full_at
            .try_update(Ordering::Relaxed, Ordering::Relaxed, fuller);
    }
}

fn level(full_at: u64, rate: Rate, now: u64) -> Level {
    let full_in = full_at.saturating_sub(now);
    // A rate that was lowered may leave a bucket emptier than it holds.
    let left = rate.capacity.saturating_sub(full_in);
    let wait = full_in
        .saturating_add(rate.interval)
        .saturating_sub(rate.capacity);
    Level {
        remaining: left / rate.interval,
        full_in,
        wait,
    }
}

//! What the gateways of a fleet share of their limits.
//!
//! A worker takes requests from the lease of a bucket and does not wait. The task that serves the queue
//! of [`Sharing`] leases more from the shared bucket, on the control plane. While it cannot, each gateway
//! has its own part of the limit: the limit divided by the gateways.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;

use super::bucket::Bucket;
use super::key::{BucketKey, KeyHasher};
use super::lease::{Grant, Lease, LeaseRequest, Terms};
use super::rate::{Rate, nanos_since};

/// Lease requests that wait. Beyond it, a later request tries again.
const MAX_QUEUE: usize = 10_000;

/// What the limits of one gateway need to know of its fleet.
pub struct Sharing {
    /// The gateways that were heard last, this one included.
    gateways: AtomicU64,
    /// Whether the shared buckets can be reached.
    is_connected: AtomicBool,
    queue: mpsc::Sender<SharedBucket>,
    secret: [u8; 16],
}

/// A bucket of which more is to be leased.
#[derive(Clone, Debug)]
pub struct SharedBucket {
    /// The name of the limit, and what it allows.
    pub(super) limit: [Arc<str>; 2],
    pub(super) key: BucketKey,
    pub(super) bucket: Arc<Bucket>,
    pub(super) rate: Rate,
    /// What times of the bucket count from.
    pub(super) created: Instant,
    pub(super) sharing: Arc<Sharing>,
}

impl Sharing {
    /// Sharing that is not connected yet, and the queue of what is to be leased. Gateways with the
    /// same `secret` give a bucket the same name.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> (Arc<Self>, mpsc::Receiver<SharedBucket>) {
        let (queue, requested) = mpsc::channel(MAX_QUEUE);
        let sharing = Self {
            gateways: AtomicU64::new(1),
            is_connected: AtomicBool::new(false),
            queue,
            secret,
        };
        (Arc::new(sharing), requested)
    }

    /// The gateways that were heard last, this one included.
    pub fn set_gateways(&self, gateways: u64) {
        self.gateways.store(gateways.max(1), Ordering::Relaxed);
    }

    /// Whether the shared buckets can be reached from now on. Returns whether they could until now.
    pub fn set_connected(&self, is_connected: bool) -> bool {
        self.is_connected.swap(is_connected, Ordering::Relaxed)
    }

    /// Whether the shared buckets can be reached.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    pub(super) fn hasher(&self) -> KeyHasher {
        KeyHasher::with_secret(self.secret)
    }

    pub(super) fn terms(&self, rate: Rate) -> Terms {
        Terms::new(rate, self.gateways.load(Ordering::Relaxed))
    }

    /// The rate of this gateway's own part.
    pub(super) fn own_share(&self, rate: Rate) -> Rate {
        rate.divided_by(self.gateways.load(Ordering::Relaxed))
    }

    pub(super) fn request(&self, shared: SharedBucket) {
        if let Err(error) = self.queue.try_send(shared) {
            error.into_inner().fail();
        }
    }
}

impl SharedBucket {
    /// What distinguishes it from all other buckets: the limit, what it allows, and the key.
    #[must_use]
    pub fn name(&self) -> [Vec<u8>; 3] {
        let [name, rules] = &self.limit;
        [
            name.as_bytes().to_vec(),
            rules.as_bytes().to_vec(),
            self.key.to_bytes().to_vec(),
        ]
    }

    /// Nanoseconds in which it regains one request, and in which it refills.
    #[must_use]
    pub fn interval_and_capacity(&self) -> (u64, u64) {
        (self.rate.interval, self.rate.capacity)
    }

    /// Nanoseconds in which it refills at most. A longer time in a message is an error.
    #[must_use]
    pub fn max_refill_time(&self) -> u64 {
        self.sharing.terms(self.rate).max_refill_time(self.rate)
    }

    /// What to request.
    #[must_use]
    pub fn request(&self) -> LeaseRequest {
        let terms = self.sharing.terms(self.rate);
        let lease = self.bucket.lease();
        lease.map_or_else(LeaseRequest::default, |lease| lease.request(terms))
    }

    /// What was requested has arrived.
    pub fn grant(&self, request: LeaseRequest, grant: Grant, now: Instant) {
        if let Some(lease) = self.bucket.lease() {
            let terms = self.sharing.terms(self.rate);
            let now = nanos_since(self.created, now);
            lease.grant(request, grant, self.rate, terms, now);
        }
    }

    /// What was requested did not come.
    pub fn fail(&self) {
        if let Some(lease) = self.bucket.lease() {
            lease.fail();
        }
    }

    /// Takes what was leased and is not used, to give it back.
    #[must_use]
    pub fn take_unused(&self) -> u64 {
        self.bucket.lease().map_or(0, |lease| lease.take_unused())
    }

    /// Whether something of it was leased or is being used.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.bucket.lease().is_some_and(Lease::is_in_use)
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing")
            .field("gateways", &self.gateways)
            .field("is_connected", &self.is_connected)
            .finish_non_exhaustive()
    }
}

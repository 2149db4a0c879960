//! What the gateways of a fleet share of their limits.
//!
//! A worker takes requests from the lease of a bucket and goes on. Whoever serves the queue of
//! [`Sharing`] asks the shared bucket for more, on the control plane. While it cannot, each gateway
//! has its own part of the limit: the limit divided by the gateways.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::mpsc;

use super::bucket::Bucket;
use super::key::{BucketKey, KeyHasher};
use super::lease::{Grant, LeaseRequest, Terms};
use super::limit::Limit;
use super::rate::Rate;

/// Leases that wait to be asked for. Beyond it, a later request asks again.
const MAX_QUEUE: usize = 10_000;

/// What the limits of one gateway need to know of its fleet.
pub struct Sharing {
    /// The gateways that were heard last, this one included.
    gateways: AtomicU64,
    /// Whether the shared buckets can be asked.
    is_connected: AtomicBool,
    queue: mpsc::Sender<SharedBucket>,
    secret: [u8; 16],
}

/// A bucket of which more is to be leased.
#[derive(Clone, Debug)]
pub struct SharedBucket {
    pub(super) limit: Arc<Limit>,
    pub(super) key: BucketKey,
    pub(super) bucket: Arc<Bucket>,
}

impl Sharing {
    /// Sharing that is not connected yet, and the queue of what is to be leased. Gateways with the
    /// same `secret` give a bucket the same name.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> (Arc<Self>, mpsc::Receiver<SharedBucket>) {
        let (queue, asked) = mpsc::channel(MAX_QUEUE);
        let sharing = Self {
            gateways: AtomicU64::new(1),
            is_connected: AtomicBool::new(false),
            queue,
            secret,
        };
        (Arc::new(sharing), asked)
    }

    /// The gateways that were heard last, this one included.
    pub fn set_gateways(&self, gateways: u64) {
        self.gateways.store(gateways.max(1), Ordering::Relaxed);
    }

    /// Whether the shared buckets can be asked. Returns whether they could before.
    pub fn set_connected(&self, is_connected: bool) -> bool {
        self.is_connected.swap(is_connected, Ordering::Relaxed)
    }

    pub(super) fn is_connected(&self) -> bool {
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

    pub(super) fn ask(&self, shared: SharedBucket) {
        if let Err(error) = self.queue.try_send(shared) {
            error.into_inner().fail();
        }
    }
}

impl SharedBucket {
    /// What distinguishes it from all other buckets: the limit, what it allows, and the key.
    #[must_use]
    pub fn name(&self) -> [Vec<u8>; 3] {
        let settings = self.limit.settings();
        [
            settings.name.as_bytes().to_vec(),
            settings.to_string().into_bytes(),
            self.key.to_bytes().to_vec(),
        ]
    }

    /// Nanoseconds in which it regains one request, and in which it refills.
    #[must_use]
    pub fn interval_and_capacity(&self) -> (u64, u64) {
        (self.limit.rate.interval, self.limit.rate.capacity)
    }

    /// What to ask for.
    #[must_use]
    pub fn request(&self) -> LeaseRequest {
        let terms = self.limit.terms();
        let lease = self.bucket.lease();
        lease
            .zip(terms)
            .map_or_else(LeaseRequest::default, |(lease, terms)| lease.request(terms))
    }

    /// What was asked for is here.
    pub fn grant(&self, request: LeaseRequest, grant: Grant, now: Instant) {
        if let Some(lease) = self.bucket.lease() {
            lease.grant(request, grant, self.limit.rate, self.limit.time(now));
        }
    }

    /// What was asked for did not come.
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

    /// Whether it is the same bucket.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.bucket, &other.bucket)
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

//! The buckets of one limit, shared by all workers.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::bucket::Bucket;
use super::key::{BucketKey, ClientIdentity, KeptHashes, KeyHasher, KeyPart};
use super::lease::Lease;
use super::rate::{Level, Rate, nanos_since};
use super::sharing::{SharedBucket, Sharing};

/// The maximum number of buckets of one limit.
///
/// To have an empty bucket dropped, a client needs as many other identities, each with requests of its
/// own. That is no gain: together they may send more requests than the one bucket held.
pub const MAX_BUCKETS: u64 = 100_000;

/// What a limit is made of. A reload keeps the buckets of a limit with equal settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Its name in gateway.toml.
    pub name: Arc<str>,
    /// How many requests each `per` allows.
    pub requests: u32,
    /// The time for `requests`, in whole seconds.
    pub per: Duration,
    /// How many requests are possible at once.
    pub burst: u32,
    /// What requests must have in common to share a bucket.
    pub key: Box<[KeyPart]>,
}

/// A limit with its buckets.
pub struct Limit {
    settings: LimitSettings,
    pub(super) rate: Rate,
    /// What times of buckets count from.
    created: Instant,
    hasher: KeyHasher,
    /// With which gateways it is shared.
    sharing: Option<Arc<Sharing>>,
    buckets: Cache<BucketKey, Arc<Bucket>, KeptHashes>,
    evictions: Arc<AtomicU64>,
    /// By the key of the bucket, so that workers rarely write to the same line of memory.
    stripes: Box<[Stripe; STRIPES]>,
}

/// A bucket of a limit.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: BucketKey,
    pub(super) bucket: Arc<Bucket>,
}

/// Where a request was taken from. It is put back there: meanwhile, gateways may have come, or Redis
/// may have gone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taken {
    /// The bucket, at this interval.
    Own(u64),
    /// What this gateway has leased.
    Leased,
}

/// Where a request is taken from.
enum Source<'b> {
    /// The bucket, with this rate.
    Own(Rate),
    /// What this gateway has leased.
    Leased(&'b Lease, &'b Arc<Sharing>),
}

/// A worker uses a bucket for less than this time without searching it.
const UNNOTICED_USE: Duration = Duration::from_secs(1);

/// Keeps a bucket of a fleet until it is full. What a gateway admits on credit, or as its own part,
/// empties it further than the limit alone, and gateways come and go.
struct UntilFull {
    rate: Rate,
    sharing: Arc<Sharing>,
}

impl UntilFull {
    fn idle_time(&self) -> Duration {
        let full_in = self.sharing.terms(self.rate).max_refill_time(self.rate);
        Duration::from_nanos(full_in) + UNNOTICED_USE
    }
}

impl Expiry<BucketKey, Arc<Bucket>> for UntilFull {
    fn expire_after_create(&self, _: &BucketKey, _: &Arc<Bucket>, _: Instant) -> Option<Duration> {
        Some(self.idle_time())
    }

    fn expire_after_read(
        &self,
        _: &BucketKey,
        _: &Arc<Bucket>,
        _: Instant,
        _: Option<Duration>,
        _: Instant,
    ) -> Option<Duration> {
        Some(self.idle_time())
    }
}

const STRIPES: usize = 16;

/// Counts of one part of the buckets, in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    admitted: AtomicU64,
    refused: AtomicU64,
}

/// The state of a limit, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitReport {
    /// Requests that it admitted, also if another limit refused them afterwards.
    pub admitted: u64,
    /// Requests that it refused.
    pub refused: u64,
    /// Buckets in memory.
    pub buckets: u64,
    /// Buckets that were dropped to make room for others.
    pub evictions: u64,
}

impl Limit {
    /// A limit whose buckets are full. `None` if they would take too long to refill: see [`Rate::new`].
    #[must_use]
    pub fn new(
        settings: LimitSettings,
        sharing: Option<&Arc<Sharing>>,
        now: Instant,
    ) -> Option<Self> {
        Self::with_capacity(settings, sharing, MAX_BUCKETS, now)
    }

    pub(super) fn with_capacity(
        settings: LimitSettings,
        sharing: Option<&Arc<Sharing>>,
        max_buckets: u64,
        now: Instant,
    ) -> Option<Self> {
        let rate = Rate::new(settings.requests, settings.per, settings.burst)?;
        let evictions = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&evictions);
        let on_evict = move |_: Arc<BucketKey>, bucket: Arc<Bucket>, cause| {
            bucket.mark_dropped();
            if cause == RemovalCause::Size {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        let buckets = Cache::builder()
            .max_capacity(max_buckets)
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(on_evict);
        // A bucket that was idle until it is full says as much as no bucket.
        let buckets = match sharing {
            None => buckets.time_to_idle(rate.refill_time() + UNNOTICED_USE),
            Some(sharing) => buckets.expire_after(UntilFull {
                rate,
                sharing: Arc::clone(sharing),
            }),
        };
        let buckets = buckets.build_with_hasher(KeptHashes);
        Some(Self {
            settings,
            rate,
            created: now,
            hasher: sharing.map_or_else(KeyHasher::new, |sharing| sharing.hasher()),
            sharing: sharing.cloned(),
            buckets,
            evictions,
            stripes: Box::default(),
        })
    }

    /// What it is made of.
    #[must_use]
    pub fn settings(&self) -> &LimitSettings {
        &self.settings
    }

    /// The key of the bucket for a request.
    #[must_use]
    pub fn key(&self, client: ClientIdentity<'_>) -> BucketKey {
        self.hasher.key(&self.settings.key, client)
    }

    /// The state for metrics.
    #[must_use]
    pub fn report(&self) -> LimitReport {
        // Before this, recently dropped buckets still count.
        self.buckets.run_pending_tasks();
        let sum = |count: fn(&Stripe) -> &AtomicU64| {
            let counts = self.stripes.iter().map(count);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        LimitReport {
            admitted: sum(|stripe| &stripe.admitted),
            refused: sum(|stripe| &stripe.refused),
            buckets: self.buckets.entry_count(),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }

    /// Searches the bucket for a request, and notes that it is in use.
    pub(super) fn find(&self, client: ClientIdentity<'_>) -> Found {
        let (key, is_shared) = (self.key(client), self.sharing.is_some());
        let new = || Arc::new(Bucket::new(is_shared));
        Found {
            key,
            bucket: self.buckets.get_with(key, new),
        }
    }

    /// Whether it is shared with these gateways, or with none.
    #[must_use]
    pub fn is_shared_by(&self, sharing: Option<&Arc<Sharing>>) -> bool {
        match (&self.sharing, sharing) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// What a bucket holds; `now` is a [`time`](Self::time).
    pub(super) fn level(&self, bucket: &Bucket, now: u64) -> Level {
        match self.source(bucket) {
            Source::Own(rate) => bucket.level(rate, now),
            Source::Leased(lease, sharing) => lease.level(self.rate, sharing.terms(self.rate), now),
        }
    }

    /// Takes one request out of a bucket.
    ///
    /// # Errors
    /// It is empty. What it holds is unchanged.
    pub(super) fn take(&self, found: &Found, now: u64) -> Result<(Level, Taken), Level> {
        let bucket = &found.bucket;
        match self.source(bucket) {
            Source::Own(rate) => Ok((bucket.take(rate, now)?, Taken::Own(rate.interval))),
            Source::Leased(lease, sharing) => {
                let terms = sharing.terms(self.rate);
                let taken = lease.take(self.rate, terms, now);
                self.claim_lease(lease, sharing, found, now);
                Ok((taken?, Taken::Leased))
            }
        }
    }

    /// Requests a lease, if one is needed now.
    pub(super) fn lease_more(&self, found: &Found, now: u64) {
        if let Source::Leased(lease, sharing) = self.source(&found.bucket) {
            self.claim_lease(lease, sharing, found, now);
        }
    }

    fn claim_lease(&self, lease: &Lease, sharing: &Arc<Sharing>, found: &Found, now: u64) {
        if !lease.claim_request(sharing.terms(self.rate), now) {
            return;
        }
        let (name, rules) = (&self.settings.name, self.settings.to_string());
        sharing.request(SharedBucket {
            limit: [Arc::clone(name), rules.into()],
            key: found.key,
            bucket: Arc::clone(&found.bucket),
            rate: self.rate,
            created: self.created,
            sharing: Arc::clone(sharing),
        });
    }

    /// Puts back a request that [`Self::take`] took.
    pub(super) fn put_back(&self, bucket: &Bucket, taken: Taken) {
        match (taken, bucket.lease()) {
            (Taken::Own(interval), _) => bucket.put_back(interval),
            (Taken::Leased, Some(lease)) => lease.put_back(),
            // Buckets keep what they are.
            (Taken::Leased, None) => {}
        }
    }

    // Its own while nobody shares it, or the others are out of reach.
    fn source<'b>(&'b self, bucket: &'b Bucket) -> Source<'b> {
        match (&self.sharing, bucket.lease()) {
            (Some(sharing), Some(lease)) if sharing.is_connected() => {
                Source::Leased(lease, sharing)
            }
            (Some(sharing), _) => Source::Own(sharing.own_share(self.rate)),
            (None, _) => Source::Own(self.rate),
        }
    }

    /// The time as buckets have it.
    pub(super) fn time(&self, now: Instant) -> u64 {
        nanos_since(self.created, now)
    }

    pub(super) fn count(&self, key: BucketKey, is_admitted: bool) {
        let stripe = &self.stripes[key.high as usize % STRIPES];
        let count = if is_admitted {
            &stripe.admitted
        } else {
            &stripe.refused
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for LimitSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, seconds) = (self.requests, self.per.as_secs());
        let (noun, key) = (
            if requests == 1 { "request" } else { "requests" },
            self.key.iter().map(ToString::to_string),
        );
        let key = key.collect::<Vec<_>>().join(" and ");
        let burst = self.burst;
        write!(
            f,
            "{requests} {noun} in {seconds} s, burst {burst}, by {key}"
        )
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

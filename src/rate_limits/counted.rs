//! One request in its limits: counted in all of them, or in none.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::bucket::Bucket;
use super::key::{BucketKey, ClientIdentity};
use super::limit::{Limit, Taken};
use super::rate::Level;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Room for `;r=…;t=…` of one limit, and what separates it from the next one.
const MAX_STATE: usize = 48;

/// The limits that a request was counted in, or refused by.
#[derive(Debug)]
pub struct Counted {
    first: Count,
    /// Most requests have one limit.
    others: Vec<Count>,
}

/// One limit of a request.
#[derive(Debug)]
struct Count {
    /// Its index among all limits.
    limit: usize,
    key: BucketKey,
    bucket: Arc<Bucket>,
    level: Level,
    /// Where it was taken from; none if it was not.
    taken: Option<Taken>,
}

/// A request that a limit refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {policy}, but found more (limit {name:?})")]
pub struct RateLimited {
    /// The name of the limit in gateway.toml.
    pub name: Arc<str>,
    /// What it allows.
    pub policy: String,
    /// How long until it admits a request.
    pub retry_after: Duration,
}

impl Counted {
    /// Counts a request in more limits, which `limits` are the indices of in `all`. If one of them
    /// refuses it, it counts in none, nor in those that `counted` has from before.
    ///
    /// # Errors
    /// [`RateLimited`] by the limit that admits it last.
    pub fn count(
        counted: &mut Option<Box<Self>>,
        limits: &[usize],
        all: &[Arc<Limit>],
        client: ClientIdentity<'_>,
        now: Instant,
    ) -> Result<(), Box<RateLimited>> {
        for &index in limits {
            let limit = &all[index];
            let key = limit.key(client);
            let bucket = limit.bucket(key);
            let count = Count {
                limit: index,
                key,
                level: limit.level(&bucket, now),
                bucket,
                taken: None,
            };
            match counted {
                Some(counted) => counted.others.push(count),
                None => {
                    *counted = Some(Box::new(Self {
                        first: count,
                        others: Vec::new(),
                    }));
                }
            }
        }
        let Some(counted) = counted else {
            return Ok(());
        };
        if counted.is_refused() || !counted.take(all, now) {
            return Err(counted.refuse(all, now));
        }
        Ok(())
    }

    fn is_refused(&self) -> bool {
        let refuses = |count: &Count| count.taken.is_none() && count.level.wait > 0;
        refuses(&self.first) || self.others.iter().any(refuses)
    }

    // A bucket may have become empty since it was read.
    fn take(&mut self, all: &[Arc<Limit>], now: Instant) -> bool {
        for count in self.all_mut().filter(|count| count.taken.is_none()) {
            let limit = &all[count.limit];
            match limit.take(&count.bucket, count.key, now) {
                Ok((level, taken)) => {
                    count.level = level;
                    count.taken = Some(taken);
                    limit.count(count.key, true);
                }
                Err(level) => {
                    count.level = level;
                    return false;
                }
            }
        }
        true
    }

    #[cold]
    fn refuse(&mut self, all: &[Arc<Limit>], now: Instant) -> Box<RateLimited> {
        for count in self.all_mut() {
            let limit = &all[count.limit];
            if let Some(taken) = count.taken.take() {
                limit.put_back(&count.bucket, taken);
                count.level.remaining += 1;
                count.level.full_in = count.level.full_in.saturating_sub(limit.rate.interval);
            } else if count.level.wait > 0 {
                limit.count(count.key, false);
                // A client that is refused until a lease arrives must get one, also if the last
                // one failed.
                limit.lease_more(&count.bucket, count.key, now);
            }
        }
        let last = self.all().max_by_key(|count| count.level.wait);
        let last = last.unwrap_or(&self.first);
        let settings = all[last.limit].settings();
        Box::new(RateLimited {
            name: Arc::clone(&settings.name),
            policy: settings.to_string(),
            retry_after: Duration::from_nanos(last.level.wait),
        })
    }

    /// Sets `RateLimit` and `RateLimit-Policy` of a response (draft-ietf-httpapi-ratelimit-headers-11),
    /// in place of the upstream's.
    pub fn set_fields(&self, all: &[Arc<Limit>], response: &mut HeaderMap) {
        let length = |count: &Count| all[count.limit].policy.len() + 2;
        let policies: usize = self.all().map(length).sum();
        let states = policies + MAX_STATE * (1 + self.others.len());
        let mut text = BytesMut::with_capacity(policies + states);
        for count in self.all() {
            separate(&mut text);
            text.extend_from_slice(all[count.limit].policy.as_bytes());
        }
        let policy = text.split();
        for count in self.all() {
            separate(&mut text);
            let name = &all[count.limit].settings().name;
            let (remaining, seconds) = (count.level.remaining, whole_seconds(count.level.full_in));
            // Into a BytesMut, which grows.
            let _ = write!(text, "\"{name}\";r={remaining};t={seconds}");
        }
        let fields = [(RATELIMIT, text), (RATELIMIT_POLICY, policy)];
        for (name, text) in fields {
            // Names and numbers are valid in any header.
            if let Ok(value) = HeaderValue::from_maybe_shared(text.freeze()) {
                response.insert(name, value);
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = &Count> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Count> {
        std::iter::once(&mut self.first).chain(&mut self.others)
    }
}

fn separate(text: &mut BytesMut) {
    if !text.is_empty() {
        text.extend_from_slice(b", ");
    }
}

// Rounded up: a client that comes too early is refused.
fn whole_seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}

//! One request in its limits: counted in all of them, or in none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::fields;
use super::key::ClientIdentity;
use super::limit::{Found, Taken};
use super::rate::Level;
use super::worker_limits::WorkerLimits;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The limits that a request was counted in, or refused by.
#[derive(Debug, Default)]
pub struct Counted {
    /// Most requests have one limit.
    counts: SmallVec<[Count; 1]>,
}

/// One limit of a request.
#[derive(Debug)]
struct Count {
    /// Its index among all limits.
    limit: usize,
    found: Found,
    /// When it counts, in the time of the limit.
    at: u64,
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
    /// Counts a request in more limits, with these `indices`. If one of them refuses it, it counts in
    /// none, nor in those that `counted` has from before.
    ///
    /// # Errors
    /// [`RateLimited`] by the limit that admits it last.
    pub fn count(
        counted: &mut Option<Box<Self>>,
        indices: &[usize],
        limits: &WorkerLimits,
        client: ClientIdentity<'_>,
        now: Instant,
    ) -> Result<(), Box<RateLimited>> {
        for &index in indices {
            let limit = limits.limit(index);
            let at = limit.time(now);
            let found = limits.bucket(index, client, at);
            let count = Count {
                limit: index,
                level: limit.level(&found.bucket, at),
                found,
                at,
                taken: None,
            };
            counted.get_or_insert_default().counts.push(count);
        }
        let Some(counted) = counted else {
            return Ok(());
        };
        if counted.is_refused() || !counted.take(limits) {
            return Err(counted.refuse(limits));
        }
        Ok(())
    }

    fn is_refused(&self) -> bool {
        let refuses = |count: &Count| count.taken.is_none() && count.level.wait > 0;
        self.counts.iter().any(refuses)
    }

    // A bucket may have become empty since it was read.
    fn take(&mut self, limits: &WorkerLimits) -> bool {
        let pending = |count: &&mut Count| count.taken.is_none();
        for count in self.counts.iter_mut().filter(pending) {
            let limit = limits.limit(count.limit);
            match limit.take(&count.found, count.at) {
                Ok((level, taken)) => {
                    count.level = level;
                    count.taken = Some(taken);
                    limit.count(count.found.key, true);
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
    fn refuse(&mut self, limits: &WorkerLimits) -> Box<RateLimited> {
        for count in &mut self.counts {
            let limit = limits.limit(count.limit);
            if let Some(taken) = count.taken.take() {
                limit.put_back(&count.found.bucket, taken);
                count.level.remaining += 1;
                count.level.full_in = count.level.full_in.saturating_sub(limit.rate.interval);
            } else if count.level.wait > 0 {
                // The shared bucket may hold more, of which nothing is leased yet. The fields say
                // the same as Retry-After.
                count.level.remaining = 0;
                count.level.full_in = count.level.full_in.max(count.level.wait);
                limit.count(count.found.key, false);
                // A client that is refused until a lease arrives must get one, also if the last
                // one failed.
                limit.lease_more(&count.found, count.at);
            }
        }
        let waits = self
            .counts
            .iter()
            .map(|count| (count.level.wait, count.limit));
        let (wait, last) = waits.max().unwrap_or_default();
        let settings = limits.limit(last).settings();
        Box::new(RateLimited {
            name: Arc::clone(&settings.name),
            policy: settings.to_string(),
            retry_after: Duration::from_nanos(wait),
        })
    }

    /// Sets `RateLimit` and `RateLimit-Policy` of a response (draft-ietf-httpapi-ratelimit-headers-11),
    /// in place of the upstream's.
    pub fn set_fields(&self, limits: &WorkerLimits, response: &mut HeaderMap) {
        let state = |count: &Count| limits.fields(count.limit).state(count.level);
        let policy = |count: &Count| limits.fields(count.limit).policy();
        response.insert(RATELIMIT, self.list(state));
        response.insert(RATELIMIT_POLICY, self.list(policy));
    }

    fn list(&self, member: impl Fn(&Count) -> HeaderValue) -> HeaderValue {
        match &*self.counts {
            [count] => member(count),
            counts => fields::list(&counts.iter().map(member).collect::<Vec<_>>()),
        }
    }
}

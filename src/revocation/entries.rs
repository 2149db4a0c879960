//! The entries in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use super::digest::{Digest, Revocation, Selector};
use super::token_digests::TokenDigests;
use crate::oauth::UnixTime;
use crate::sync::Epoch;

/// A hash table doubles when it is 7/8 full. With this number of tables, a million entries fill them
/// to two thirds: 41 bytes for each entry, measured as the growth of resident memory.
const SHARDS: usize = 96;

/// One revocation, as memory, file and stream hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is revoked.
    pub digest: Digest,
    /// Which of these tokens, by the time when they were issued.
    pub issued_before: IssuedBefore,
    /// When the last of these tokens has expired.
    pub expires: UnixTime,
}

/// Which tokens an entry revokes, by the time when they were issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssuedBefore {
    /// Those issued until then.
    Time(UnixTime),
    /// All, also those that do not say when they were issued: the digest is of one token.
    Always,
}

/// The store has `max_entries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store of revocations is full (see max_entries)")]
pub struct Full;

/// All entries, in shards that are locked one at a time.
pub(super) struct Entries {
    shards: Box<[RwLock<HashMap<Digest, Times>>]>,
    count: AtomicUsize,
    max: AtomicUsize,
    /// Advances with each addition.
    generation: AtomicU64,
    epoch: Epoch,
}

/// The times of an entry in seconds since 1970, in eight bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Times {
    /// [`u32::MAX`]: always.
    issued_before: u32,
    /// [`u32::MAX`]: never.
    expires: u32,
}

impl Revocation {
    /// Its entry, which lives until `expires`.
    #[must_use]
    pub fn entry(&self, expires: UnixTime) -> Entry {
        let issuer = self.issuer.as_str();
        let is_one_token = self.selector.as_ref().is_some_and(Selector::is_one_token);
        Entry {
            digest: match &self.selector {
                Some(selector) => Digest::of(issuer, selector),
                None => Digest::of_issuer(issuer),
            },
            issued_before: if is_one_token {
                IssuedBefore::Always
            } else {
                IssuedBefore::Time(self.issued_before)
            },
            expires,
        }
    }
}

impl Entries {
    pub(super) fn new(max: usize, epoch: Epoch) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            count: AtomicUsize::new(0),
            max: AtomicUsize::new(max),
            generation: AtomicU64::new(0),
            epoch,
        }
    }

    pub(super) fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub(super) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds an entry to at most `max`. Whether it says more than those that are there.
    ///
    /// The epoch advances before the lock is released: who adds the same entry meanwhile must not
    /// call it active before it is.
    pub(super) fn add(&self, entry: &Entry, max: usize) -> Result<bool, Full> {
        let times = Times::of(entry);
        let mut shard = self.write(entry.digest.shard(SHARDS));
        if let Some(known) = shard.get_mut(&entry.digest) {
            let both = known.merged(times);
            let is_more = both != *known;
            *known = both;
            if is_more {
                self.advance();
            }
            return Ok(is_more);
        }
        self.count
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < max).then_some(count + 1)
            })
            .map_err(|_| Full)?;
        shard.insert(entry.digest, times);
        self.advance();
        Ok(true)
    }

    fn advance(&self) {
        self.generation.fetch_add(1, Ordering::Release);
        self.epoch.advance();
    }

    pub(super) fn revoke(&self, token: &TokenDigests) -> bool {
        token.digests().iter().any(|digest| {
            let shard = &self.shards[digest.shard(SHARDS)];
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            shard
                .get(digest)
                .is_some_and(|times| times.revoke(token.issued()))
        })
    }

    /// Removes what has expired. How many entries that were.
    pub(super) fn remove_expired(&self, now: UnixTime) -> usize {
        let mut removed = 0;
        for index in 0..SHARDS {
            let mut shard = self.write(index);
            let before = shard.len();
            shard.retain(|_, times| !times.have_expired(now));
            let gone = before - shard.len();
            if gone > 0 && shard.len() < shard.capacity() / 4 {
                shard.shrink_to_fit();
            }
            self.count.fetch_sub(gone, Ordering::Relaxed);
            removed += gone;
        }
        removed
    }

    /// All entries, copied one shard at a time.
    pub(super) fn all(&self) -> Vec<Entry> {
        let mut all = Vec::with_capacity(self.count());
        for shard in &self.shards {
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.iter().map(|(digest, times)| times.entry(*digest)));
        }
        all
    }

    /// For how many entries there is memory.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| {
                shard
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .capacity()
            })
            .sum()
    }

    fn write(&self, index: usize) -> std::sync::RwLockWriteGuard<'_, HashMap<Digest, Times>> {
        self.shards[index]
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Times {
    fn of(entry: &Entry) -> Self {
        Self {
            issued_before: match entry.issued_before {
                IssuedBefore::Always => u32::MAX,
                // The largest time is "always": what revokes more is the safe direction.
                IssuedBefore::Time(at) => saturated(at),
            },
            expires: saturated(entry.expires),
        }
    }

    fn entry(self, digest: Digest) -> Entry {
        Entry {
            digest,
            issued_before: match self.issued_before {
                u32::MAX => IssuedBefore::Always,
                at => IssuedBefore::Time(UnixTime::from_seconds(at.into())),
            },
            expires: UnixTime::from_seconds(self.expires.into()),
        }
    }

    fn merged(self, other: Self) -> Self {
        Self {
            issued_before: self.issued_before.max(other.issued_before),
            expires: self.expires.max(other.expires),
        }
    }

    // A token that does not say when it was issued is revoked by an entry about itself only.
    fn revoke(self, issued: Option<UnixTime>) -> bool {
        self.issued_before == u32::MAX
            || issued.is_some_and(|at| at.as_seconds() <= i64::from(self.issued_before))
    }

    fn have_expired(self, now: UnixTime) -> bool {
        self.expires != u32::MAX && i64::from(self.expires) <= now.as_seconds()
    }
}

fn saturated(at: UnixTime) -> u32 {
    u32::try_from(at.as_seconds().max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: &str, issued_before: i64, expires: i64) -> Entry {
        let revocation = Revocation {
            issuer: "https://id.example.com".into(),
            selector: Some(Selector::Sub(value.into())),
            issued_before: UnixTime::from_seconds(issued_before),
        };
        revocation.entry(UnixTime::from_seconds(expires))
    }

    #[test]
    fn full_store_accepts_nothing_more_and_keeps_what_it_has() {
        let entries = Entries::new(2, Epoch::default());
        assert_eq!(entries.add(&entry("a", 1, 100), entries.max()), Ok(true));
        assert_eq!(entries.add(&entry("b", 1, 50), entries.max()), Ok(true));
        assert_eq!(entries.add(&entry("c", 1, 100), entries.max()), Err(Full));
        assert_eq!(
            entries.add(&entry("a", 2, 100), entries.max()),
            Ok(true),
            "a known digest"
        );
        assert_eq!(entries.count(), 2);
        assert_eq!(entries.remove_expired(UnixTime::from_seconds(50)), 1);
        assert_eq!(entries.add(&entry("c", 1, 100), entries.max()), Ok(true));
    }

    #[test]
    fn repeated_entry_never_revokes_less() {
        let entries = Entries::new(9, Epoch::default());
        assert_eq!(entries.add(&entry("a", 10, 100), entries.max()), Ok(true));
        assert_eq!(entries.add(&entry("a", 5, 50), entries.max()), Ok(false));
        assert_eq!(entries.all(), [entry("a", 10, 100)]);
        assert_eq!(entries.add(&entry("a", 11, 90), entries.max()), Ok(true));
        assert_eq!(entries.all(), [entry("a", 11, 100)]);
    }

    #[test]
    fn time_beyond_four_bytes_revokes_more_and_does_not_expire() {
        let times = Times::of(&entry("a", i64::MAX, i64::MAX));
        assert!(times.revoke(Some(UnixTime::from_seconds(i64::MAX))));
        assert!(!times.have_expired(UnixTime::from_seconds(i64::MAX)));
    }

    #[test]
    fn token_issued_in_the_second_of_the_revocation_is_revoked() {
        let times = Times::of(&entry("a", 10, 100));
        let revokes = |at| times.revoke(Some(UnixTime::from_seconds(at)));
        assert!(revokes(10) && revokes(-1) && !revokes(11));
        assert!(!times.revoke(None), "only entries of one token revoke it");
    }

    #[test]
    fn equal_additions_at_once_are_both_active_when_they_return() {
        let epoch = Epoch::default();
        let entries = Entries::new(usize::MAX, epoch.clone());
        for round in 0..2000 {
            let (one, before) = (entry(&round.to_string(), 10, 100), epoch.now());
            let together = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        together.wait();
                        assert!(entries.add(&one, usize::MAX).is_ok());
                        assert!(epoch.now() > before, "round {round}");
                    });
                }
            });
        }
    }
}

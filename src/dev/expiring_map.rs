//! A bounded map from tokens to values that expire.
//!
//! 1. The SHA-256 of a token is the key, so that no usable token is stored.
//! 2. When the map is full, expired entries are removed, or else the oldest one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_lc_rs::digest::{SHA256, digest};

use crate::oauth::UnixTime;

type Digest = [u8; 32];

/// Values by token, each until its own expiry.
pub(super) struct ExpiringMap<T> {
    capacity: usize,
    entries: BTreeMap<Age, Entry<T>>,
    ages: HashMap<Digest, Age>,
    expiries: BTreeSet<(UnixTime, Age)>,
    next: Age,
}

/// A sequence number: lower is older.
type Age = u64;

struct Entry<T> {
    digest: Digest,
    expires_at: UnixTime,
    value: T,
}

impl<T> ExpiringMap<T> {
    /// Creates an empty map of at most `capacity` entries.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: BTreeMap::new(),
            ages: HashMap::new(),
            expiries: BTreeSet::new(),
            next: 0,
        }
    }

    /// Inserts or replaces a value, which is gone at `expires_at`.
    pub(super) fn insert(&mut self, token: &str, value: T, expires_at: UnixTime, now: UnixTime) {
        self.remove(token);
        if self.entries.len() >= self.capacity {
            self.evict(now);
        }
        let digest = sha256(token);
        let age = self.next;
        self.next += 1;
        self.ages.insert(digest, age);
        self.expiries.insert((expires_at, age));
        self.entries.insert(
            age,
            Entry {
                digest,
                expires_at,
                value,
            },
        );
    }

    /// The value of a token, unless it has expired.
    pub(super) fn get(&self, token: &str, now: UnixTime) -> Option<&T> {
        let entry = self.entries.get(self.ages.get(&sha256(token))?)?;
        (now < entry.expires_at).then_some(&entry.value)
    }

    /// Removes an entry. Returns its value, unless it has expired.
    pub(super) fn take(&mut self, token: &str, now: UnixTime) -> Option<T> {
        let age = *self.ages.get(&sha256(token))?;
        let entry = self.remove_entry(age)?;
        (now < entry.expires_at).then_some(entry.value)
    }

    /// Removes an entry. Returns whether there was one.
    pub(super) fn remove(&mut self, token: &str) -> bool {
        match self.ages.get(&sha256(token)) {
            Some(&age) => self.remove_entry(age).is_some(),
            None => false,
        }
    }

    fn evict(&mut self, now: UnixTime) {
        while let Some(&(expires_at, age)) = self.expiries.first()
            && expires_at <= now
        {
            self.remove_entry(age);
        }
        if self.entries.len() >= self.capacity
            && let Some((&oldest, _)) = self.entries.first_key_value()
        {
            self.remove_entry(oldest);
        }
    }

    fn remove_entry(&mut self, age: Age) -> Option<Entry<T>> {
        let entry = self.entries.remove(&age)?;
        self.ages.remove(&entry.digest);
        self.expiries.remove(&(entry.expires_at, age));
        Some(entry)
    }
}

fn sha256(token: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    /// A full map, in which `short` is the newer entry.
    fn full() -> ExpiringMap<u8> {
        let mut map = ExpiringMap::new(2);
        map.insert("long", 1, at(100), at(0));
        map.insert("short", 2, at(10), at(0));
        map
    }

    #[test]
    fn expired_entry_is_not_returned() {
        let map = full();
        assert_eq!(map.get("short", at(9)), Some(&2));
        assert_eq!(map.get("short", at(10)), None);
    }

    #[test]
    fn expired_entry_is_evicted_before_an_older_one() {
        let mut map = full();
        map.insert("third", 3, at(100), at(10));
        assert_eq!(
            (map.get("long", at(10)), map.get("third", at(10))),
            (Some(&1), Some(&3))
        );
        assert_eq!(map.entries.len(), 2);
    }

    #[test]
    fn oldest_entry_is_evicted_if_none_has_expired() {
        let mut map = full();
        map.insert("third", 3, at(100), at(9));
        assert_eq!(
            (map.get("long", at(9)), map.get("short", at(9))),
            (None, Some(&2))
        );
        assert_eq!(map.get("third", at(9)), Some(&3));
    }

    #[test]
    fn removed_entry_is_removed_from_every_index() {
        let mut map = full();
        assert!(map.remove("long") && map.remove("short"));
        assert!(!map.remove("long"));
        assert_eq!(
            (map.entries.len(), map.ages.len(), map.expiries.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn entry_is_taken_once_and_not_after_its_expiry() {
        let mut map = full();
        assert_eq!(map.take("long", at(9)), Some(1));
        assert_eq!(map.take("long", at(9)), None);
        assert_eq!(map.take("short", at(10)), None);
        assert_eq!((map.entries.len(), map.expiries.len()), (0, 0));
    }

    #[test]
    fn inserted_entry_replaces_an_earlier_one() {
        let mut map = full();
        map.insert("short", 3, at(100), at(9));
        assert_eq!(
            (map.get("long", at(9)), map.get("short", at(10))),
            (Some(&1), Some(&3))
        );
    }
}

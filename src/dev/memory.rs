//! What is remembered of tokens until they expire.
//!
//! 1. A text is remembered by its SHA-256, so that no token in here is good for a request.
//! 2. There is a bound: where it is reached, the expired make room, or else the oldest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_lc_rs::digest::{SHA256, digest};

use crate::oauth::UnixTime;

type Digest = [u8; 32];

/// Values by texts that are not kept, each until a time of its own.
pub(super) struct Memory<T> {
    capacity: usize,
    entries: BTreeMap<Age, Entry<T>>,
    ages: HashMap<Digest, Age>,
    expiries: BTreeSet<(UnixTime, Age)>,
    next: Age,
}

/// The lower, the older.
type Age = u64;

struct Entry<T> {
    digest: Digest,
    expires_at: UnixTime,
    value: T,
}

impl<T> Memory<T> {
    /// Remembers nothing yet, and never more than `capacity` values.
    pub(super) fn new(capacity: usize) -> Self {
        let (entries, ages, expiries) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self {
            capacity,
            entries,
            ages,
            expiries,
            next: 0,
        }
    }

    /// Remembers `value` until, and not at, `expires_at`.
    pub(super) fn remember(&mut self, text: &str, value: T, expires_at: UnixTime, now: UnixTime) {
        self.forget(text);
        if self.entries.len() >= self.capacity {
            self.make_room(now);
        }
        let (digest, age) = (sha256(text), self.next);
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

    /// What is remembered of it, unless it has expired.
    pub(super) fn recall(&self, text: &str, now: UnixTime) -> Option<&T> {
        let entry = self.entries.get(self.ages.get(&sha256(text))?)?;
        (now < entry.expires_at).then_some(&entry.value)
    }

    /// Forgets it; tells whether there was anything to forget.
    pub(super) fn forget(&mut self, text: &str) -> bool {
        match self.ages.get(&sha256(text)) {
            Some(&age) => self.drop_entry(age),
            None => false,
        }
    }

    fn make_room(&mut self, now: UnixTime) {
        while let Some(&(expires_at, age)) = self.expiries.first()
            && expires_at <= now
        {
            self.drop_entry(age);
        }
        if self.entries.len() >= self.capacity
            && let Some((&oldest, _)) = self.entries.first_key_value()
        {
            self.drop_entry(oldest);
        }
    }

    fn drop_entry(&mut self, age: Age) -> bool {
        let Some(entry) = self.entries.remove(&age) else {
            return false;
        };
        self.ages.remove(&entry.digest);
        self.expiries.remove(&(entry.expires_at, age))
    }
}

fn sha256(text: &str) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixTime {
        UnixTime::from_seconds(seconds)
    }

    /// Full, with `short` the younger one.
    fn full() -> Memory<u8> {
        let mut memory = Memory::new(2);
        memory.remember("long", 1, at(100), at(0));
        memory.remember("short", 2, at(10), at(0));
        memory
    }

    #[test]
    fn expired_entry_is_not_recalled() {
        let memory = full();
        assert_eq!(memory.recall("short", at(9)), Some(&2));
        assert_eq!(memory.recall("short", at(10)), None);
    }

    #[test]
    fn expired_entry_makes_room_before_an_older_one() {
        let mut memory = full();
        memory.remember("third", 3, at(100), at(10));
        assert_eq!(
            (
                memory.recall("long", at(10)),
                memory.recall("third", at(10))
            ),
            (Some(&1), Some(&3))
        );
        assert_eq!(memory.entries.len(), 2);
    }

    #[test]
    fn oldest_entry_makes_room_where_none_has_expired() {
        let mut memory = full();
        memory.remember("third", 3, at(100), at(9));
        assert_eq!(
            (memory.recall("long", at(9)), memory.recall("short", at(9))),
            (None, Some(&2))
        );
        assert_eq!(memory.recall("third", at(9)), Some(&3));
    }

    #[test]
    fn forgotten_entry_leaves_nothing_behind() {
        let mut memory = full();
        assert!(memory.forget("long") && memory.forget("short"));
        assert!(!memory.forget("long"));
        assert_eq!(
            (
                memory.entries.len(),
                memory.ages.len(),
                memory.expiries.len()
            ),
            (0, 0, 0)
        );
    }

    #[test]
    fn repeated_entry_takes_the_place_of_the_earlier_one() {
        let mut memory = full();
        memory.remember("short", 3, at(100), at(9));
        assert_eq!(
            (memory.recall("long", at(9)), memory.recall("short", at(10))),
            (Some(&1), Some(&3))
        );
    }
}

//! How much memory the cache of tokens may take: `cache_bytes`, `cache_entries`.
//!
//! 1. What counts is all that an entry holds: the fact, and what its tier needs to find it. The limit is one of memory.
//! 2. The shared tier may have five eighths of `cache_bytes`, and the workers two eighths together. A fact that is in
//!    several tiers is in memory once and counts in each, so the limit holds whatever is where. The last eighth is for
//!    what the allocator leaves unused between entries that come and go.
//! 3. All issuers share one cache, and what they may have is added up.
//! 4. Where a file sets `cache_entries` alone, nothing is limited but the number of entries, those above 4 KiB of text
//!    counting as several.

/// What the shared tier needs for an entry beside the fact: measured, see `tests/cache_memory.rs`.
const SHARED_ENTRY_BYTES: usize = 464;

/// What a worker's tier needs for an entry beside the fact.
const WORKER_ENTRY_BYTES: usize = 96;

/// What a worker's tier may have at most, and what it has where entries are limited and bytes are not: 16,384 entries.
/// What a worker uses often fits, and the rest is one tier away.
pub(super) const MAX_WORKER_BYTES: u64 = 64 * 1024 * 1024;

/// An entry of more text than this counts as several where entries are limited and bytes are not.
const ENTRY_LENGTH: usize = 4096;

/// What a verified token of 300 to 600 bytes takes, for an estimate where bytes are not limited. What workers hold that
/// the shared tier has evicted, and what the allocator leaves unused, is a part of it.
pub const USUAL_ENTRY_BYTES: u64 = 3072;

/// The size of one verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verify) struct EntrySize {
    /// Bytes of text that it was made of: the token, its claims, and the token that replaces it.
    pub(in crate::verify) text: usize,
    /// Bytes of memory that it takes, with all that it owns.
    pub(in crate::verify) memory: usize,
}

/// How much of the cache the tokens of one issuer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLimit {
    /// So many entries, whatever memory they take.
    Entries(u64),
    /// So many bytes of memory, and entries.
    Bytes {
        /// `cache_bytes`
        bytes: u64,
        /// `cache_entries`
        entries: u64,
    },
}

/// What the tiers of the cache may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBudget {
    /// All workers' tier.
    pub(super) shared: u64,
    /// Each worker's own tier.
    pub(super) worker: u64,
}

impl CacheBudget {
    /// What issuers of these limits may take together, with so many workers.
    #[must_use]
    pub fn of(limits: impl IntoIterator<Item = CacheLimit>, workers: usize) -> Self {
        let (mut shared, mut workers_bytes) = (0_u64, 0_u64);
        for limit in limits {
            shared = shared.saturating_add(limit.shared());
            workers_bytes = workers_bytes.saturating_add(limit.workers(workers as u64));
        }
        Self {
            shared,
            worker: (workers_bytes / (workers as u64).max(1)).min(MAX_WORKER_BYTES),
        }
    }
}

impl CacheLimit {
    fn shared(self) -> u64 {
        match self {
            Self::Entries(entries) => entries.saturating_mul(ENTRY_LENGTH as u64),
            Self::Bytes { entries: 0, .. } => 0,
            Self::Bytes { bytes, .. } => bytes / 8 * 5,
        }
    }

    fn workers(self, workers: u64) -> u64 {
        match self {
            Self::Entries(_) => workers.saturating_mul(MAX_WORKER_BYTES),
            Self::Bytes { entries: 0, .. } => 0,
            Self::Bytes { bytes, .. } => bytes / 8 * 2,
        }
    }

    /// What of [`CacheBudget::shared`] a fact takes.
    pub(super) fn weight(self, size: EntrySize) -> u32 {
        let weight = match self {
            Self::Entries(_) => size.as_entries(),
            // Where there are so many small ones that their number is the limit, each counts as its share.
            Self::Bytes { entries, .. } => size.in_shared().max(self.shared() / entries.max(1)),
        };
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    /// What of [`CacheBudget::worker`] a fact takes.
    pub(super) fn weight_in_worker(self, size: EntrySize) -> u64 {
        match self {
            Self::Entries(_) => size.as_entries(),
            Self::Bytes { .. } => size.in_worker(),
        }
    }
}

impl EntrySize {
    // Whatever memory it takes: an entry, or several.
    fn as_entries(self) -> u64 {
        (self.text.div_ceil(ENTRY_LENGTH).max(1) * ENTRY_LENGTH) as u64
    }

    /// Bytes of memory that it takes in the shared tier.
    pub(super) fn in_shared(self) -> u64 {
        (self.memory + SHARED_ENTRY_BYTES) as u64
    }

    /// Bytes of memory that it takes in a worker's tier.
    pub(super) fn in_worker(self) -> u64 {
        (self.memory + WORKER_ENTRY_BYTES) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEBIBYTE: u64 = 1024 * 1024;

    #[test]
    fn workers_share_a_quarter_of_the_bytes() {
        let limit = |mebibytes: u64| CacheLimit::Bytes {
            bytes: mebibytes * MEBIBYTE,
            entries: 100_000,
        };
        for (limits, workers, shared, worker) in [
            (vec![limit(64)], 2, 40, 8),
            (vec![limit(64)], 16, 40, 1),
            (vec![limit(64), limit(64)], 1, 80, 32),
            // No worker has use for more.
            (vec![limit(1024)], 1, 640, 64),
            (vec![CacheLimit::Entries(256)], 4, 1, 64),
            (vec![CacheLimit::Entries(256), limit(64)], 4, 41, 64),
            (vec![limit(0)], 1, 0, 0),
            (
                vec![CacheLimit::Bytes {
                    bytes: MEBIBYTE,
                    entries: 0,
                }],
                1,
                0,
                0,
            ),
            (vec![], 1, 0, 0),
        ] {
            let expected = CacheBudget {
                shared: shared * MEBIBYTE,
                worker: worker * MEBIBYTE,
            };
            assert_eq!(
                CacheBudget::of(limits.clone(), workers),
                expected,
                "{limits:?} with {workers} workers"
            );
        }
    }
}

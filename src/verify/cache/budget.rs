//! The memory limits of the token cache: `cache_bytes`, `cache_entries`.
//!
//! 1. An entry counts with all its memory: the verified token, and what its tier needs to find it.
//! 2. The shared tier may have five eighths of `cache_bytes`, and the workers two eighths together. An
//!    entry in several tiers is in memory once but counts in each, so the limit always holds. The last
//!    eighth is for memory that the allocator leaves unused between entries.
//! 3. All issuers share one cache; their limits are added up.
//! 4. If a file sets only `cache_entries`, the number of entries is the only limit. An entry above
//!    4 KiB of text counts as several.

/// What the shared tier needs for an entry beside the token: measured, see `tests/cache_memory.rs`.
const SHARED_ENTRY_BYTES: usize = 464;

/// What a worker's tier needs for an entry beside the token.
const WORKER_ENTRY_BYTES: usize = 96;

/// The maximum of a worker's tier, which applies too if only entries are limited: 16,384 entries. The
/// tokens that a worker uses often fit; others are one tier away.
pub(super) const MAX_WORKER_BYTES: u64 = 64 * 1024 * 1024;

/// An entry with more text counts as several if only entries are limited.
const ENTRY_LENGTH: usize = 4096;

/// The memory of a verified token of 300 to 600 bytes, for an estimate if bytes are not limited. It
/// includes what workers hold after the shared tier evicted it, and unused memory of the allocator.
pub const USUAL_ENTRY_BYTES: u64 = 3072;

/// The size of one verified token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::verify) struct EntrySize {
    /// Bytes of text that it was made of: the token, its claims, and the token that replaces it.
    pub(in crate::verify) text: usize,
    /// Bytes of memory that it takes, with all that it owns.
    pub(in crate::verify) memory: usize,
}

/// The limit of one issuer's tokens in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheLimit {
    /// A number of entries, whatever their memory.
    Entries(u64),
    /// Bytes of memory, and a number of entries.
    Bytes {
        /// `cache_bytes`
        bytes: u64,
        /// `cache_entries`
        entries: u64,
    },
}

/// The limits of the tiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheBudget {
    /// All workers' tier.
    pub(super) shared: u64,
    /// Each worker's own tier.
    pub(super) worker: u64,
}

impl CacheBudget {
    /// The sum of the limits of all issuers, divided among the workers.
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

    /// The share of [`CacheBudget::shared`] that an entry takes.
    pub(super) fn weight(self, size: EntrySize) -> u32 {
        let weight = match self {
            Self::Entries(_) => size.as_entries(),
            // If the number of small entries is the limit, each counts as its share.
            Self::Bytes { entries, .. } => size.in_shared().max(self.shared() / entries.max(1)),
        };
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    /// The share of [`CacheBudget::worker`] that an entry takes.
    pub(super) fn weight_in_worker(self, size: EntrySize) -> u64 {
        match self {
            Self::Entries(_) => size.as_entries(),
            Self::Bytes { .. } => size.in_worker(),
        }
    }
}

impl EntrySize {
    // One entry, or several if the text is long.
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
            // The maximum of one worker.
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

//! The store: entries in memory, their file, and those who listen.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::broadcast;

use super::entries::{Entries, Entry, Full};
use super::file::{self, FileFault, RevocationFile};
use super::token_digests::TokenDigests;
use super::writer::Writer;
use crate::oauth::UnixTime;
use crate::sync::Epoch;

/// Entries that a listener may be behind. Then it reads all entries again.
const LISTENER_QUEUE: usize = 16 * 1024;

/// This part of the store is left to others than events: a sixteenth.
const KEPT_FREE_OF_EVENTS: usize = 16;

/// What is revoked.
pub struct Revocations {
    entries: Arc<Entries>,
    added: AtomicU64,
    refused: AtomicU64,
    unwritten: AtomicU64,
    last_sweep: AtomicI64,
    writer: OnceLock<Writer>,
    listeners: broadcast::Sender<Entry>,
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was added here, and those who listen hear of it.
    Here,
    /// The same, by an event of an authorization server. A part of the store is kept free of those:
    /// no authorization server, or tenant of it, can take all room from others who revoke.
    Event,
    /// Another gateway sent it, and knows it.
    Fleet,
}

/// Why a revocation is not active, or may not survive a restart.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RevokeError {
    /// It is not active.
    #[error(transparent)]
    Full(#[from] Full),
    /// It is active, and not in the file.
    #[error("active until a restart only, because the file cannot be written: {0}")]
    NotWritten(Arc<io::Error>),
}

/// Counts, for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The entries now.
    pub entries: u64,
    /// How many there may be.
    pub max_entries: u64,
    /// Additions since the start.
    pub added: u64,
    /// Additions that the full store refused.
    pub refused: u64,
    /// Additions that could not be written to the file.
    pub unwritten: u64,
}

impl Revocations {
    /// An empty store for `max_entries`, which advances `epoch` with each addition.
    #[must_use]
    pub fn new(max_entries: usize, epoch: Epoch) -> Arc<Self> {
        Arc::new(Self {
            entries: Arc::new(Entries::new(max_entries, epoch)),
            added: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unwritten: AtomicU64::new(0),
            last_sweep: AtomicI64::new(i64::MIN),
            writer: OnceLock::new(),
            listeners: broadcast::channel(LISTENER_QUEUE).0,
        })
    }

    /// Reads the file, and writes every later addition to it. How many entries it had.
    ///
    /// More entries than `max_entries` are read nevertheless: none may be forgotten.
    ///
    /// # Errors
    /// [`FileFault`]: the gateway must not start.
    pub fn open(&self, path: &Path, now: UnixTime) -> Result<usize, FileFault> {
        let (mut file, read) = RevocationFile::open(path)?;
        self.restore(&read, now);
        if file.lines() > self.entries.count()
            && let Err(error) = file.rewrite(&self.entries.all())
        {
            // It is longer than it need be, and as good.
            tracing::error!(%error, "revocation file could not be rewritten");
        }
        let writer = Writer::start(file, Arc::clone(&self.entries));
        let writer = writer.map_err(|error| FileFault::Unusable {
            path: path.to_owned(),
            error,
        })?;
        // A store has one file.
        let _ = self.writer.set(writer);
        Ok(self.entries.count())
    }

    /// Reads the file of another process, and changes nothing in it. How many entries it had.
    ///
    /// # Errors
    /// [`FileFault`]
    pub fn read(&self, path: &Path, now: UnixTime) -> Result<usize, FileFault> {
        self.restore(&file::read(path)?, now);
        Ok(self.entries.count())
    }

    fn restore(&self, entries: &[Entry], now: UnixTime) {
        for entry in entries {
            // There is room for all.
            let _ = self.entries.add(entry, usize::MAX);
        }
        self.entries.remove_expired(now);
    }

    /// Changes the limit. Entries beyond it stay until they expire.
    pub fn set_max_entries(&self, max_entries: usize) {
        self.entries.set_max(max_entries);
    }

    /// Adds an entry to the memory; active when this returns. Whether it says more than those that
    /// are there.
    ///
    /// # Errors
    /// [`Full`]
    pub fn add(&self, entry: &Entry, origin: Origin, now: UnixTime) -> Result<bool, Full> {
        let max = self.entries.max();
        let max = match origin {
            Origin::Here | Origin::Fleet => max,
            Origin::Event => max - max / KEPT_FREE_OF_EVENTS,
        };
        let mut outcome = self.entries.add(entry, max);
        if outcome.is_err() && self.sweep(now) {
            outcome = self.entries.add(entry, max);
        }
        match outcome {
            Ok(true) => {
                self.added.fetch_add(1, Ordering::Relaxed);
                if origin != Origin::Fleet {
                    // Nobody may listen.
                    let _ = self.listeners.send(*entry);
                }
            }
            Ok(false) => {}
            Err(Full) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        outcome
    }

    /// Adds entries, and waits until they are in the file, if there is one. How many said more than
    /// those that were there.
    ///
    /// # Errors
    /// [`RevokeError`]
    pub async fn revoke(
        &self,
        entries: Vec<Entry>,
        origin: Origin,
        now: UnixTime,
    ) -> Result<usize, RevokeError> {
        let (mut added, mut full) = (0, None);
        let mut active = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.add(&entry, origin, now) {
                Ok(is_more) => {
                    added += usize::from(is_more);
                    active.push(entry);
                }
                Err(error) => full = Some(error),
            }
        }
        // Also what is known: the write that it came with may have failed, or not have ended yet.
        // And also if others found no room: what is active must survive a restart.
        if let Some(writer) = self.writer.get()
            && !active.is_empty()
        {
            writer.write(active).await.map_err(|error| {
                self.unwritten.fetch_add(1, Ordering::Relaxed);
                RevokeError::NotWritten(error)
            })?;
        }
        full.map_or(Ok(added), |error| Err(error.into()))
    }

    /// Whether a token is revoked.
    #[must_use]
    pub fn is_revoked(&self, token: &TokenDigests) -> bool {
        self.entries.count() > 0 && self.entries.revoke(token)
    }

    /// Advances with each addition.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.entries.generation()
    }

    /// The epoch that advances with each addition, and with keys and configuration.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        self.entries.epoch()
    }

    /// All entries, for a snapshot.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.all()
    }

    /// Receives what is added here from now on. A listener that lags must read all entries.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Entry> {
        self.listeners.subscribe()
    }

    /// Removes what has expired. How many entries that were.
    pub fn remove_expired(&self, now: UnixTime) -> usize {
        self.last_sweep.store(now.as_seconds(), Ordering::Relaxed);
        self.entries.remove_expired(now)
    }

    // A full store must not look through all entries for each attempt.
    fn sweep(&self, now: UnixTime) -> bool {
        let seconds = now.as_seconds();
        self.last_sweep.swap(seconds, Ordering::Relaxed) != seconds
            && self.entries.remove_expired(now) > 0
    }

    /// Counts, for the metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            entries: self.entries.count() as u64,
            max_entries: self.entries.max() as u64,
            added: read(&self.added),
            refused: read(&self.refused),
            unwritten: read(&self.unwritten),
        }
    }
}

impl std::fmt::Debug for Revocations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocations")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! The thread that writes the file. Everything that waits at the same time is written at once.

use std::io;
use std::sync::Arc;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use super::entries::{Entries, Entry};
use super::file::RevocationFile;

/// Revocations that wait to be written. Beyond it, those who revoke wait.
const QUEUE: usize = 1024;
/// Entries that are written at once.
const MAX_BATCH: usize = 16 * 1024;
/// A file with fewer lines is not worth rewriting.
const MIN_LINES: usize = 4096;

/// The outcome of writing; shared by all whose entries were written at once.
pub(super) type Written = Result<(), Arc<io::Error>>;

/// Sends entries to the thread.
#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Job>);

struct Job {
    entries: Vec<Entry>,
    done: oneshot::Sender<Written>,
}

impl Writer {
    /// Starts the thread. It ends when the last sender is dropped.
    pub(super) fn start(file: RevocationFile, entries: Arc<Entries>) -> io::Result<Self> {
        let (sender, jobs) = mpsc::channel(QUEUE);
        thread::Builder::new()
            .name("revocations".to_owned())
            .spawn(move || write_all(file, &entries, jobs))?;
        Ok(Self(sender))
    }

    /// Writes entries, and waits until they are on the disk.
    pub(super) async fn write(&self, entries: Vec<Entry>) -> Written {
        let stopped = || Arc::new(io::Error::other("the thread that writes it has stopped"));
        let (done, outcome) = oneshot::channel();
        let job = Job { entries, done };
        self.0.send(job).await.map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn write_all(mut file: RevocationFile, entries: &Entries, mut jobs: mpsc::Receiver<Job>) {
    let mut compact_from = MIN_LINES;
    while let Some(first) = jobs.blocking_recv() {
        let (mut batch, mut waiting) = (first.entries, vec![first.done]);
        while batch.len() < MAX_BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.extend(job.entries);
            waiting.push(job.done);
        }
        let outcome = write(&mut file, entries, &batch).map_err(Arc::new);
        if let Err(error) = &outcome {
            tracing::error!(%error, "revocations could not be written to the file");
        }
        for done in waiting {
            // Who asked may be gone.
            let _ = done.send(outcome.clone());
        }
        if file.lines() >= compact_from {
            compact_from = compact(&mut file, entries);
        }
    }
}

fn write(file: &mut RevocationFile, entries: &Entries, batch: &[Entry]) -> io::Result<()> {
    let changed = |file: &RevocationFile, entries: usize| {
        tracing::warn!(
            file = %file.path().display(),
            entries,
            "revocation file was changed by somebody else; it gets all revocations again"
        );
    };
    if file.is_current()? {
        if file.is_whole()? {
            return file.append(batch);
        }
        changed(file, 0);
        return file.rewrite(&entries.all());
    }
    let (mut named, read) = RevocationFile::open(file.path()).map_err(io::Error::other)?;
    changed(file, read.len());
    // A backup that was restored, for example. Expired entries are swept later.
    for entry in &read {
        // There is room for all.
        let _ = entries.add(entry, usize::MAX);
    }
    // Every entry is in memory before it is written, those of the batch too.
    named.rewrite(&entries.all())?;
    *file = named;
    Ok(())
}

// Every entry is in memory before it is written, so the file loses none. From how many lines on to
// try again.
fn compact(file: &mut RevocationFile, entries: &Entries) -> usize {
    let lines = file.lines();
    if lines / 2 < entries.count() {
        return MIN_LINES;
    }
    let kept = entries.all();
    match file.rewrite(&kept) {
        Ok(()) => {
            tracing::info!(
                before = lines,
                after = kept.len(),
                "revocation file rewritten"
            );
            MIN_LINES
        }
        Err(error) => {
            tracing::error!(%error, "revocation file could not be rewritten");
            lines + MIN_LINES
        }
    }
}

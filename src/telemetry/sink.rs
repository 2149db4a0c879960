//! Writes log lines to standard error, on a thread of its own.
//!
//! 1. Logging never waits for the reader. Each thread that logs often has its own [`Lines`], which the
//!    writer locks only to swap the buffer.
//! 2. Pending lines are limited. If they are not read in time, lines are dropped and counted, and a later
//!    event reports how many.
//! 3. The first line wakes the writer, which waits a moment for more. So under load there are few
//!    wake-ups and large writes of whole lines. Lines of different threads may be slightly out of order;
//!    each has its time.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::metrics::Counter;
use crate::sync::lock;

/// The maximum number of pending bytes per thread.
const MAX_PENDING: usize = 1024 * 1024;
/// A buffer that has grown beyond this is shrunk.
const KEPT: usize = 64 * 1024;
/// How long the writer waits for more lines after the first.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// How long a panic waits for its line to be written.
const PANIC_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// The log output of the process.
#[derive(Clone, Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    all: Mutex<Vec<Arc<Lines>>>,
    flushes: Mutex<Flushes>,
    /// Signals that a flush was requested, and that one is done.
    flush_asked: Condvar,
    flush_done: Condvar,
    /// Whether the writer has work. Unparking it is not enough: a write may park and consume the token.
    is_awake: AtomicBool,
    /// Whether the last flush timed out.
    is_stuck: AtomicBool,
    dropped: Counter,
}

/// How many flushes were requested, and how many are done.
#[derive(Debug, Default)]
struct Flushes {
    asked: u64,
    done: u64,
}

/// The pending lines of one thread.
#[derive(Debug)]
pub(super) struct Lines {
    waiting: Mutex<Vec<u8>>,
    shared: Arc<Shared>,
    writer: Thread,
}

impl Sink {
    /// Writes to standard error.
    ///
    /// # Errors
    /// If standard error is closed, or no thread can be started.
    pub fn standard_error() -> io::Result<Self> {
        // Not through `io::stderr`: its lock, held by the writer, would block everything that prints.
        Self::new(File::from(io::stderr().as_fd().try_clone_to_owned()?))
    }

    /// Writes to `out`.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = thread::Builder::new().name("log".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.run(out)
        })?;
        Ok(Self {
            shared,
            writer: writer.thread().clone(),
        })
    }

    /// The buffer of a new thread.
    pub(super) fn lines(&self) -> Arc<Lines> {
        let (shared, writer) = (Arc::clone(&self.shared), self.writer.clone());
        let lines = Arc::new(Lines {
            waiting: Mutex::default(),
            shared,
            writer,
        });
        lock(&self.shared.all).push(Arc::clone(&lines));
        lines
    }

    /// Waits until all lines that are pending now are written. Returns whether they are, within `within`.
    pub fn flush(&self, within: Duration) -> bool {
        let mut flushes = lock(&self.shared.flushes);
        flushes.asked += 1;
        let mine = flushes.asked;
        self.shared.wake(&self.writer);
        self.shared.flush_asked.notify_one();
        let waited = self
            .shared
            .flush_done
            .wait_timeout_while(flushes, within, |flushes| flushes.done < mine);
        let is_done = waited.is_ok_and(|(flushes, _)| flushes.done >= mine);
        self.shared.is_stuck.store(!is_done, Ordering::Relaxed);
        is_done
    }

    /// Flushes because the process may end. Skipped if the last flush timed out, so that panics do not
    /// add up delays.
    pub(super) fn flush_on_panic(&self) {
        if !self.shared.is_stuck.load(Ordering::Relaxed) {
            self.flush(PANIC_FLUSH_TIMEOUT);
        }
    }

    /// How many lines were dropped because they were not read in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.read()
    }
}

impl Lines {
    /// Adds a line with `write`, unless too much is pending.
    pub(super) fn add(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= MAX_PENDING {
            drop(waiting);
            self.shared.dropped.count();
            return;
        }
        let is_first = waiting.is_empty();
        write(&mut waiting);
        drop(waiting);
        if is_first {
            self.shared.wake(&self.writer);
        }
    }
}

impl Shared {
    fn wake(&self, writer: &Thread) {
        self.is_awake.store(true, Ordering::Release);
        writer.unpark();
    }

    fn run(&self, mut out: impl Write) {
        let (mut buffer, mut reported) = (Vec::new(), 0);
        loop {
            while !self.is_awake.swap(false, Ordering::Acquire) {
                thread::park();
            }
            // A condition variable: the next line would end a park early.
            let gathering =
                self.flush_asked
                    .wait_timeout_while(lock(&self.flushes), BATCH_DELAY, |flushes| {
                        flushes.asked == flushes.done
                    });
            let asked = gathering.unwrap_or_else(PoisonError::into_inner).0.asked;
            let mut is_read = true;
            // In reverse: the control plane registered first, and often logs the last event.
            for lines in self.all_in_use().iter().rev() {
                mem::swap(&mut *lock(&lines.waiting), &mut buffer);
                if !buffer.is_empty() && write_whole(&mut out, &buffer).is_err() {
                    is_read = false;
                    self.dropped
                        .add(buffer.iter().filter(|byte| **byte == b'\n').count() as u64);
                }
                buffer.clear();
                buffer.shrink_to(KEPT);
            }
            lock(&self.flushes).done = asked;
            self.flush_done.notify_all();
            self.is_stuck.store(false, Ordering::Relaxed);
            let dropped = self.dropped.read();
            // If nothing can be written, neither can this event. It would be dropped and reported for ever.
            if dropped > reported && is_read {
                tracing::warn!(lines = dropped - reported, "log lines dropped");
                reported = dropped;
            }
        }
    }

    // Removes empty buffers whose thread has ended.
    fn all_in_use(&self) -> Vec<Arc<Lines>> {
        let mut all = lock(&self.all);
        all.retain(|lines| Arc::strong_count(lines) > 1 || !lock(&lines.waiting).is_empty());
        all.clone()
    }
}

// Another process that shares the terminal or pipe may have made it non-blocking.
fn write_whole(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(BATCH_DELAY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Reports every write, and waits for a signal after it.
    struct Slow {
        written: mpsc::Sender<Vec<u8>>,
        leave: mpsc::Receiver<()>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.written.send(bytes.to_vec());
            self.leave.recv().map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Sink, mpsc::Receiver<Vec<u8>>, mpsc::Sender<()>) {
        let ((written, writes), (leave, left)) = (mpsc::channel(), mpsc::channel());
        (
            Sink::new(Slow {
                written,
                leave: left,
            })
            .expect("a thread"),
            writes,
            leave,
        )
    }

    fn add(lines: &Lines, text: &str) {
        lines.add(|bytes| bytes.extend_from_slice(text.as_bytes()));
    }

    #[test]
    fn lines_are_batched_and_written_whole() {
        let (sink, writes, leave) = slow();
        let (one, other) = (sink.lines(), sink.lines());
        leave.send(()).expect("it writes");
        leave.send(()).expect("it writes");
        add(&one, "a\n");
        add(&one, "b\n");
        add(&other, "c\n");
        assert!(sink.flush(TIMEOUT));
        let written: Vec<u8> = writes.try_iter().flatten().collect();
        assert!(
            written == b"a\nb\nc\n" || written == b"c\na\nb\n",
            "{written:?}"
        );
    }

    #[test]
    fn logging_never_waits_for_the_reader_and_dropped_lines_are_counted() {
        let (sink, writes, leave) = slow();
        let lines = sink.lines();
        add(&lines, "first\n");
        writes.recv_timeout(TIMEOUT).expect("it is being written");
        let line = format!("{}\n", "x".repeat(1023));
        let added = MAX_PENDING / line.len() + 7;
        (0..added).for_each(|_| add(&lines, &line));
        assert_eq!(sink.dropped(), 7);
        assert!(!sink.flush(Duration::from_millis(10)), "it is not written");
        drop(leave);
        assert!(sink.flush(TIMEOUT));
        assert_eq!(
            sink.dropped(),
            7 + 1 + MAX_PENDING as u64 / 1024,
            "lines that could not be written count as well"
        );
    }

    #[test]
    fn failed_write_is_not_reported_again_and_again() {
        let (sink, writes, leave) = slow();
        drop(leave);
        let (lines, before) = (sink.lines(), sink.dropped());
        add(&lines, "lost\n");
        assert!(sink.flush(TIMEOUT));
        thread::sleep(BATCH_DELAY * 20);
        assert_eq!((sink.dropped() - before, writes.try_iter().count()), (1, 1));
    }

    #[test]
    fn lines_of_an_ended_thread_are_written_and_their_buffer_is_removed() {
        let (sink, writes, leave) = slow();
        leave.send(()).expect("it writes");
        add(&sink.lines(), "last words\n");
        assert!(sink.flush(TIMEOUT) && sink.flush(TIMEOUT));
        assert_eq!(writes.try_recv().expect("written"), b"last words\n");
        assert!(lock(&sink.shared.all).is_empty());
    }
}

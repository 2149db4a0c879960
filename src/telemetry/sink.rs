//! Where lines of the log go: a thread of its own writes them to standard error.
//!
//! 1. Nobody who logs waits for whoever reads. Each thread that logs much has [`Lines`] of its own, which the writer locks
//!    only to exchange them for an empty buffer.
//! 2. What waits is bounded. When nobody reads, lines are dropped and counted; once somebody reads again, the log says how
//!    many.
//! 3. The writer is woken by the first line, and gathers what follows for a moment: under load there are few wake-ups and
//!    few, large writes of whole lines. Lines of different threads may be a moment out of order; each has its time.

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

/// How many bytes of each thread's lines may wait.
const MAX_PENDING: usize = 1024 * 1024;
/// A buffer that has grown beyond this in a bad moment is not kept.
const KEPT: usize = 64 * 1024;
/// How long the writer waits for more lines after the first.
const BATCH_DELAY: Duration = Duration::from_millis(5);
/// How long a panic may take to be told.
const PANIC_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// A log's only way out of the process. It lasts as long as the process does.
#[derive(Clone, Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    writer: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    all: Mutex<Vec<Arc<Lines>>>,
    flushes: Mutex<Flushes>,
    /// Tells of a flush that was asked for, and of one that is done.
    flush_asked: Condvar,
    flush_done: Condvar,
    /// There is something to do for the writer. Its being unparked alone would not tell: what it writes to may park, too.
    is_awake: AtomicBool,
    /// Whoever waited last for a flush did so in vain.
    is_stuck: AtomicBool,
    dropped: Counter,
}

/// How many flushes were asked for, and how many of them are done.
#[derive(Debug, Default)]
struct Flushes {
    asked: u64,
    done: u64,
}

/// The lines of one thread that wait to be written.
#[derive(Debug)]
pub(super) struct Lines {
    waiting: Mutex<Vec<u8>>,
    shared: Arc<Shared>,
    writer: Thread,
}

impl Sink {
    /// One that ends at standard error.
    ///
    /// # Errors
    /// When there is no standard error, or no thread to be had.
    pub fn standard_error() -> io::Result<Self> {
        // Not through `io::stderr`: whoever printed there would wait for the lock that the writer holds.
        Self::new(File::from(io::stderr().as_fd().try_clone_to_owned()?))
    }

    /// One that ends at `out`.
    ///
    /// # Errors
    /// When there is no thread to be had.
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

    /// Where one thread more can put its lines.
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

    /// Waits until every line is written that was there when this was called, at most so long; says whether it is.
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

    /// As [`flush`](Self::flush), for what may be this process's last words: where nobody reads, nobody waits for it twice.
    pub(super) fn flush_on_panic(&self) {
        if !self.shared.is_stuck.load(Ordering::Relaxed) {
            self.flush(PANIC_FLUSH_TIMEOUT);
        }
    }

    /// How many lines were dropped because nobody read them in time.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.read()
    }
}

impl Lines {
    /// Has `write` add one line, unless too much waits already.
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
            // Not cut short by the next line, as parking would be.
            let gathering =
                self.flush_asked
                    .wait_timeout_while(lock(&self.flushes), BATCH_DELAY, |flushes| {
                        flushes.asked == flushes.done
                    });
            let asked = gathering.unwrap_or_else(PoisonError::into_inner).0.asked;
            let mut is_read = true;
            // The first ones last: those of the control plane, whose word is often the last.
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
            // Where nothing can be written, a line about that could not be either, and would be followed by one about itself.
            if dropped > reported && is_read {
                tracing::warn!(lines = dropped - reported, "log lines dropped");
                reported = dropped;
            }
        }
    }

    // Those that nobody can add to any more are forgotten, once they are empty.
    fn all_in_use(&self) -> Vec<Arc<Lines>> {
        let mut all = lock(&self.all);
        all.retain(|lines| Arc::strong_count(lines) > 1 || !lock(&lines.waiting).is_empty());
        all.clone()
    }
}

// Whoever shares the terminal or the pipe may have made it one that nobody waits for.
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

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Tells every write, and takes the next one only when it is let.
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
    fn lines_are_gathered_and_written_whole() {
        let (sink, writes, leave) = slow();
        let (one, other) = (sink.lines(), sink.lines());
        leave.send(()).expect("it writes");
        leave.send(()).expect("it writes");
        add(&one, "a\n");
        add(&one, "b\n");
        add(&other, "c\n");
        assert!(sink.flush(PATIENCE));
        let written: Vec<u8> = writes.try_iter().flatten().collect();
        assert!(
            written == b"a\nb\nc\n" || written == b"c\na\nb\n",
            "{written:?}"
        );
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read_and_what_is_too_much_is_counted() {
        let (sink, writes, leave) = slow();
        let lines = sink.lines();
        add(&lines, "first\n");
        writes.recv_timeout(PATIENCE).expect("it is being written");
        let line = format!("{}\n", "x".repeat(1023));
        let added = MAX_PENDING / line.len() + 7;
        (0..added).for_each(|_| add(&lines, &line));
        assert_eq!(sink.dropped(), 7);
        assert!(!sink.flush(Duration::from_millis(10)), "it is not written");
        drop(leave);
        assert!(sink.flush(PATIENCE));
        assert_eq!(
            sink.dropped(),
            7 + 1 + MAX_PENDING as u64 / 1024,
            "and what could not be written counts as well"
        );
    }

    #[test]
    fn log_that_nobody_can_read_any_more_is_not_told_so_for_ever() {
        let (sink, writes, leave) = slow();
        drop(leave);
        let (lines, before) = (sink.lines(), sink.dropped());
        add(&lines, "lost\n");
        assert!(sink.flush(PATIENCE));
        thread::sleep(BATCH_DELAY * 20);
        assert_eq!((sink.dropped() - before, writes.try_iter().count()), (1, 1));
    }

    #[test]
    fn lines_of_a_thread_that_is_gone_are_written_and_forgotten() {
        let (sink, writes, leave) = slow();
        leave.send(()).expect("it writes");
        add(&sink.lines(), "last words\n");
        assert!(sink.flush(PATIENCE) && sink.flush(PATIENCE));
        assert_eq!(writes.try_recv().expect("written"), b"last words\n");
        assert!(lock(&sink.shared.all).is_empty());
    }
}

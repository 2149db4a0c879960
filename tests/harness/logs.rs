//! Captures everything that this process logs, at every level.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use scopegate::telemetry::{AccessLog, Sink};
use scopegate::values::LogFormat;
use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;

use super::TIMEOUT;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The access log sinks of the running gateways.
static SINKS: Mutex<Vec<(u64, Sink)>> = Mutex::new(Vec::new());

/// The access log of one gateway; its lines are in the log of the process, too.
pub struct Requests {
    number: u64,
    sink: Sink,
    written: Arc<Mutex<Vec<u8>>>,
}

struct LogWriter(Option<Arc<Mutex<Vec<u8>>>>);

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for log in [Some(&LOG), self.0.as_deref()].into_iter().flatten() {
            lock(log).extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Requests {
    /// Begins to capture the access log of one more gateway.
    pub(super) fn capture() -> Self {
        let written = Arc::default();
        let sink = Sink::new(LogWriter(Some(Arc::clone(&written)))).expect("a thread");
        let mut sinks = lock(&SINKS);
        let number = sinks.last().map_or(0, |(number, _)| number + 1);
        sinks.push((number, sink.clone()));
        Self {
            number,
            sink,
            written,
        }
    }

    pub(super) fn access_log(&self) -> AccessLog {
        AccessLog::new(self.sink.clone(), LogFormat::Json)
    }

    /// The text written so far.
    pub fn text(&self) -> String {
        assert!(self.sink.flush(TIMEOUT), "the sink is flushed in time");
        String::from_utf8(lock(&self.written).clone()).expect("UTF-8")
    }

    /// The lines written so far, parsed as JSON.
    pub fn lines(&self) -> Vec<Value> {
        let parse =
            |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        self.text().lines().map(parse).collect()
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.sink.flush(TIMEOUT);
        lock(&SINKS).retain(|(number, _)| *number != self.number);
    }
}

/// Begins to capture the log of this process.
pub(super) fn capture() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(LevelFilter::TRACE);
        // An error means that a test has installed a subscriber of its own.
        let _ = log.with_writer(|| LogWriter(None)).try_init();
    });
}

/// Whether the log contains `text`.
pub fn logged(text: &str) -> bool {
    let sinks = lock(&SINKS).clone();
    assert!(
        sinks.iter().all(|(_, sink)| sink.flush(TIMEOUT)),
        "every sink is flushed in time"
    );
    // Other threads that log wait for this lock.
    memchr::memmem::find(&lock(&LOG), text.as_bytes()).is_some()
}

//! Everything that this process logs, at every level, for a test to look through.

use std::io;
use std::sync::{Mutex, Once, OnceLock};

use scopegate::telemetry::{AccessLog, LogFormat, Sink};
use tracing_subscriber::filter::LevelFilter;

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Pen;

impl io::Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines about requests take their own way, and end in the same place.
static SINK: OnceLock<Sink> = OnceLock::new();

/// The access log of every gateway of this process.
pub(super) fn access() -> AccessLog {
    AccessLog::new(sink().clone(), LogFormat::Pretty)
}

fn sink() -> &'static Sink {
    SINK.get_or_init(|| Sink::new(Pen).expect("a thread"))
}

/// Begins to keep the log of this process.
pub(super) fn keep() {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let log = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::TRACE).with_writer(|| Pen);
        // An error means that a test keeps another one, or none.
        let _ = log.try_init();
    });
}

/// Whether `text` stands in the log.
pub(crate) fn logged(text: &str) -> bool {
    assert!(sink().flush(super::PATIENCE), "nobody is slow to read");
    // Whoever logs meanwhile waits.
    memchr::memmem::find(&LOG.lock().expect("no panic"), text.as_bytes()).is_some()
}

//! The log on standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use super::access::AccessLog;
use super::line::Style;
use super::sink::{Lines as SinkLines, Sink};
use super::timestamp::Timestamps;
use crate::values::LogFormat;

/// How long the end of the process waits for its last lines to be written: standard error may not be read.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

static STARTED: OnceLock<Sink> = OnceLock::new();

impl LogFormat {
    /// Text on a terminal, which people read; JSON elsewhere.
    #[must_use]
    pub fn of_standard_error() -> Self {
        if io::stderr().is_terminal() {
            Self::Pretty
        } else {
            Self::Json
        }
    }
}

/// The log of this process, whose level and format can change. Dropping it flushes pending lines.
pub struct Log {
    sink: Sink,
    events: Arc<SinkLines>,
    access: AccessLog,
    level: reload::Handle<LevelFilter, Registry>,
    lines: reload::Handle<Lines, LevelFiltered>,
}

type LevelFiltered = Layered<reload::Layer<LevelFilter, Registry>, Registry>;
type Lines = Box<dyn Layer<LevelFiltered> + Send + Sync>;

impl Log {
    /// Starts logging to standard error. Only the first log of a process receives events.
    ///
    /// # Errors
    /// If standard error is closed, or no thread can be started.
    pub fn start(format: LogFormat, level: LevelFilter) -> io::Result<Self> {
        let sink = Sink::standard_error()?;
        let events = sink.lines();
        let access = AccessLog::styled(sink.clone(), style(format), level >= LevelFilter::INFO);
        let (level_filter, of_level) = reload::Layer::new(level);
        let (lines, of_lines) = reload::Layer::new(lines(format, &events));
        // An error means that a log was started before, which stays active.
        if tracing_subscriber::registry()
            .with(level_filter)
            .with(lines)
            .try_init()
            .is_ok()
        {
            let _ = STARTED.set(sink.clone());
        }
        Ok(Self {
            sink,
            events,
            access,
            level: of_level,
            lines: of_lines,
        })
    }

    /// Changes the format and the level.
    pub fn change(&self, format: LogFormat, level: LevelFilter) {
        // An error means that this log is not the active one.
        let _ = self.lines.reload(lines(format, &self.events));
        let _ = self.level.reload(level);
        self.access
            .change(style(format), level >= LevelFilter::INFO);
    }

    /// The access log.
    #[must_use]
    pub fn access(&self) -> &AccessLog {
        &self.access
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.sink.flush(SHUTDOWN_TIMEOUT);
    }
}

/// Flushes the log, because the process may end.
pub(super) fn flush_on_panic() {
    if let Some(sink) = STARTED.get() {
        sink.flush_on_panic();
    }
}

// Colours appear only on a terminal, and never where `NO_COLOR` is set to anything (no-color.org).
fn style(format: LogFormat) -> Style {
    let colours = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    match format {
        LogFormat::Pretty if colours => Style::Coloured,
        LogFormat::Pretty => Style::Plain,
        LogFormat::Json => Style::Json,
    }
}

fn lines(format: LogFormat, events: &Arc<SinkLines>) -> Lines {
    let style = style(format);
    let pen = EventWriter(Arc::clone(events));
    let lines = fmt::layer()
        .with_writer(pen)
        .with_timer(Time)
        .with_ansi(style == Style::Coloured)
        .with_target(false);
    match style {
        Style::Plain | Style::Coloured => Box::new(lines),
        Style::Json => Box::new(lines.json().flatten_event(true)),
    }
}

/// The time as in the access log.
struct Time;

impl FormatTime for Time {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        writer.write_str(Timestamps::default().now())
    }
}

/// Writes events to the sink, each as a whole.
struct EventWriter(Arc<SinkLines>);

impl<'p> MakeWriter<'p> for EventWriter {
    type Writer = &'p EventWriter;

    fn make_writer(&'p self) -> Self::Writer {
        self
    }
}

impl Write for &EventWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.add(|waiting| waiting.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! The log on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: coloured on a terminal.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// The log of this process, whose level and form can be changed.
#[derive(Clone)]
pub struct Log {
    level: reload::Handle<LevelFilter, Registry>,
    lines: reload::Handle<Lines, Leveled>,
}

type Leveled = Layered<reload::Layer<LevelFilter, Registry>, Registry>;
type Lines = Box<dyn Layer<Leveled> + Send + Sync>;

impl Log {
    /// Starts logging to standard error, once for the process; what is logged by one started later goes nowhere.
    #[must_use]
    pub fn start(format: LogFormat, level: LevelFilter) -> Self {
        let (level, of_level) = reload::Layer::new(level);
        let (lines, of_lines) = reload::Layer::new(lines(format));
        // An error here means that a log was started before, which is then the one to keep.
        let _ = tracing_subscriber::registry().with(level).with(lines).try_init();
        Self { level: of_level, lines: of_lines }
    }

    /// Logs in another form or another level from now on.
    pub fn change(&self, format: LogFormat, level: LevelFilter) {
        // An error means that the log is gone, or never came about.
        let _ = self.lines.reload(lines(format));
        let _ = self.level.reload(level);
    }
}

// Colours appear only on a terminal, and never where `NO_COLOR` is set to anything (no-color.org).
fn lines(format: LogFormat) -> Lines {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(colours).with_target(false);
    match format {
        LogFormat::Pretty => Box::new(lines),
        LogFormat::Json => Box::new(lines.json().flatten_event(true)),
    }
}

//! The log on standard error.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: coloured on a terminal.
    Pretty,
    /// For machines: one JSON object a line.
    Json,
}

/// Starts logging to standard error, once for the process; a second call changes nothing.
///
/// Colours appear only on a terminal, and never where `NO_COLOR` is set to anything (no-color.org).
pub fn start_log(format: LogFormat, level: LevelFilter) {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_ansi(colours);
    // An error here means that a log was started before, which is then the one to keep.
    let _ = match format {
        LogFormat::Pretty => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_target(false).try_init(),
    };
}

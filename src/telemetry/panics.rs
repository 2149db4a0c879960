//! Logs and counts panics, which are faults of the gateway.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicU64, Ordering};

static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// How many requests have panicked since the process was started.
#[must_use]
pub fn panicked_requests() -> u64 {
    REQUESTS.load(Ordering::Relaxed)
}

pub(super) fn count_request() {
    REQUESTS.fetch_add(1, Ordering::Relaxed);
}

/// Logs each panic of this process, instead of the text that Rust prints.
pub fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let is_captured = backtrace.status() == BacktraceStatus::Captured;
        tracing::error!(
            panic_message = redacted_message(panic),
            location = panic.location().map(ToString::to_string),
            thread = std::thread::current().name(),
            backtrace = is_captured.then(|| backtrace.to_string()),
            "panic"
        );
        // A panic during a panic ends the process.
        super::log::flush_on_panic();
    }));
}

// A literal is our own text. A formatted message may quote a token or a path: a slice within a character
// quotes the whole string. So it is cut before the first quote or colon. The location is enough to find
// the fault.
fn redacted_message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    match panic.payload().downcast_ref::<&'static str>() {
        Some(literal) => literal,
        None => panic
            .payload()
            .downcast_ref::<String>()
            .map_or("", |formatted| unquoted(formatted)),
    }
}

fn unquoted(formatted: &str) -> &str {
    formatted
        .split(['`', '"', '\'', ':'])
        .next()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use tracing_subscriber::filter::LevelFilter;

    use super::*;
    use crate::telemetry::Log;
    use crate::values::LogFormat;

    #[test]
    fn panic_is_one_line_of_the_log() {
        const CHILD: &str = "SCOPEGATE_TEST_PANICS";
        if std::env::var_os(CHILD).is_some() {
            let _log = Log::start(LogFormat::Json, LevelFilter::ERROR);
            log_panics();
            let _ = panic::catch_unwind(|| panic!("a literal: kept"));
            let _ = panic::catch_unwind(|| panic!("formatted: {}", "secret".to_owned()));
            return;
        }
        // The hook is that of the whole process: this test once more, as a child.
        let mut child = Command::new(std::env::current_exe().expect("a path"));
        child.args([
            "--exact",
            "telemetry::panics::tests::panic_is_one_line_of_the_log",
            "--nocapture",
        ]);
        child
            .env(CHILD, "1")
            .env("RUST_BACKTRACE", "0")
            .stdout(Stdio::null());
        let output = child.output().expect("a child");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        let lines: Vec<serde_json::Value> = log
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let messages: Vec<_> = lines
            .iter()
            .map(|line| line["panic_message"].as_str())
            .collect();
        assert_eq!(
            messages,
            [Some("a literal: kept"), Some("formatted")],
            "{log}"
        );
        for line in lines {
            assert_eq!(
                (&line["level"], &line["message"]),
                (&"ERROR".into(), &"panic".into())
            );
            assert!(
                line["location"]
                    .as_str()
                    .is_some_and(|place| place.starts_with(file!())),
                "{line}"
            );
        }
    }

    #[test]
    fn message_is_cut_before_any_request_data() {
        for (formatted, expected) in [
            (
                "index out of bounds: the len is 3 but the index is 7",
                "index out of bounds",
            ),
            (
                "byte index 1 is not a char boundary; it is inside 'é' (bytes 0..2) of `é.secret`",
                "byte index 1 is not a char boundary; it is inside ",
            ),
            ("a header: Error(\"secret\")", "a header"),
            (
                "begin <= end (4 <= 2) when slicing `secret`",
                "begin <= end (4 <= 2) when slicing ",
            ),
        ] {
            assert_eq!(unquoted(formatted), expected);
        }
    }
}

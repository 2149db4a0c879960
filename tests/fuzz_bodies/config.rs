//! Every text is either parsed as gateway.toml, or its faults are reported: each with a position
//! within the text, on one line. Neither secrets of the file nor of the environment are printed.

use scopegate::config::parse_with;
use toml::de::DeTable;
use toml::{Table, Value};

/// The secret in the corpus files.
const PLANTED: &str = "planted-3f9a";
/// The value of every environment variable.
const ENVIRONMENT_SECRET: &str =
    "environment-5b1c-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // A secret may come from a file, and reading some files of /proc never ends.
    if text.contains("/proc/") {
        return;
    }
    let printed = match parse_with("gateway.toml", text, &|_| {
        Some(ENVIRONMENT_SECRET.to_owned())
    }) {
        Ok((config, source)) => {
            assert_eq!(source.file_name(), "gateway.toml");
            format!("{config:?}")
        }
        Err(report) => {
            assert!(!report.faults().is_empty(), "a refusal without a fault");
            let lines = text.split('\n').count();
            for (fault, line) in report.faults().iter().zip(report.lines()) {
                assert!(!line.contains('\n'), "{line:?} is more than one line");
                // The TOML parser gives no position for this fault.
                if fault.message == "not TOML: recursion limit" {
                    continue;
                }
                let span = fault
                    .span
                    .clone()
                    .unwrap_or_else(|| panic!("{fault:?} has no position"));
                assert!(
                    text.get(span.clone()).is_some(),
                    "{span:?} lies outside of {text:?}"
                );
                let number = line
                    .strip_prefix("gateway.toml:")
                    .and_then(|rest| rest.split(':').next()?.parse().ok());
                assert!(
                    number.is_some_and(|number: usize| (1..=lines).contains(&number)),
                    "{line:?}"
                );
            }
            report.to_string()
        }
    };
    assert!(
        !printed.contains("environment-5b1c"),
        "{printed:?} shows a secret of the environment"
    );
    assert!(
        !printed.contains(PLANTED) || is_planted_elsewhere(text),
        "{printed:?} shows a secret of {text:?}"
    );
}

/// Whether the planted text also occurs outside secrets, where it may be printed.
fn is_planted_elsewhere(text: &str) -> bool {
    match text.parse::<Table>() {
        Ok(table) => {
            let in_secrets: usize = table
                .iter()
                .map(|(name, value)| planted_in_secrets(name, value))
                .sum();
            in_secrets != text.matches(PLANTED).count()
        }
        // Of a text that is not TOML, only duplicate keys are printed.
        Err(_) => DeTable::parse_recoverable(text)
            .1
            .iter()
            .any(|error| error.message() == "duplicate key"),
    }
}

fn planted_in_secrets(name: &str, value: &Value) -> usize {
    let is_secret = ["secret", "client_secret", "shared_secret"].contains(&name);
    match value {
        Value::String(text) if is_secret => text.matches(PLANTED).count(),
        Value::Table(table) if !is_secret => table
            .iter()
            .map(|(name, value)| planted_in_secrets(name, value))
            .sum(),
        Value::Array(values) => values
            .iter()
            .map(|value| planted_in_secrets(name, value))
            .sum(),
        Value::String(_) | Value::Table(_) => 0,
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => 0,
    }
}

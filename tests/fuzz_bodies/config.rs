//! Whatever the text of a gateway.toml is, it is read or every fault of it is told, each at a place within the text and
//! on one line. Secrets are told nowhere: neither those of the environment nor what stands where a secret belongs.

use scopegate::config::parse_with;
use toml::de::DeTable;
use toml::{Table, Value};

/// What a seed writes where a secret belongs.
const PLANTED: &str = "planted-3f9a";
/// What every variable of the environment holds.
const OF_THE_ENVIRONMENT: &str =
    "environment-5b1c-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    // A secret may be named by its file, and some of the kernel's files are waited for without end.
    if text.contains("/proc/") {
        return;
    }
    let told = match parse_with("gateway.toml", text, &|_| {
        Some(OF_THE_ENVIRONMENT.to_owned())
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
                // The one fault of which TOML's reader does not tell the place.
                if fault.message == "not TOML: recursion limit" {
                    continue;
                }
                let span = fault
                    .span
                    .clone()
                    .unwrap_or_else(|| panic!("{fault:?} has no place"));
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
        !told.contains("environment-5b1c"),
        "{told:?} tells a secret of the environment"
    );
    assert!(
        !told.contains(PLANTED) || is_planted_elsewhere(text),
        "{told:?} tells a secret of {text:?}"
    );
}

/// Whether the planted text stands anywhere but in a secret, where it may well be told.
fn is_planted_elsewhere(text: &str) -> bool {
    match text.parse::<Table>() {
        Ok(table) => {
            let in_secrets: usize = table
                .iter()
                .map(|(name, value)| planted_in_secrets(name, value))
                .sum();
            in_secrets != text.matches(PLANTED).count()
        }
        // A key that stands twice is told, and nothing else of a text that is no TOML.
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

//! A value that a key does not accept, and how messages show it.

use toml::de::DeValue;

use super::names::meant;

/// Why a value is refused.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) expected: String,
    /// The value in words, if [`describe`] must not print it.
    pub(super) found: Option<String>,
    pub(super) help: Option<String>,
}

pub(super) fn expected(what: impl Into<String>) -> Mismatch {
    Mismatch {
        expected: what.into(),
        found: None,
        help: None,
    }
}

impl Mismatch {
    pub(super) fn but_found(self, what: impl Into<String>) -> Self {
        Self {
            found: Some(what.into()),
            ..self
        }
    }

    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// Adds a remedy if there is none.
    pub(super) fn or_help(self, help: Option<String>) -> Self {
        Self {
            help: self.help.or(help),
            ..self
        }
    }
}

/// A table of one of the `forms` of a value, with a member that none of them has.
pub(super) fn unknown_member(forms: &str, name: &str, known: &[&str]) -> Mismatch {
    let proposal = meant(name, known).map(|meant| format!("did you mean {meant:?}?"));
    expected(forms)
        .but_found(format!("a table with {name:?}"))
        .or_help(proposal)
}

/// A value for a message: long strings are truncated; lists, tables and dates only named.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    const MAX_CHARACTERS: usize = 80;
    match value {
        DeValue::String(text) if text.chars().count() <= MAX_CHARACTERS => format!("{text:?}"),
        DeValue::String(text) => format!(
            "{:?}…",
            text.chars().take(MAX_CHARACTERS).collect::<String>()
        ),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => kind(value).to_owned(),
    }
}

/// The kind of a value, for messages that must not print it.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

//! A value that a key does not accept, and how messages show it.

use toml::de::DeValue;

/// A value that is not what it should be.
#[derive(Debug)]
pub(super) struct Mismatch {
    pub(super) expected: String,
    /// What stands there instead, unless [`describe`] may print it.
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

    /// With this remedy, unless it has one.
    pub(super) fn or_help(self, help: Option<String>) -> Self {
        Self {
            help: self.help.or(help),
            ..self
        }
    }
}

/// A value as a message shows it: what is short is quoted, the rest is named by its kind.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    const LONGEST: usize = 80;
    match value {
        DeValue::String(text) if text.chars().count() <= LONGEST => format!("{text:?}"),
        DeValue::String(text) => format!("{:?}…", text.chars().take(LONGEST).collect::<String>()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => kind(value).to_owned(),
    }
}

/// The kind of a value whose content no message may show.
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

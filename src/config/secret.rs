//! Secrets: in the configuration, in an environment variable or in a file. `Debug` never shows
//! them.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use toml::de::DeValue;
use zeroize::Zeroizing;

use super::hints::placeholder;
use super::mismatch::{Mismatch, expected, kind};
use crate::files::{self, FileError, MAX_NAMED};

const FORMS: &str = "a string, { env = \"NAME\" } or { file = \"PATH\" }";

/// A secret; `Debug` does not show it, and dropping erases it.
#[derive(Clone, Debug)]
pub struct Secret {
    text: SecretString,
    origin: SecretOrigin,
    is_missing: bool,
}

/// Why a secret cannot be read.
pub(super) enum SecretError {
    /// The value is invalid on every machine.
    Invalid(Mismatch),
    /// The secret is absent here, but may be present on another machine.
    Missing(SecretOrigin, Mismatch),
}

impl From<Mismatch> for SecretError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Invalid(mismatch)
    }
}

/// Where secrets that the file only names are found.
pub(super) struct SecretSource<'s> {
    /// Where relative paths start.
    pub(super) folder: &'s Path,
    /// Looks up a variable of the environment.
    pub(super) variable: &'s dyn Fn(&str) -> Option<String>,
}

/// The origin of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrigin {
    /// The configuration file itself: anybody who can read the file can read the secret.
    Bare,
    /// A variable of the environment.
    Variable(String),
    /// A file of its own.
    File(PathBuf),
}

impl Secret {
    pub(super) fn bare(text: &str) -> Self {
        Self {
            text: text.into(),
            origin: SecretOrigin::Bare,
            is_missing: false,
        }
    }

    /// A secret that is absent. It is empty; every user must check [`Secret::is_missing`] first.
    pub(super) fn missing(origin: SecretOrigin) -> Self {
        Self {
            text: SecretString::default(),
            origin,
            is_missing: true,
        }
    }

    /// Whether it is absent, which only [`Purpose::CheckOnly`](super::Purpose::CheckOnly) accepts.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is_missing
    }

    /// The secret itself; the name makes its readers easy to find.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// The same without its text, if that is in a file that is read again when it is needed.
    pub(super) fn without_text_of_file(self) -> Self {
        match self.origin {
            SecretOrigin::File(_) => Self {
                text: SecretString::default(),
                ..self
            },
            SecretOrigin::Bare | SecretOrigin::Variable(_) => self,
        }
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> &SecretOrigin {
        &self.origin
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose() && self.origin == other.origin
    }
}

pub(super) fn read_secret(
    source: &SecretSource<'_>,
    value: &DeValue<'_>,
) -> Result<Secret, SecretError> {
    match value {
        // A placeholder is no secret: everyone can guess it.
        DeValue::String(text)
            if placeholder(text).is_some_and(|placeholder| placeholder == text.trim()) =>
        {
            let found = "a placeholder, which is not replaced";
            Err(expected(FORMS)
                .but_found(found)
                .with_help("{ env = \"NAME\" } takes it from the environment")
                .into())
        }
        DeValue::String(text) => not_blank(text),
        DeValue::Table(table) => {
            let mut entries = table
                .iter()
                .map(|(name, value)| (name.get_ref().as_ref(), value.get_ref().as_str()));
            match (entries.next(), entries.next()) {
                (Some(("env", Some(name))), None) => from_variable(source, name),
                (Some(("file", Some(path))), None) => from_file(source.folder.join(path)),
                _ => Err(expected(FORMS).but_found("another table").into()),
            }
        }
        // Never printed: `secret = 12345` is also a secret.
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => Err(expected(FORMS).but_found(kind(value)).into()),
    }
}

fn from_variable(source: &SecretSource<'_>, name: &str) -> Result<Secret, SecretError> {
    let expected = || expected(format!("a secret in the environment variable {name:?}"));
    let help = if name.contains('$') {
        "a variable is named without $ and braces"
    } else {
        "set it where scopegate starts"
    };
    let origin = SecretOrigin::Variable(name.to_owned());
    let missing = |found: &str| expected().but_found(found).with_help(help);
    match (source.variable)(name) {
        None => Err(SecretError::Missing(
            origin,
            missing("no such variable, or one that is not UTF-8"),
        )),
        // Pipelines without access to secrets set blank variables.
        Some(text) if text.trim().is_empty() => {
            Err(SecretError::Missing(origin, missing("a blank one")))
        }
        Some(text) => Ok(Secret {
            text: text.into(),
            origin,
            is_missing: false,
        }),
    }
}

fn from_file(path: PathBuf) -> Result<Secret, SecretError> {
    let unusable = |found: &str| {
        expected(format!("a secret in the file {path:?}"))
            .but_found(found)
            .with_help("it must be a file that the user who runs scopegate may read")
    };
    let bytes = match files::read(&path, MAX_NAMED) {
        Ok(bytes) => bytes,
        Err(error @ FileError::Unreadable { .. }) => {
            let mismatch = unusable(&error.to_string());
            return Err(SecretError::Missing(SecretOrigin::File(path), mismatch));
        }
        Err(error @ (FileError::NotRegular(_) | FileError::TooLarge(_))) => {
            return Err(unusable(&error.to_string()).into());
        }
    };
    let text = match String::from_utf8(bytes) {
        Ok(text) => SecretString::from(text),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            return Err(unusable("bytes that are not UTF-8").into());
        }
    };
    // Editors and `echo` append a newline, which is not part of the secret.
    let text = text.expose_secret().trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        let blank = expected(format!("a secret in the file {path:?}")).but_found("a blank file");
        return Err(blank.with_help("write the secret into it").into());
    }
    Ok(Secret {
        text: text.into(),
        origin: SecretOrigin::File(path),
        is_missing: false,
    })
}

fn not_blank(text: &str) -> Result<Secret, SecretError> {
    if text.trim().is_empty() {
        return Err(expected(FORMS).but_found("a blank string").into());
    }
    Ok(Secret {
        text: text.into(),
        origin: SecretOrigin::Bare,
        is_missing: false,
    })
}

//! Secrets: written bare, named by a variable of the environment or by a file. None of them ever prints itself.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use toml::de::DeValue;
use zeroize::Zeroizing;

use super::hints::placeholder;
use super::read::File;
use super::values::{Mismatch, expected, kind};
use crate::files::{self, MAX_NAMED};

const FORMS: &str = "a string, { env = \"NAME\" } or { file = \"PATH\" }";

/// A secret that its Debug does not show, wiped when dropped.
#[derive(Clone, Debug)]
pub struct Secret {
    text: SecretString,
    origin: SecretOrigin,
}

/// Where a secret came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretOrigin {
    /// It stands in the file itself, for everybody to read who can read the file.
    Bare,
    /// A variable of the environment.
    Variable(String),
    /// A file of its own.
    File(PathBuf),
}

impl Secret {
    pub(super) fn bare(text: &str) -> Self {
        Self { text: text.into(), origin: SecretOrigin::Bare }
    }

    /// The secret itself; the name makes its readers easy to find.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }

    /// Where it came from.
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

pub(super) fn secret(file: &File<'_>, value: &DeValue<'_>) -> Result<Secret, Mismatch> {
    match value {
        // Everybody can guess it.
        DeValue::String(text) if placeholder(text).is_some_and(|placeholder| placeholder == text.trim()) => {
            let found = "a placeholder, which nothing is filled in for";
            Err(expected(FORMS).but_found(found).with_help("{ env = \"NAME\" } takes it from the environment"))
        }
        DeValue::String(text) => not_blank(text, SecretOrigin::Bare),
        DeValue::Table(table) => {
            let mut entries = table.iter().map(|(name, value)| (name.get_ref().as_ref(), value.get_ref().as_str()));
            match (entries.next(), entries.next()) {
                (Some(("env", Some(name))), None) => from_variable(file, name),
                (Some(("file", Some(path))), None) => from_file(file.folder.join(path)),
                _ => Err(expected(FORMS).but_found("another table")),
            }
        }
        // Never described: `secret = 12345` is a secret all the same.
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) => {
            Err(expected(FORMS).but_found(kind(value)))
        }
    }
}

fn from_variable(file: &File<'_>, name: &str) -> Result<Secret, Mismatch> {
    let text = (file.variable)(name).ok_or_else(|| {
        expected(format!("a secret in the environment variable {name:?}"))
            .but_found("no such variable, or one that is not UTF-8")
            .with_help(if name.contains('$') {
                "a variable is named without $ and braces"
            } else {
                "set it where scopegate starts"
            })
    })?;
    not_blank(&text, SecretOrigin::Variable(name.to_owned()))
}

fn from_file(path: PathBuf) -> Result<Secret, Mismatch> {
    let unusable = |found: String| {
        expected(format!("a secret in the file {path:?}"))
            .but_found(found)
            .with_help("it must be a file that the user who runs scopegate may read")
    };
    let bytes = files::read(&path, MAX_NAMED).map_err(|error| unusable(error.to_string()))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => SecretString::from(text),
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            return Err(unusable("bytes that are not UTF-8".to_owned()));
        }
    };
    // Editors and `echo` end a file with a newline that is no part of the secret.
    not_blank(text.expose_secret().trim_end_matches(['\r', '\n']), SecretOrigin::File(path))
}

fn not_blank(text: &str, origin: SecretOrigin) -> Result<Secret, Mismatch> {
    if !text.trim().is_empty() {
        return Ok(Secret { text: text.into(), origin });
    }
    Err(match origin {
        SecretOrigin::Bare => expected(FORMS).but_found("a blank string"),
        SecretOrigin::Variable(name) => expected(format!("a secret in the environment variable {name:?}"))
            .but_found("a blank one")
            .with_help("set it where scopegate starts"),
        SecretOrigin::File(path) => expected(format!("a secret in the file {path:?}"))
            .but_found("a blank file")
            .with_help("write the secret into it"),
    })
}

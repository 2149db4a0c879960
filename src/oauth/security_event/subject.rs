//! Finds the users that a subject identifier names (RFC 9493).

use serde_json::{Map, Value};

use super::{MAX_SUBJECTS, SecurityEventError};
use crate::text::alternatives;

/// What the identifiers of one event name.
pub(super) struct Found<'e> {
    /// The values of `iss` of the issuer that signed the event.
    issuers: &'e [String],
    own: Vec<String>,
    has_foreign: bool,
    has_malformed: bool,
}

impl<'e> Found<'e> {
    pub(super) fn new(issuers: &'e [String]) -> Self {
        Self {
            issuers,
            own: Vec::new(),
            has_foreign: false,
            has_malformed: false,
        }
    }

    /// Reads one subject identifier.
    pub(super) fn read(&mut self, identifier: &Value) {
        let Value::Object(members) = identifier else {
            self.has_malformed = true;
            return;
        };
        match format_of(members) {
            Some("aliases") => match members.get("identifiers") {
                // An alias is no list of aliases (RFC 9493 §3.2.8).
                Some(Value::Array(aliases)) => {
                    aliases
                        .iter()
                        .filter_map(Value::as_object)
                        .for_each(|alias| self.read_simple(alias));
                }
                Some(_) | None => self.has_malformed = true,
            },
            // Drafts give complex subjects no format.
            Some("complex") | None => match members.get("user") {
                Some(Value::Object(user)) => self.read_simple(user),
                Some(_) => self.has_malformed = true,
                None => {}
            },
            Some(_) => self.read_simple(members),
        }
    }

    fn read_simple(&mut self, members: &Map<String, Value>) {
        if !matches!(format_of(members), Some("iss_sub" | "iss-sub")) {
            return;
        }
        match (members.get("iss"), members.get("sub")) {
            (Some(Value::String(issuer)), Some(Value::String(subject))) => {
                self.add(issuer, subject)
            }
            _ => self.has_malformed = true,
        }
    }

    /// Adds a user of an issuer.
    pub(super) fn add(&mut self, issuer: &str, subject: &str) {
        if subject.is_empty() {
            self.has_malformed = true;
        } else if !self.issuers.iter().any(|own| own == issuer) {
            self.has_foreign = true;
        } else if !self.own.iter().any(|known| known == subject) {
            self.own.push(subject.to_owned());
        }
    }

    /// The users of the issuer: at least one.
    pub(super) fn into_subjects(self) -> Result<Vec<String>, SecurityEventError> {
        if self.own.len() > MAX_SUBJECTS {
            return Err(SecurityEventError::TooManySubjects);
        }
        if self.has_malformed {
            return Err(SecurityEventError::UnusableSubject);
        }
        match (self.own.is_empty(), self.has_foreign) {
            (false, _) => Ok(self.own),
            (true, true) => Err(SecurityEventError::ForeignSubject {
                expected: alternatives(self.issuers.iter().map(String::as_str)),
            }),
            (true, false) => Err(SecurityEventError::UnusableSubject),
        }
    }
}

// Drafts call the member `subject_type`.
fn format_of(members: &Map<String, Value>) -> Option<&str> {
    let format = members
        .get("format")
        .or_else(|| members.get("subject_type"))?;
    // One that is no string is no known format either.
    Some(format.as_str().unwrap_or_default())
}

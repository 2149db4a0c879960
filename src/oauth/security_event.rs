//! Reads Security Event Tokens: what a verified one revokes (RFC 8417, CAEP, RISC).
//!
//! 1. `iss`, `aud`, `iat`, `jti` and `events` are required. `exp` is ignored: an event has happened,
//!    and its statement does not expire (RFC 8417 §2.2).
//! 2. Three types of events revoke tokens ([`EventType`]). Others are ignored, whatever their subject:
//!    a transmitter also sends events that test the connection.
//! 3. A subject is `iss_sub` (RFC 9493 §3.2.3), or has such a part: the `user` of a complex subject,
//!    one of several `aliases`. It stands in `sub_id`, or inside the event as `subject`, where older
//!    drafts have it with `subject_type`. Only if neither is present, it is `sub`.
//! 4. Its `iss` is the issuer's own: no issuer may revoke tokens of another.
//! 5. Where a complex subject also names a session, a device or a tenant, all tokens of the user are
//!    revoked. Access tokens rarely name those, and to revoke too much costs a new token.
//! 6. Tokens are revoked that were issued until `event_timestamp`, else `toe`, else `iat`, all of them
//!    in seconds.

mod subject;

use serde_json::{Map, Value};

use super::UnixTime;
use super::claims::{Expectation, ExpectedAudience, numeric_date};
use super::json::{self, JsonError};
use crate::text::{alternatives, quoted, truncated};

/// What identifies the users of one token.
const MAX_SUBJECTS: usize = 16;

/// The claims of a Security Event Token that no rule has checked yet.
pub struct SecurityEventClaims {
    members: Map<String, Value>,
}

/// The types of events that have different effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// CAEP: the sessions of a user ended.
    SessionRevoked,
    /// RISC: an account was disabled.
    AccountDisabled,
    /// RISC: a user must change a password or the like.
    AccountCredentialChangeRequired,
    /// Every other one. It revokes nothing.
    Other,
}

/// One event of a token.
#[derive(Clone, PartialEq, Eq)]
pub struct SecurityEvent {
    /// Its type.
    pub event_type: EventType,
    /// The values of `sub` whose tokens are revoked; none for [`EventType::Other`].
    pub subjects: Vec<String>,
    /// Tokens that were issued until then are revoked.
    pub issued_before: UnixTime,
}

/// The error codes of RFC 8935 §2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The token cannot be read, or its events are malformed.
    InvalidRequest,
    /// The key of its signature is not acceptable.
    InvalidKey,
    /// Its `iss` is not acceptable.
    InvalidIssuer,
    /// Its `aud` is not acceptable.
    InvalidAudience,
    /// Its signature is wrong.
    AuthenticationFailed,
    /// Its issuer may not revoke this.
    AccessDenied,
}

/// Why a Security Event Token is refused.
///
/// Text from the token is escaped. Subjects are never part of it.
#[derive(Debug, thiserror::Error)]
pub enum SecurityEventError {
    /// The claims are not one JSON object without duplicate members.
    #[error("expected the claims of a Security Event Token, but found: {0}")]
    NotClaims(#[from] JsonError),
    /// A required claim is missing.
    #[error("expected {claim:?}, but found none")]
    Missing {
        /// Its name.
        claim: &'static str,
    },
    /// A claim has the wrong type.
    #[error("expected {expected} as {claim:?}, but found something else")]
    WrongType {
        /// Its name.
        claim: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// `iss` is not that of the issuer.
    #[error("expected {expected} as iss, but found {}", quoted(Some(found)))]
    WrongIssuer {
        /// The accepted values, truncated.
        expected: String,
        /// The value, truncated.
        found: String,
    },
    /// `aud` names none of the issuer's audiences.
    #[error("expected {expected} as aud (see audience), but found {found}")]
    WrongAudience {
        /// The accepted audiences, truncated.
        expected: String,
        /// The value as JSON, truncated.
        found: String,
    },
    /// A time lies in the future.
    #[error("expected {claim} in seconds and in the past, but found {at}")]
    InFuture {
        /// `iat`, `toe` or `event_timestamp`.
        claim: &'static str,
        /// The time.
        at: UnixTime,
    },
    /// The subject has no part that names a user of the issuer.
    #[error("expected an iss_sub subject, but found another format")]
    UnusableSubject,
    /// The subject is a user of another issuer.
    #[error("expected a subject of {expected}, but found one of another issuer")]
    ForeignSubject {
        /// The issuer, truncated.
        expected: String,
    },
    /// A token about too many users.
    #[error("expected at most {MAX_SUBJECTS} subjects, but found more")]
    TooManySubjects,
}

impl EventType {
    /// All types.
    pub const ALL: [Self; 4] = [
        Self::SessionRevoked,
        Self::AccountDisabled,
        Self::AccountCredentialChangeRequired,
        Self::Other,
    ];

    /// From a closed set of names, for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SessionRevoked => "session-revoked",
            Self::AccountDisabled => "account-disabled",
            Self::AccountCredentialChangeRequired => "account-credential-change-required",
            Self::Other => "other",
        }
    }

    fn of(uri: &str) -> Self {
        match uri {
            "https://schemas.openid.net/secevent/caep/event-type/session-revoked" => {
                Self::SessionRevoked
            }
            "https://schemas.openid.net/secevent/risc/event-type/account-disabled" => {
                Self::AccountDisabled
            }
            "https://schemas.openid.net/secevent/risc/event-type/account-credential-change-required" => {
                Self::AccountCredentialChangeRequired
            }
            _ => Self::Other,
        }
    }
}

impl ErrorCode {
    /// The value of `err`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidKey => "invalid_key",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::AuthenticationFailed => "authentication_failed",
            Self::AccessDenied => "access_denied",
        }
    }
}

impl SecurityEventError {
    /// What the transmitter learns.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::WrongIssuer { .. } => ErrorCode::InvalidIssuer,
            Self::WrongAudience { .. } => ErrorCode::InvalidAudience,
            Self::ForeignSubject { .. } => ErrorCode::AccessDenied,
            Self::NotClaims(_)
            | Self::Missing { .. }
            | Self::WrongType { .. }
            | Self::InFuture { .. }
            | Self::UnusableSubject
            | Self::TooManySubjects => ErrorCode::InvalidRequest,
        }
    }
}

impl SecurityEventClaims {
    /// Parses the payload of a token.
    ///
    /// # Errors
    /// [`SecurityEventError::NotClaims`].
    pub fn parse(payload: &[u8]) -> Result<Self, SecurityEventError> {
        Ok(Self {
            members: json::parse_object(payload)?,
        })
    }

    /// `iss`, which selects the issuer. Not verified.
    ///
    /// # Errors
    /// [`SecurityEventError::Missing`] or [`SecurityEventError::WrongType`].
    pub fn issuer(&self) -> Result<&str, SecurityEventError> {
        self.text("iss")
    }

    /// Checks the claims and reads the events. A signature must prove their origin.
    ///
    /// # Errors
    /// [`SecurityEventError`] names the first rule that is broken.
    pub fn check(
        &self,
        expected: &Expectation,
        now: UnixTime,
    ) -> Result<Vec<SecurityEvent>, SecurityEventError> {
        let issuer = self.issuer()?;
        if !expected.issuers.iter().any(|name| name == issuer) {
            return Err(SecurityEventError::WrongIssuer {
                expected: alternatives(expected.issuers.iter().map(String::as_str)),
                found: truncated(issuer),
            });
        }
        self.check_audience(&expected.audience)?;
        self.text("jti")?;
        let latest = now.later_by(expected.leeway);
        let Some(issued_at) = time("iat", self.members.get("iat"), latest)? else {
            return Err(SecurityEventError::Missing { claim: "iat" });
        };
        let happened_at = time("toe", self.members.get("toe"), latest)?.unwrap_or(issued_at);
        let events = match self.members.get("events") {
            None => return Err(SecurityEventError::Missing { claim: "events" }),
            Some(Value::Object(events)) if !events.is_empty() => events,
            Some(_) => {
                let expected = "an object with at least one event";
                return Err(SecurityEventError::WrongType {
                    claim: "events",
                    expected,
                });
            }
        };
        let read = |(uri, payload): (&String, &Value)| {
            let event_type = EventType::of(uri);
            let mut event = SecurityEvent {
                event_type,
                subjects: Vec::new(),
                issued_before: happened_at,
            };
            if event_type == EventType::Other {
                return Ok(event);
            }
            let Value::Object(payload) = payload else {
                let expected = "an object as each event";
                return Err(SecurityEventError::WrongType {
                    claim: "events",
                    expected,
                });
            };
            let own = time("event_timestamp", payload.get("event_timestamp"), latest)?;
            event.issued_before = own.unwrap_or(happened_at);
            event.subjects = self.subjects(payload, issuer, &expected.issuers)?;
            Ok(event)
        };
        events.iter().map(read).collect()
    }

    // Where `sub_id` and `subject` are both present, both are revoked.
    fn subjects(
        &self,
        event: &Map<String, Value>,
        issuer: &str,
        issuers: &[String],
    ) -> Result<Vec<String>, SecurityEventError> {
        let mut found = subject::Found::new(issuers);
        let identifiers = [self.members.get("sub_id"), event.get("subject")];
        match (identifiers, self.members.get("sub")) {
            ([None, None], Some(Value::String(subject))) => found.add(issuer, subject),
            (identifiers, _) => identifiers
                .into_iter()
                .flatten()
                .for_each(|one| found.read(one)),
        }
        found.into_subjects()
    }

    fn check_audience(&self, expected: &ExpectedAudience) -> Result<(), SecurityEventError> {
        let Some(found) = self.members.get("aud") else {
            return Err(SecurityEventError::Missing { claim: "aud" });
        };
        // An issuer whose tokens may be for anybody does not say for whom its events are.
        let names = match expected {
            ExpectedAudience::OneOf { names, .. } => &names[..],
            ExpectedAudience::Any => &[],
        };
        let is_ours = |name: &Value| {
            name.as_str()
                .is_some_and(|name| names.iter().any(|own| own == name))
        };
        let fits = match found.as_array() {
            Some(all) => all.iter().all(Value::is_string) && all.iter().any(is_ours),
            None => is_ours(found),
        };
        if fits {
            return Ok(());
        }
        Err(SecurityEventError::WrongAudience {
            expected: alternatives(names.iter().map(String::as_str)),
            found: truncated(&found.to_string()),
        })
    }

    fn text(&self, claim: &'static str) -> Result<&str, SecurityEventError> {
        match self.members.get(claim) {
            None => Err(SecurityEventError::Missing { claim }),
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            Some(_) => {
                let expected = "a string that is not empty";
                Err(SecurityEventError::WrongType { claim, expected })
            }
        }
    }
}

// In milliseconds, as some transmitters write it, every time since 1970 lies in the future.
fn time(
    claim: &'static str,
    value: Option<&Value>,
    latest: UnixTime,
) -> Result<Option<UnixTime>, SecurityEventError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let expected = "a number of seconds since 1970";
    let seconds = numeric_date(value).ok_or(SecurityEventError::WrongType { claim, expected })?;
    let at = UnixTime::from_seconds(seconds);
    if at > latest {
        return Err(SecurityEventError::InFuture { claim, at });
    }
    Ok(Some(at))
}

// Subjects name people. Deriving `Debug` could leak them into a log.
impl std::fmt::Debug for SecurityEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecurityEvent")
            .field("event_type", &self.event_type)
            .field("subjects", &self.subjects.len())
            .field("issued_before", &self.issued_before)
            .finish()
    }
}

impl std::fmt::Debug for SecurityEventClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecurityEventClaims")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Why claims do not make a good access token.

use crate::oauth::UnixTime;
use crate::oauth::json::JsonError;

/// The rule that a token's claims break. The client hears `invalid_token` for all of them; the reason is for the log.
///
/// Text from the token is shown with escapes, so that it cannot forge lines of a log.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// The claims name a member twice, at whatever depth.
    #[error("a claim stands twice")]
    DuplicateMember,
    /// The claims are no JSON object.
    #[error("the claims are no JSON object")]
    NotAnObject(#[source] JsonError),
    /// A claim that must be there is not.
    #[error("claim {0:?} is missing")]
    MissingClaim(String),
    /// `iss` is not one of those that this issuer goes by.
    #[error("issuer {found:?} is not the one expected")]
    WrongIssuer {
        /// Its value; `None` if it is no string.
        found: Option<String>,
    },
    /// `aud` is missing.
    #[error("the token names no audience")]
    MissingAudience,
    /// `aud` does not name us.
    #[error("the token is meant for another audience")]
    WrongAudience,
    /// `exp`, and the leeway after it, has passed.
    #[error("the token expired at {}", .at.as_seconds())]
    Expired {
        /// `exp`
        at: UnixTime,
    },
    /// `nbf`, less the leeway before it, has not come.
    #[error("the token is not valid before {}", .from.as_seconds())]
    NotYetValid {
        /// `nbf`
        from: UnixTime,
    },
    /// `iat` lies ahead by more than the leeway.
    #[error("the token was issued in the future, at {}", .at.as_seconds())]
    IssuedInFuture {
        /// `iat`
        at: UnixTime,
    },
    /// A time that is not a number from 0 to what 64 bits hold.
    #[error("claim {claim:?} is not a point in time")]
    NotANumericDate {
        /// `exp`, `nbf` or `iat`.
        claim: &'static str,
    },
    /// `exp` lies more than ten years ahead: a token for ever, or a wrong unit.
    #[error("the token expires in more than ten years")]
    UnboundedExpiry,
    /// The claim says that this is an ID token, a refresh token, a DPoP proof or the like.
    #[error("claim {claim:?} belongs to another kind of token")]
    OtherKindOfToken {
        /// Its name.
        claim: &'static str,
    },
    /// `cnf` binds the token to a key whose possession nobody has proven.
    #[error("the token is bound to a key, and there is no proof of it")]
    SenderConstrained,
    /// More scopes than one token may grant.
    #[error("the token grants too many scopes")]
    TooManyScopes,
}

impl ClaimsError {
    /// A constant label for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::DuplicateMember => "duplicate_member",
            Self::NotAnObject(_) => "malformed_claims",
            Self::MissingClaim(_) => "missing_claim",
            Self::WrongIssuer { .. } => "wrong_issuer",
            Self::MissingAudience => "missing_audience",
            Self::WrongAudience => "wrong_audience",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::IssuedInFuture { .. } => "issued_in_future",
            Self::NotANumericDate { .. } => "not_a_numeric_date",
            Self::UnboundedExpiry => "unbounded_expiry",
            Self::OtherKindOfToken { .. } => "other_kind_of_token",
            Self::SenderConstrained => "sender_constrained",
            Self::TooManyScopes => "too_many_scopes",
        }
    }
}

impl From<JsonError> for ClaimsError {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::DuplicateMember => Self::DuplicateMember,
            JsonError::Malformed(_) | JsonError::NotAnObject => Self::NotAnObject(error),
        }
    }
}

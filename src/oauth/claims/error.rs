//! Why claims do not make a good access token.

use crate::oauth::UnixTime;
use crate::oauth::json::JsonError;
use crate::text::quoted;

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
    #[error("expected claim {0:?}, but found none")]
    MissingClaim(String),
    /// `iss` is not one of those that this issuer goes by.
    #[error("expected {expected} as iss (see issuer), but found {}{}", quoted(found.as_deref()), hint)]
    WrongIssuer {
        /// The names of the issuer, as far as they are not too many.
        expected: String,
        /// In what the value differs from the one of them that it is nearly, if it is.
        hint: String,
        /// Its value; `None` if it is no string.
        found: Option<String>,
    },
    /// `aud` is missing.
    #[error("expected aud, but found none (see audience_required)")]
    MissingAudience,
    /// `aud` does not name us.
    #[error("expected {expected} as aud (see audience), but found {found}")]
    WrongAudience {
        /// Those that do, as far as they are not too long.
        expected: String,
        /// Its value as JSON, as far as it is not too long.
        found: String,
    },
    /// `exp`, and the leeway after it, has passed.
    #[error("expected exp to be in the future, but found {at}")]
    Expired {
        /// `exp`
        at: UnixTime,
    },
    /// `nbf`, less the leeway before it, has not come.
    #[error("expected nbf to be in the past, but found {from}")]
    NotYetValid {
        /// `nbf`
        from: UnixTime,
    },
    /// `iat` lies ahead by more than the leeway.
    #[error("expected iat to be in the past, but found {at}")]
    IssuedInFuture {
        /// `iat`
        at: UnixTime,
    },
    /// A time that is not a number from 0 to what 64 bits hold.
    #[error("expected a point in time as {claim}, but found something else")]
    NotANumericDate {
        /// `exp`, `nbf` or `iat`.
        claim: &'static str,
    },
    /// `exp` lies more than ten years ahead: a token for ever, or a wrong unit.
    #[error(
        "expected exp within ten years, but found {at} (see expiry_unit and accept_unbounded_expiry)"
    )]
    UnboundedExpiry {
        /// `exp`
        at: UnixTime,
    },
    /// The claim says that this is an ID token, a refresh token, a DPoP proof or the like.
    #[error("expected an access token, but found claim {claim:?} of another kind of token")]
    OtherKindOfToken {
        /// Its name.
        claim: &'static str,
    },
    /// `cnf` binds the token to a key whose possession nobody has proven.
    #[error("expected a token for whoever bears it, but found one that is bound to a key (cnf)")]
    SenderConstrained,
    /// More scopes than one token may grant.
    #[error("the token grants too many scopes")]
    TooManyScopes,
}

impl ClaimsError {
    /// Whether the claims are none, rather than bad ones: somebody wrote a value where it cannot stand.
    #[must_use]
    pub const fn is_malformed(&self) -> bool {
        match self {
            Self::DuplicateMember
            | Self::NotAnObject(_)
            | Self::NotANumericDate { .. }
            | Self::WrongIssuer { found: None, .. } => true,
            Self::MissingClaim(_)
            | Self::WrongIssuer { found: Some(_), .. }
            | Self::MissingAudience
            | Self::WrongAudience { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::IssuedInFuture { .. }
            | Self::UnboundedExpiry { .. }
            | Self::OtherKindOfToken { .. }
            | Self::SenderConstrained
            | Self::TooManyScopes => false,
        }
    }

    /// A constant label for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::DuplicateMember => "duplicate_member",
            Self::NotAnObject(_) => "malformed_claims",
            Self::MissingClaim(_) => "missing_claim",
            Self::WrongIssuer { .. } => "wrong_issuer",
            Self::MissingAudience => "missing_audience",
            Self::WrongAudience { .. } => "wrong_audience",
            Self::Expired { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::IssuedInFuture { .. } => "issued_in_future",
            Self::NotANumericDate { .. } => "not_a_numeric_date",
            Self::UnboundedExpiry { .. } => "unbounded_expiry",
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

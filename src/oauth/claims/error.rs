//! Why claims are refused.

use super::UnmetRule;
use super::kinds::ID_TOKEN_CLAIMS;
use crate::oauth::UnixTime;
use crate::oauth::json::JsonError;
use crate::text::quoted;

/// The rule that a token's claims break.
///
/// The client gets `invalid_token` for all of them; the reason goes to the log. Text from the token
/// is escaped, so that it cannot forge log lines.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// An object in the claims, at any depth, has a duplicate member.
    #[error("duplicate claim")]
    DuplicateMember,
    /// The claims are not a JSON object.
    #[error("the claims are not a JSON object")]
    NotAnObject(#[source] JsonError),
    /// A required claim is missing.
    #[error("expected claim {0:?}, but found none")]
    MissingClaim(String),
    /// `iss` is not an accepted value of this issuer.
    #[error("expected {expected} as iss (see issuer), but found {}{}", quoted(found.as_deref()), hint)]
    WrongIssuer {
        /// The accepted values, truncated.
        expected: String,
        /// How the value differs from an accepted one, if it nearly equals it.
        hint: String,
        /// The value; `None` if it is not a string.
        found: Option<String>,
    },
    /// `aud` is missing.
    #[error("expected aud, but found none (see audience_required)")]
    MissingAudience,
    /// `aud` does not name this gateway.
    #[error("expected {expected} as {claim} (see audience), but found {found}")]
    WrongAudience {
        /// `aud`, or another claim that names the audience.
        claim: String,
        /// The accepted audiences, truncated.
        expected: String,
        /// The value as JSON, truncated.
        found: String,
    },
    /// `exp` plus the leeway is in the past.
    #[error("expected exp to be in the future, but found {at}")]
    Expired {
        /// `exp`
        at: UnixTime,
    },
    /// `iat` plus `max_token_lifetime` and the leeway is in the past.
    #[error("expected iat within max_token_lifetime, but found {issued}")]
    TooOld {
        /// `iat`
        issued: UnixTime,
    },
    /// `iat` is missing, so that the token could not be revoked.
    #[error("expected claim \"iat\", but found none (see iat_required)")]
    MissingIssuedAt,
    /// `nbf` minus the leeway is in the future.
    #[error("expected nbf to be in the past, but found {from}")]
    NotYetValid {
        /// `nbf`
        from: UnixTime,
    },
    /// `iat` minus the leeway is in the future.
    #[error("expected iat to be in the past, but found {at}")]
    IssuedInFuture {
        /// `iat`
        at: UnixTime,
    },
    /// A time is not a number from 0 to 2^63 - 1.
    #[error("expected a point in time as {claim}, but found something else")]
    NotANumericDate {
        /// `exp`, `nbf` or `iat`.
        claim: &'static str,
    },
    /// `exp` is more than ten years ahead: the token never expires, or the unit is wrong.
    #[error(
        "expected exp within ten years, but found {at} (see expiry_unit and accept_unbounded_expiry)"
    )]
    UnboundedExpiry {
        /// `exp`
        at: UnixTime,
    },
    /// A claim shows that this is an ID token, a refresh token, a DPoP proof or the like.
    #[error(
        "expected an access token, but found claim {claim:?} of another kind of token{}",
        remedy(claim)
    )]
    OtherKindOfToken {
        /// The name of the claim.
        claim: &'static str,
    },
    /// `cnf` binds the token to a key, and nothing proves possession of that key.
    #[error("expected a bearer token, but found one bound to a key (cnf)")]
    SenderConstrained,
    /// A rule of the issuer is not met.
    #[error("{0} (see claims of the issuer)")]
    ClaimNotMet(UnmetRule),
    /// More scopes than one token may grant.
    #[error("the token grants too many scopes")]
    TooManyScopes,
}

fn remedy(claim: &str) -> &'static str {
    if ID_TOKEN_CLAIMS.contains(&claim) {
        " (see refuse_id_tokens, if the server writes it into access tokens)"
    } else {
        ""
    }
}

impl ClaimsError {
    /// Whether the claims are malformed, rather than well-formed and refused.
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
            | Self::TooOld { .. }
            | Self::MissingIssuedAt
            | Self::NotYetValid { .. }
            | Self::IssuedInFuture { .. }
            | Self::UnboundedExpiry { .. }
            | Self::OtherKindOfToken { .. }
            | Self::SenderConstrained
            | Self::ClaimNotMet(_)
            | Self::TooManyScopes => false,
        }
    }

    /// A constant label for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::DuplicateMember => "duplicate_member",
            Self::NotAnObject(_) => "malformed_claims",
            Self::MissingClaim(_) | Self::MissingIssuedAt => "missing_claim",
            Self::WrongIssuer { .. } => "wrong_issuer",
            Self::MissingAudience => "missing_audience",
            Self::WrongAudience { .. } => "wrong_audience",
            Self::Expired { .. } | Self::TooOld { .. } => "expired",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::IssuedInFuture { .. } => "issued_in_future",
            Self::NotANumericDate { .. } => "not_a_numeric_date",
            Self::UnboundedExpiry { .. } => "unbounded_expiry",
            Self::OtherKindOfToken { .. } => "other_kind_of_token",
            Self::SenderConstrained => "sender_constrained",
            Self::ClaimNotMet(_) => "issuer_claim_not_met",
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

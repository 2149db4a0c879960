//! Why a token is refused, or cannot be verified.

use std::sync::Arc;
use std::time::Duration;

use super::jwt::SignatureError;
use crate::oauth::claims::ClaimsError;
use crate::oauth::jose::JwsError;

/// `Retry-After` while an issuer's keys or responses are missing.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);
/// `Retry-After` while too many tokens wait for verification.
pub(super) const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The token is invalid.
    Invalid {
        /// From a closed set of names, for logs and metrics.
        reason: &'static str,
        /// For the operator.
        detail: String,
        /// The name in gateway.toml of the issuer that verified it, if one did.
        issuer: Option<Arc<str>>,
    },
    /// The token is larger than `max_token_size` and was not verified. A new one would be no smaller.
    TooLarge {
        /// Bytes of the token.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The token cannot be verified: the issuer's keys or its introspection are unavailable.
    Unavailable {
        /// The issuer's name in gateway.toml.
        issuer: Arc<str>,
        /// When a retry may succeed.
        retry_after: Duration,
        /// For the operator.
        cause: String,
    },
    /// Too many tokens wait for verification, or name new tenants.
    Overloaded {
        /// The limit that is reached.
        bound: &'static str,
        /// When a retry may succeed.
        retry_after: Duration,
    },
    /// The authorization server responded 409, which MobileFirst clients expect to see.
    Conflict,
}

impl VerifyError {
    /// The same error, with the issuer that verified the token.
    pub(super) fn with_issuer(self, issuer: &Arc<str>) -> Self {
        match self {
            Self::Invalid { reason, detail, .. } => Self::Invalid {
                reason,
                detail,
                issuer: Some(Arc::clone(issuer)),
            },
            Self::TooLarge { .. }
            | Self::Unavailable { .. }
            | Self::Overloaded { .. }
            | Self::Conflict => self,
        }
    }
}

impl From<JwsError> for VerifyError {
    fn from(error: JwsError) -> Self {
        invalid(error.reason(), error.to_string())
    }
}

impl From<ClaimsError> for VerifyError {
    fn from(error: ClaimsError) -> Self {
        invalid(error.reason(), error.to_string())
    }
}

impl From<SignatureError> for VerifyError {
    fn from(error: SignatureError) -> Self {
        invalid(error.reason(), error.to_string())
    }
}

/// An invalid token whose issuer is not known yet.
pub(super) fn invalid(reason: &'static str, detail: String) -> VerifyError {
    VerifyError::Invalid {
        reason,
        detail,
        issuer: None,
    }
}

/// A token that is valid except that it was revoked.
pub(super) fn revoked() -> VerifyError {
    invalid("token_revoked", "the token was revoked".to_owned())
}

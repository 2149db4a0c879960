//! Why a token is refused, or cannot be judged.

use std::sync::Arc;
use std::time::Duration;

use super::jwt::SignatureError;
use crate::oauth::claims::ClaimsError;
use crate::oauth::jose::JwsError;

/// When to come back for an issuer whose keys or answers are not there.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The token is to blame.
    Invalid {
        /// From a closed set of names, for logs and metrics.
        reason: &'static str,
        /// For the operator.
        detail: String,
        /// The name in gateway.toml of the issuer that judged it, where it came to that.
        issuer: Option<Arc<str>>,
    },
    /// The token is larger than `max_token_size`, so that nobody judged it. A new one would be no smaller.
    TooLarge {
        /// Bytes of the token.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Nobody can tell: the issuer's keys are not there, or its server does not say.
    Unavailable {
        /// The issuer's name in gateway.toml.
        issuer: Arc<str>,
        /// When it may be worth asking again.
        retry_after: Duration,
        /// For the operator.
        cause: String,
    },
    /// More new tokens than can be verified wait already.
    Overloaded {
        /// What is at its bound.
        bound: &'static str,
    },
    /// The authorization server answered 409, which MobileFirst wants the client to know.
    Conflict,
}

impl VerifyError {
    /// The same error, with the issuer that judged the token.
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

/// A token that is refused, before it is known by which issuer.
pub(super) fn invalid(reason: &'static str, detail: String) -> VerifyError {
    VerifyError::Invalid {
        reason,
        detail,
        issuer: None,
    }
}

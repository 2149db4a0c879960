//! An issuer as it was compiled from `[issuers.NAME]`: whom to believe, and about what.

use std::sync::Arc;
use std::time::Duration;

use super::introspection::Introspection;
use super::jwt::KeySet;
use super::keys::{KeyRing, NoKeys};
use super::{RETRY_AFTER, VerifyError};
use crate::oauth::claims::Expectation;

/// An authorization server whose tokens are accepted.
#[derive(Debug)]
pub struct Issuer {
    /// Its name in gateway.toml.
    pub name: Arc<str>,
    /// What its tokens must say.
    pub expectation: Expectation,
    /// The `typ` header parameters that its access tokens may bear; `""` stands for none.
    pub token_types: Vec<String>,
    /// What its signatures are verified with, where any are.
    pub keys: Option<Keys>,
    /// How its server is asked about tokens, where it is.
    pub introspection: Option<Arc<Introspection>>,
    /// Whether a JWT's own signature must be good where its server is asked as well.
    pub verifies_signatures: bool,
    /// What its opaque tokens begin with.
    pub token_prefix: String,
    /// No cached fact about its tokens is older.
    pub cache_max_age: Duration,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// From a file, or a secret that it shares with us: the same as long as the configuration is.
    Fixed(Arc<KeySet>),
    /// From a URL.
    Published(Arc<KeyRing>),
}

impl Issuer {
    /// Whether it calls itself `iss`; compared as strings (RFC 7519 §2, StringOrURI).
    #[must_use]
    pub fn is_called(&self, iss: &str) -> bool {
        self.expectation.issuers.iter().any(|name| name == iss)
    }

    /// Does what has to be done in the background, on the runtime that this is called on: fetches its keys, now and ever
    /// again, and asks about tokens.
    pub fn attend(&self) {
        if let Some(Keys::Published(ring)) = &self.keys {
            tokio::spawn(Arc::clone(ring).keep());
        }
        if let Some(introspection) = &self.introspection {
            introspection.attend();
        }
    }

    pub(super) fn unavailable(&self, cause: String) -> VerifyError {
        VerifyError::Unavailable { issuer: Arc::clone(&self.name), retry_after: RETRY_AFTER, cause }
    }
}

impl Keys {
    /// The keys as they are.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, NoKeys> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Published(ring) => ring.current(),
        }
    }

    /// The keys once more, when a token names one that is not among them.
    pub(super) async fn after_unknown_key(&self) -> Result<Arc<KeySet>, NoKeys> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Published(ring) => ring.after_unknown_key().await,
        }
    }
}

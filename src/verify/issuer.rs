//! An issuer as it was compiled from `[issuers.NAME]`: whom to believe, and about what.

use std::sync::Arc;
use std::time::Duration;

use super::jwt::KeySet;
use super::keys::{KeyRing, NoKeys};
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
    /// What its signatures are verified with.
    pub keys: Keys,
    /// No cached fact about its tokens is older.
    pub cache_max_age: Duration,
}

/// Where an issuer's keys come from.
#[derive(Debug)]
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

//! What the configuration says of an issuer: `[issuers.NAME]`.

use std::sync::Arc;
use std::time::Duration;

use super::cache::CacheLimit;
use crate::oauth::claims::Expectation;

/// The settings of one issuer. Compiled anew by each reload that changes them, so that a verified token is known by its
/// issuer's settings.
#[derive(Debug)]
pub struct IssuerSettings {
    /// Its name in gateway.toml.
    pub name: Arc<str>,
    /// What its tokens must say.
    pub expectation: Expectation,
    /// The `typ` header parameters of its access tokens; `""` stands for none.
    pub token_types: Vec<String>,
    /// Whether a JWT's own signature must be valid where its server is asked as well.
    pub verifies_signatures: bool,
    /// What its opaque tokens begin with.
    pub token_prefix: String,
    /// No cache entry of its tokens is older.
    pub cache_max_age: Duration,
    /// How much of the cache its tokens may take.
    pub cache_limit: CacheLimit,
}

impl IssuerSettings {
    /// Whether it calls itself `iss`; compared as strings (RFC 7519 §2, StringOrURI).
    #[must_use]
    pub fn is_called(&self, iss: &str) -> bool {
        self.expectation.issuers.iter().any(|name| name == iss)
    }
}

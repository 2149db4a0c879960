//! The settings of an issuer: `[issuers.NAME]`.

use std::sync::Arc;
use std::time::Duration;

use super::cache::CacheLimit;
use crate::oauth::claims::Expectation;

/// The settings of one issuer. A reload that changes them compiles new ones. So a cached token whose
/// issuer has changed is recognised by the address of these settings.
#[derive(Debug)]
pub struct IssuerSettings {
    /// Its name in gateway.toml.
    pub name: Arc<str>,
    /// The claims that its tokens must have.
    pub expectation: Expectation,
    /// The `typ` header parameters of its access tokens; `""` stands for none.
    pub token_types: Vec<String>,
    /// Whether the signature of a JWT is verified.
    pub verifies_signatures: bool,
    /// Whether a JWT is introspected, if tokens are.
    pub introspects_jwts: bool,
    /// The prefix of its opaque tokens.
    pub token_prefix: String,
    /// The maximum age of a cache entry.
    pub cache_max_age: Duration,
    /// The limit of its tokens in the cache.
    pub cache_limit: CacheLimit,
}

impl IssuerSettings {
    /// Whether `iss` names this issuer; compared as strings (RFC 7519 §2, StringOrURI).
    #[must_use]
    pub fn is_called(&self, iss: &str) -> bool {
        self.expectation.issuers.iter().any(|name| name == iss)
    }
}

//! Where an issuer's keys are: told by the configuration, or by the issuer's metadata (RFC 8414, OpenID Connect
//! Discovery 1.0 §4).

use std::sync::{Mutex, PoisonError};

use super::fetch::{FetchError, Fetcher};
use crate::oauth::json::{self, JsonError};

/// How to find an issuer's keys.
#[derive(Debug)]
pub struct Discovery {
    way: Way,
    found: Mutex<Option<String>>,
}

#[derive(Debug)]
enum Way {
    Known(String),
    Metadata { issuer: String, urls: Vec<String> },
}

/// The metadata did not tell where the keys are.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No document at any of the places; the last one's reason.
    #[error("no metadata at {url}: {source}")]
    Fetch {
        /// The last place looked at.
        url: String,
        /// Why it had none.
        source: FetchError,
    },
    /// Not JSON.
    #[error("{url}: {source}")]
    NotJson {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        source: JsonError,
    },
    /// It speaks for another issuer (RFC 8414 §3.3).
    #[error("{url}: expected issuer {expected:?}, but found {found:?}")]
    OtherIssuer {
        /// Where it came from.
        url: String,
        /// The configured one.
        expected: String,
        /// Its own.
        found: Option<String>,
    },
    /// It names no keys.
    #[error("{url}: expected an http or https URL as jwks_uri, but found none")]
    NoJwksUri {
        /// Where it came from.
        url: String,
    },
}

impl Discovery {
    /// The keys are at `jwks_uri`.
    #[must_use]
    pub fn known(jwks_uri: String) -> Self {
        Self { way: Way::Known(jwks_uri), found: Mutex::default() }
    }

    /// The metadata is at `url`, and must name `issuer` as its own.
    #[must_use]
    pub fn at(issuer: String, url: String) -> Self {
        Self { way: Way::Metadata { issuer, urls: vec![url] }, found: Mutex::default() }
    }

    /// The metadata is at one of the well-known places of `issuer`, a URL.
    #[must_use]
    pub fn well_known(issuer: String) -> Self {
        let urls = well_known_urls(&issuer);
        Self { way: Way::Metadata { issuer, urls }, found: Mutex::default() }
    }

    /// Whether some of its places are reached by TLS.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        match &self.way {
            Way::Known(jwks_uri) => jwks_uri.starts_with("https://"),
            Way::Metadata { urls, .. } => urls.iter().any(|url| url.starts_with("https://")),
        }
    }

    /// Where the keys are; once found it is remembered.
    ///
    /// # Errors
    /// [`DiscoveryError`] when no metadata document tells.
    pub async fn jwks_uri(&self, fetcher: &Fetcher) -> Result<String, DiscoveryError> {
        let (issuer, urls) = match &self.way {
            Way::Known(jwks_uri) => return Ok(jwks_uri.clone()),
            Way::Metadata { issuer, urls } => (issuer, urls),
        };
        if let Some(found) = self.remembered().clone() {
            return Ok(found);
        }
        let (last, earlier) = urls.split_last().unwrap_or((issuer, &[]));
        for url in earlier {
            // Any failure here leaves the later places to look at.
            if let Ok(found) = metadata(fetcher, url, issuer).await {
                return Ok(self.remembered().insert(found).clone());
            }
        }
        let found = metadata(fetcher, last, issuer).await?;
        Ok(self.remembered().insert(found).clone())
    }

    /// Forgets what was found, so that the metadata is asked again.
    pub fn forget(&self) {
        *self.remembered() = None;
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        // A panic elsewhere cannot leave half a URL here.
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn metadata(fetcher: &Fetcher, url: &str, issuer: &str) -> Result<String, DiscoveryError> {
    let url = url.to_owned();
    let document = match fetcher.get(&url).await {
        Ok(document) => document,
        Err(source) => return Err(DiscoveryError::Fetch { url, source }),
    };
    let members = match json::parse_object(&document.bytes) {
        Ok(members) => members,
        Err(source) => return Err(DiscoveryError::NotJson { url, source }),
    };
    let text = |name: &str| members.get(name).and_then(|value| value.as_str());
    if text("issuer") != Some(issuer) {
        let found = text("issuer").map(str::to_owned);
        return Err(DiscoveryError::OtherIssuer { url, expected: issuer.to_owned(), found });
    }
    match text("jwks_uri") {
        // Whoever may be reached in the clear says so by its own URL; an issuer at https may not send us off it.
        Some(uri) if uri.starts_with("https://") || (uri.starts_with("http://") && issuer.starts_with("http://")) => {
            Ok(uri.to_owned())
        }
        Some(_) | None => Err(DiscoveryError::NoJwksUri { url }),
    }
}

// RFC 8414 §3.1 puts the well-known part between host and path; OpenID Connect Discovery §4 appends it. Curity and
// others append RFC 8414's as well.
fn well_known_urls(issuer: &str) -> Vec<String> {
    let base = issuer.trim_end_matches('/');
    let host_end = base.find("://").and_then(|scheme| base[scheme + 3..].find('/').map(|slash| scheme + 3 + slash));
    let (host, path) = base.split_at(host_end.unwrap_or(base.len()));
    let mut urls = vec![
        format!("{host}/.well-known/oauth-authorization-server{path}"),
        format!("{base}/.well-known/openid-configuration"),
        format!("{base}/.well-known/oauth-authorization-server"),
    ];
    urls.dedup();
    if path.is_empty() {
        urls.truncate(2);
    }
    urls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r24_well_known_part_is_inserted_and_appended() {
        assert_eq!(
            well_known_urls("https://id.example.com/oauth/v2/"),
            [
                "https://id.example.com/.well-known/oauth-authorization-server/oauth/v2",
                "https://id.example.com/oauth/v2/.well-known/openid-configuration",
                "https://id.example.com/oauth/v2/.well-known/oauth-authorization-server",
            ]
        );
        assert_eq!(
            well_known_urls("http://localhost:9080"),
            [
                "http://localhost:9080/.well-known/oauth-authorization-server",
                "http://localhost:9080/.well-known/openid-configuration",
            ]
        );
    }
}

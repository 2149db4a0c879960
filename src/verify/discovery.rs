//! The endpoints of an authorization server: configured, or discovered in its metadata (RFC 8414, OpenID
//! Connect Discovery 1.0 §4).

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::http_client::{HttpClient, HttpError};
use crate::oauth::issuer_name;
use crate::oauth::json::{self, JsonError};
use crate::text::{quoted, truncated};

/// The maximum size of a metadata document or a JWKS. A larger one is a mistake or an attack.
pub(super) const MAX_DOCUMENT: usize = 1024 * 1024;

/// One endpoint of an authorization server.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// Its URL.
    Known(String),
    /// Found in the metadata.
    Discovered(Arc<Metadata>, EndpointName),
}

/// Which endpoint (RFC 8414 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointName {
    /// `jwks_uri`
    Jwks,
    /// `introspection_endpoint`
    Introspection,
    /// `token_endpoint`
    Token,
}

/// The metadata of one authorization server, fetched when it is needed.
#[derive(Debug)]
pub struct Metadata {
    issuer: String,
    urls: Vec<String>,
    /// The documents so far, by the index of their URL.
    found: Mutex<Vec<Option<Endpoints>>>,
}

/// A metadata document that names the expected issuer.
#[derive(Debug)]
pub struct Endpoints {
    members: Map<String, Value>,
    // Whether endpoints may use plain http: only if the issuer's own URL does. An https issuer must not
    // downgrade its endpoints.
    in_the_clear: bool,
}

/// Why an endpoint is not known.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// No document at any well-known URL; the most informative failure.
    #[error(
        "no metadata at {url}: {source} (see issuer and discovery, or give the endpoint itself)"
    )]
    Fetch {
        /// The URL.
        url: String,
        /// Why it failed.
        source: HttpError,
    },
    /// Not JSON.
    #[error("{url}: {source}")]
    NotJson {
        /// Where it came from.
        url: String,
        /// What is wrong with it.
        source: JsonError,
    },
    /// It names another issuer (RFC 8414 §3.3).
    #[error("{url}: expected issuer {expected:?}, but found {} (see issuer)", quoted(found.as_deref()) + hint)]
    OtherIssuer {
        /// Where it came from.
        url: String,
        /// The configured one.
        expected: String,
        /// The issuer that it names.
        found: Option<String>,
        /// How that differs from the configured one, if they are similar.
        hint: String,
    },
    /// It names an unacceptable URL.
    #[error(
        "{url}: expected an {expected} URL as {name}, but found {found} (give it in the file, or correct the server)"
    )]
    UnacceptableEndpoint {
        /// Where it came from.
        url: String,
        /// What was looked for.
        name: &'static str,
        /// The accepted schemes.
        expected: &'static str,
        /// The value, quoted and truncated.
        found: String,
    },
    /// No document names the endpoint.
    #[error(
        "the metadata of {issuer}: expected an http or https URL as {name}, but found none (give it in the file)"
    )]
    NoEndpoint {
        /// Whose metadata.
        issuer: String,
        /// What was looked for.
        name: &'static str,
    },
}

impl Endpoint {
    /// Its URL; fetches the metadata if it is not cached.
    ///
    /// # Errors
    /// [`DiscoveryError`] if the metadata does not name it.
    pub(super) async fn url(&self, http: &HttpClient) -> Result<String, DiscoveryError> {
        match self {
            Self::Known(url) => Ok(url.clone()),
            Self::Discovered(metadata, name) => metadata.endpoint(*name, http).await,
        }
    }

    /// Drops the cached metadata, because the endpoint may have moved.
    pub(super) async fn forget(&self) {
        match self {
            Self::Known(_) => {}
            Self::Discovered(metadata, _) => metadata.found.lock().await.clear(),
        }
    }
}

impl EndpointName {
    /// Its name in the metadata.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwks => "jwks_uri",
            Self::Introspection => "introspection_endpoint",
            Self::Token => "token_endpoint",
        }
    }
}

impl Metadata {
    /// The metadata is at `url`, and must name `issuer` as its own.
    #[must_use]
    pub fn at(issuer: String, url: String) -> Self {
        Self {
            issuer,
            urls: vec![url],
            found: Mutex::default(),
        }
    }

    /// The metadata is at one of the well-known places of `issuer`, a URL.
    #[must_use]
    pub fn well_known(issuer: String) -> Self {
        let urls = well_known_urls(&issuer);
        Self {
            issuer,
            urls,
            found: Mutex::default(),
        }
    }

    // Every member is optional (RFC 8414 §2): what one document lacks, the next may name.
    async fn endpoint(
        &self,
        name: EndpointName,
        http: &HttpClient,
    ) -> Result<String, DiscoveryError> {
        // Locked during the fetch: one fetch serves all who wait.
        let mut found = self.found.lock().await;
        found.resize_with(self.urls.len(), || None);
        let mut failure: Option<DiscoveryError> = None;
        for (url, cached) in self.urls.iter().zip(found.iter_mut()) {
            let document = match cached.take() {
                Some(document) => Ok(document),
                None => endpoints(http, url, &self.issuer).await,
            };
            let missing = match document {
                Ok(document) => {
                    let document = cached.insert(document);
                    match document.url(name) {
                        Some(endpoint) => return Ok(endpoint.to_owned()),
                        None => document.explain_missing(name, url, &self.issuer),
                    }
                }
                Err(error) => error,
            };
            let relevance = failure.as_ref().map_or(0, DiscoveryError::relevance);
            if missing.relevance() > relevance {
                failure = Some(missing);
            }
        }
        found.clear();
        Err(failure.unwrap_or_else(|| DiscoveryError::no_endpoint(name, &self.issuer)))
    }
}

impl DiscoveryError {
    fn no_endpoint(name: EndpointName, issuer: &str) -> Self {
        Self::NoEndpoint {
            issuer: issuer.to_owned(),
            name: name.as_str(),
        }
    }

    // Of several places, the failure with the highest number is reported: a refusal or a redirect
    // is more informative than a 404 of a guessed location.
    fn relevance(&self) -> u8 {
        match self {
            Self::Fetch {
                source: HttpError::Status { status: 404, .. },
                ..
            } => 1,
            Self::Fetch { source, .. } if is_absent(source) => 2,
            Self::NoEndpoint { .. } => 3,
            Self::Fetch { .. } => 4,
            Self::NotJson { .. } | Self::OtherIssuer { .. } => 5,
            Self::UnacceptableEndpoint { .. } => 6,
        }
    }

    /// Whether the server has no metadata of this issuer at any place.
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::Fetch { source, .. } => is_absent(source),
            Self::NotJson { .. }
            | Self::OtherIssuer { .. }
            | Self::UnacceptableEndpoint { .. }
            | Self::NoEndpoint { .. } => false,
        }
    }
}

/// Whether a server says that it has no such document. Entra responds 400 for a tenant that it does
/// not know.
pub(super) fn is_absent(error: &HttpError) -> bool {
    matches!(
        error,
        HttpError::Status {
            status: 400 | 404 | 410,
            ..
        }
    )
}

async fn endpoints(
    http: &HttpClient,
    url: &str,
    issuer: &str,
) -> Result<Endpoints, DiscoveryError> {
    match http.get_json(url, MAX_DOCUMENT).await {
        Ok(document) => Endpoints::read(&document.body, url, issuer),
        Err(source) => Err(DiscoveryError::Fetch {
            url: url.to_owned(),
            source,
        }),
    }
}

impl Endpoints {
    /// Reads a document that came from `url`; it must name `issuer` as its own (RFC 8414 §3.3).
    ///
    /// # Errors
    /// [`DiscoveryError::NotJson`] or [`DiscoveryError::OtherIssuer`]
    pub fn read(document: &[u8], url: &str, issuer: &str) -> Result<Self, DiscoveryError> {
        let url = url.to_owned();
        let members = match json::parse_object(document) {
            Ok(members) => members,
            Err(source) => return Err(DiscoveryError::NotJson { url, source }),
        };
        match members.get("issuer").and_then(Value::as_str) {
            Some(found) if found == issuer => Ok(Self {
                members,
                in_the_clear: issuer.starts_with("http://"),
            }),
            other => {
                let (found, hint) = (other.map(truncated), issuer_name::hint(other, [issuer]));
                Err(DiscoveryError::OtherIssuer {
                    url,
                    expected: issuer.to_owned(),
                    found,
                    hint,
                })
            }
        }
    }

    /// The URL of an endpoint; `None` if the document has none, or an unacceptable one.
    #[must_use]
    pub fn url(&self, name: EndpointName) -> Option<&str> {
        let url = self.members.get(name.as_str())?.as_str()?;
        let is_believed =
            url.starts_with("https://") || self.in_the_clear && url.starts_with("http://");
        is_believed.then_some(url)
    }

    fn explain_missing(&self, name: EndpointName, url: &str, issuer: &str) -> DiscoveryError {
        let found = match self.members.get(name.as_str()) {
            None | Some(Value::Null) => return DiscoveryError::no_endpoint(name, issuer),
            Some(Value::String(found)) => quoted(Some(&truncated(found))),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                "something else".to_owned()
            }
        };
        DiscoveryError::UnacceptableEndpoint {
            url: url.to_owned(),
            name: name.as_str(),
            expected: if self.in_the_clear {
                "http or https"
            } else {
                "https"
            },
            found,
        }
    }
}

// RFC 8414 §3.1 puts the well-known part between host and path; OpenID Connect Discovery §4 appends it. Curity and
// others append RFC 8414's as well.
fn well_known_urls(issuer: &str) -> Vec<String> {
    let base = issuer.trim_end_matches('/');
    let host_end = base
        .find("://")
        .and_then(|scheme| base[scheme + 3..].find('/').map(|slash| scheme + 3 + slash));
    let (host, path) = base.split_at(host_end.unwrap_or(base.len()));
    let mut urls = vec![
        format!("{host}/.well-known/oauth-authorization-server{path}"),
        format!("{base}/.well-known/openid-configuration"),
    ];
    // Without a path it equals the first one.
    if !path.is_empty() {
        urls.push(format!("{base}/.well-known/oauth-authorization-server"));
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

//! Introspection that does not show whether a token is active.
//!
//! The authorization server or the gateway is at fault, never the client, which gets a 503.

use std::sync::Arc;

use super::circuit_breaker::Outage;
use super::own_token::ClientCredentialsError;
use crate::http_client::HttpError;
use crate::oauth::claims::ClaimsError;
use crate::oauth::introspection::UnclearResponse;
use crate::oauth::jose::JwsError;
use crate::text::quoted;
use crate::verify::discovery::DiscoveryError;
use crate::verify::jwt::SignatureError;

/// Why an introspection has no outcome.
#[derive(Debug, thiserror::Error)]
pub(super) enum IntrospectionError {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error("{url}: {source}")]
    Fetch { url: String, source: HttpError },
    #[error("no token of the gateway's own: {0}")]
    ClientCredentialsToken(#[from] Arc<ClientCredentialsError>),
    #[error("{url}: expected status 200, but found {status}{}", explained(*.status))]
    Status { url: String, status: u16 },
    #[error("{url}: expected content type {expected}, but found {} (see introspection.accept)", quoted(found.as_deref()))]
    MediaType {
        url: String,
        expected: &'static str,
        found: Option<String>,
    },
    #[error("{url}: {source}")]
    Unclear {
        url: String,
        source: UnclearResponse,
    },
    #[error("{url}: expected a signed response, but found something else: {source}")]
    Jws { url: String, source: JwsError },
    #[error("{url}: expected claims, but found something else: {source}")]
    Claims { url: String, source: ClaimsError },
    #[error("{url}: expected a JWT, but found something else")]
    NotJwt { url: String },
    #[error(
        "{url}: expected a response signed with a key of the issuer, but found another: {source}"
    )]
    Signature { url: String, source: SignatureError },
    #[error("{url}: cannot verify the signed response: {why}")]
    NoKeys { url: String, why: String },
    /// MobileFirst's 409, which is passed on to the client.
    #[error("{url}: status 409")]
    Conflict { url: String },
    #[error("no response in time")]
    TooSlow,
}

impl IntrospectionError {
    /// Whether this looks like an outage of the server.
    pub(super) fn outage(&self) -> Option<Outage> {
        let when = |condition: bool, outage| condition.then_some(outage);
        match self {
            Self::TooSlow => Some(Outage::Failing),
            Self::Fetch { source, .. } if source.is_connect() => Some(Outage::Unreachable),
            Self::Fetch { source, .. } => when(source.is_outage(), Outage::Failing),
            // Redirects are not followed, so there is no response. It counts against the client like a
            // 5xx: something in front of the server may redirect what it takes for an attack.
            Self::Status { status, .. } => {
                when(matches!(status, 300..=399 | 429 | 500..), Outage::Failing)
            }
            // Neither depends on the token. Metadata without the endpoint must not be fetched for each request.
            Self::Discovery(_) => Some(Outage::Unreachable),
            Self::ClientCredentialsToken(error) => when(error.is_outage(), Outage::Unreachable),
            Self::MediaType { .. }
            | Self::Unclear { .. }
            | Self::Jws { .. }
            | Self::Claims { .. }
            | Self::NotJwt { .. }
            | Self::Signature { .. }
            | Self::NoKeys { .. }
            | Self::Conflict { .. } => None,
        }
    }
}

fn explained(status: u16) -> &'static str {
    match status {
        300..=399 | 400 | 404 | 405 | 410 => " (see introspection.endpoint)",
        401 => {
            " (the gateway is not authorized: see client_id and its secret, or the scope of its own token)"
        }
        403 => {
            " (the gateway may not introspect: see its rights and scopes at the authorization server)"
        }
        409 => " (MobileFirst: see introspection.conflict)",
        429 => " (too many requests)",
        _ => "",
    }
}

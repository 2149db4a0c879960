//! The authorization server of an issuer, which publishes its keys and introspects its tokens.

use std::sync::Arc;

use url::Url;

use super::RootCertificates;
use crate::config::{self, Config, Fault, SecretOrigin, Spanned};
use crate::gateway::fetch_token::{FetchToken, TokenSource};
use crate::http_client::{EgressProxy, HttpClient};
use crate::transport::tls;
use crate::verify::{Endpoint, EndpointName, Metadata};

/// The proxy for requests to authorization servers, if the file has one.
#[must_use]
pub fn egress_proxy(config: &Config) -> Option<EgressProxy> {
    let proxy = config.server.http_proxy.as_ref()?;
    let (http, https) = (proxy.http.clone(), proxy.https.clone());
    Some(EgressProxy::new(http, https, &proxy.no_proxy))
}

/// An issuer's authorization server: how it is reached, and where its endpoints are found.
pub(super) struct AuthorizationServer {
    pub(super) http: HttpClient,
    metadata: Arc<Metadata>,
}

impl AuthorizationServer {
    pub(super) fn new(
        issuer: &config::Issuer,
        roots: &RootCertificates,
        proxy: Option<&Arc<EgressProxy>>,
    ) -> Result<Self, Box<Fault>> {
        let first = issuer
            .issuer
            .first()
            .map(|iss| iss.value.clone())
            .unwrap_or_default();
        let metadata = match &issuer.discovery {
            config::Discovery::At(url) => Metadata::at(first, url.to_string()),
            config::Discovery::WellKnown | config::Discovery::Off => Metadata::well_known(first),
        };
        let ca = issuer.tls_ca.as_ref();
        let tls = roots
            .trusted(ca, issuer.may_use_tls())
            .and_then(|trusted| tls::client(trusted, None));
        let tls = tls.map_err(|error| match ca {
            Some(ca) => ca.fault(error.to_string()),
            None => issuer.name.fault(error.to_string()),
        })?;
        let (connect, timeout) = (issuer.connect_timeout, issuer.timeout);
        let http = match proxy {
            Some(proxy) => HttpClient::with_proxy(tls, connect, timeout, Arc::clone(proxy)),
            None => HttpClient::new(tls, connect, timeout),
        };
        let http = http.map_err(|error| {
            issuer
                .name
                .fault(format!("cannot make an HTTP client: {error}"))
        })?;
        let http = match fetch_token(issuer)? {
            Some(token) => http.with_credentials(Arc::new(token)),
            None => http,
        };
        Ok(Self {
            http,
            metadata: Arc::new(metadata),
        })
    }

    /// One of its endpoints: the URL of the file, else the one that the metadata document names.
    pub(super) fn endpoint(&self, written: Option<&Spanned<Url>>, name: EndpointName) -> Endpoint {
        match written {
            Some(url) => Endpoint::Known(url.value.to_string()),
            None => Endpoint::Discovered(Arc::clone(&self.metadata), name),
        }
    }
}

// The token goes where the file says that documents are, and not where a document says so.
fn fetch_token(issuer: &config::Issuer) -> Result<Option<FetchToken>, Box<Fault>> {
    let Some(secret) = &issuer.jwks_token else {
        return Ok(None);
    };
    let mut urls = Vec::new();
    let first = issuer.issuer.first();
    urls.extend(first.and_then(|iss| Url::parse(&iss.value).ok()));
    if let config::Discovery::At(url) = &issuer.discovery {
        urls.push(url.clone());
    }
    if let Some(config::KeySource::Uri(url)) = &issuer.keys {
        urls.push(url.value.clone());
    }
    let source = match secret.value.origin() {
        SecretOrigin::File(path) => TokenSource::File(path.clone()),
        SecretOrigin::Bare | SecretOrigin::Variable(_) => {
            TokenSource::Fixed(secret.value.expose().into())
        }
    };
    let token = FetchToken::new(source, &urls);
    token.header().map_err(|error| secret.fault(error))?;
    Ok(Some(token))
}

//! The authorization server of an issuer, which publishes its keys and introspects its tokens.

use std::sync::Arc;

use url::Url;

use super::RootCertificates;
use crate::config::{self, Fault, Spanned};
use crate::http_client::HttpClient;
use crate::transport::tls;
use crate::verify::{Endpoint, EndpointName, Metadata};

/// An issuer's authorization server: how it is reached, and where its endpoints are found.
pub(super) struct AuthorizationServer {
    pub(super) http: HttpClient,
    metadata: Arc<Metadata>,
}

impl AuthorizationServer {
    pub(super) fn new(
        issuer: &config::Issuer,
        roots: &RootCertificates,
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
            .roots(ca, issuer.may_use_tls())
            .and_then(|roots| tls::client(roots, None));
        let tls = tls.map_err(|error| match ca {
            Some(ca) => ca.fault(error.to_string()),
            None => issuer.name.fault(error.to_string()),
        })?;
        let http =
            HttpClient::new(tls, issuer.connect_timeout, issuer.timeout).map_err(|error| {
                issuer
                    .name
                    .fault(format!("cannot make an HTTP client: {error}"))
            })?;
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

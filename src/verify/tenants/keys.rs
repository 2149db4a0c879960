//! Where the keys of each tenant are.

use std::sync::Arc;

use crate::http_client::HttpClient;
use crate::oauth::jose::Algorithm;
use crate::oauth::tenant::{TenantName, TenantTemplate};
use crate::sync::Epoch;
use crate::verify::discovery::{Endpoint, EndpointName, Metadata};
use crate::verify::issuer_keys::IssuerKeys;
use crate::verify::jwt::KeySet;
use crate::verify::key_ring::{KeyRing, RefreshPolicy, RingTenant};
use crate::verify::settings::IssuerSettings;

/// Where the keys of an issuer's tenants are.
#[derive(Debug)]
pub enum TenantKeys {
    /// All tenants have these keys.
    Fixed(Arc<KeySet>),
    /// Each tenant publishes its own.
    Published(Box<PublishedTenantKeys>),
}

/// How the keys of each tenant are fetched.
#[derive(Debug)]
pub struct PublishedTenantKeys {
    /// Where they are.
    pub place: TenantKeysPlace,
    /// The client of the authorization server.
    pub http: HttpClient,
    /// The accepted algorithms.
    pub algorithms: Vec<Algorithm>,
    /// When they are fetched.
    pub policy: RefreshPolicy,
    /// Advances when keys change.
    pub epoch: Epoch,
}

/// Where the keys of a tenant are.
#[derive(Debug)]
pub enum TenantKeysPlace {
    /// In one document for all tenants, at this URL.
    Shared(String),
    /// At this URL.
    OfTenant(TenantTemplate),
    /// At the URL in the tenant's metadata. The metadata is at this URL, else at the well-known
    /// places of the tenant's issuer.
    Discovered(Option<TenantTemplate>),
}

impl TenantKeys {
    /// The keys of the tenant with these settings. None are fetched yet.
    pub(super) fn of(
        &self,
        name: &TenantName,
        settings: &IssuerSettings,
        is_listed: bool,
    ) -> IssuerKeys {
        let published = match self {
            Self::Fixed(keys) => return IssuerKeys::Fixed(Arc::clone(keys)),
            Self::Published(published) => published,
        };
        let ring = KeyRing::new(
            Arc::clone(&settings.name),
            published.place.endpoint(name, settings),
            published.http.clone(),
            published.algorithms.clone(),
            published.policy.clone(),
            published.epoch.clone(),
        );
        let ring = ring.of_tenant(RingTenant {
            name: name.clone(),
            is_listed,
            is_in_url_of_keys: matches!(published.place, TenantKeysPlace::OfTenant(_)),
        });
        IssuerKeys::Published(Arc::new(ring))
    }
}

impl TenantKeysPlace {
    fn endpoint(&self, name: &TenantName, settings: &IssuerSettings) -> Endpoint {
        let template = match self {
            Self::Shared(url) => return Endpoint::Known(url.clone()),
            Self::OfTenant(template) => return Endpoint::Known(template.filled(name)),
            Self::Discovered(template) => template,
        };
        let issuer = settings.expectation.issuers.first();
        let issuer = issuer.cloned().unwrap_or_default();
        let metadata = match template {
            Some(template) => Metadata::at(issuer, template.filled(name)),
            None => Metadata::well_known(issuer),
        };
        Endpoint::Discovered(Arc::new(metadata), EndpointName::Jwks)
    }
}

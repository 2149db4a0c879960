//! An issuer in use: its settings, keys and introspection.

use std::sync::Arc;
use std::time::Duration;

use super::error::{RETRY_AFTER, VerifyError};
use super::introspection::{Introspection, SharedResponses};
use super::issuer_keys::IssuerKeys;
use super::key_ring::KeyRing;
use super::report::IssuerReport;
use super::settings::IssuerSettings;
use super::tenants::{TenantIssuer, Tenants};
use crate::clock;
use crate::telemetry::metrics::Histogram;

/// One issuer: its settings, its keys, its introspection, and measurements.
#[derive(Debug)]
pub struct Issuer {
    /// Its settings.
    pub settings: Arc<IssuerSettings>,
    keys: Option<IssuerKeys>,
    introspection: Option<Arc<Introspection>>,
    /// Its tenants, if it has some. They have the keys.
    tenants: Option<Arc<Tenants>>,
    /// Durations of signature verifications, of all tenants together.
    verifications: Arc<Histogram>,
}

impl Issuer {
    /// An issuer whose signatures are verified with `keys`, if any, and whose tokens are introspected
    /// with `introspection`, if any.
    #[must_use]
    pub fn new(
        settings: IssuerSettings,
        keys: Option<IssuerKeys>,
        introspection: Option<Arc<Introspection>>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            keys,
            introspection,
            tenants: None,
            verifications: Arc::default(),
        }
    }

    /// An issuer with tenants, whose settings are these.
    #[must_use]
    pub fn with_tenants(settings: Arc<IssuerSettings>, tenants: Tenants) -> Self {
        Self {
            settings,
            keys: None,
            introspection: None,
            tenants: Some(Arc::new(tenants)),
            verifications: Arc::default(),
        }
    }

    /// Takes over the known tenants of the issuer of this name in an earlier configuration.
    pub fn adopt_tenants(&self, earlier: &[Arc<Self>]) {
        let mut earlier = earlier.iter();
        let same = earlier.find(|one| one.settings.name == self.settings.name);
        let known = same.and_then(|one| one.tenants.as_ref());
        if let Some((tenants, known)) = self.tenants.as_ref().zip(known)
            && !Arc::ptr_eq(tenants, known)
        {
            tenants.adopt(known);
        }
    }

    /// One of its tenants.
    pub(super) fn of_tenant(&self, tenant: &TenantIssuer) -> Arc<Self> {
        Arc::new(Self {
            settings: Arc::clone(&tenant.settings),
            keys: Some(tenant.keys.clone()),
            introspection: None,
            tenants: None,
            verifications: Arc::clone(&self.verifications),
        })
    }

    /// Its tenants, if it has some.
    pub(super) fn tenants(&self) -> Option<&Arc<Tenants>> {
        self.tenants.as_ref()
    }

    /// Its keys, if signatures are verified.
    #[must_use]
    pub fn keys(&self) -> Option<&IssuerKeys> {
        self.keys.as_ref()
    }

    /// Its introspection, if tokens are introspected.
    pub(super) fn introspection(&self) -> Option<&Arc<Introspection>> {
        self.introspection.as_ref()
    }

    /// Its introspection, if JWTs are introspected.
    pub(super) fn jwt_introspection(&self) -> Option<&Arc<Introspection>> {
        self.introspection
            .as_ref()
            .filter(|_| self.settings.introspects_jwts)
    }

    /// The keys for the signature of a JWT; `None` if it is only introspected.
    pub(super) fn jwt_keys(&self) -> Option<&IssuerKeys> {
        self.keys
            .as_ref()
            .filter(|_| self.introspection.is_none() || self.settings.verifies_signatures)
    }

    /// Starts to fetch keys and to send introspection requests, on the current runtime. Their responses
    /// are `shared` with a fleet. The tasks end when the issuer is dropped.
    pub fn start(&self, shared: Option<&Arc<SharedResponses>>) {
        if let Some(IssuerKeys::Published(ring)) = &self.keys {
            tokio::spawn(KeyRing::refresh(Arc::downgrade(ring)));
        }
        if let Some(introspection) = &self.introspection {
            introspection.start(shared);
        }
        if let Some(tenants) = &self.tenants {
            tenants.start();
        }
    }

    /// Whether its keys are fetched from a URL.
    #[must_use]
    pub fn fetches_keys(&self) -> bool {
        matches!(self.keys, Some(IssuerKeys::Published(_)))
            || self
                .tenants
                .as_ref()
                .is_some_and(|tenants| tenants.fetches_keys())
    }

    /// Waits for the first fetch of its keys to end, however it ends, for at most `timeout`.
    pub async fn wait_for_keys(&self, timeout: Duration) {
        if let Some(IssuerKeys::Published(ring)) = &self.keys {
            let _ = tokio::time::timeout(timeout, ring.attempted()).await;
        }
        if let Some(tenants) = &self.tenants {
            tenants.wait_for_keys(timeout).await;
        }
    }

    /// Measures a signature verification.
    pub(super) fn time_verification<T>(&self, verify: impl FnOnce() -> T) -> T {
        let began = clock::now();
        let outcome = verify();
        self.verifications.record(clock::since(began));
        outcome
    }

    /// Its current state.
    #[must_use]
    pub fn report(&self) -> IssuerReport {
        IssuerReport {
            issuer: Arc::clone(&self.settings.name),
            keys: match &self.tenants {
                Some(tenants) => Some(tenants.report()),
                None => self.keys.as_ref().map(IssuerKeys::report),
            },
            introspection: self
                .introspection
                .as_ref()
                .map(|introspection| introspection.report()),
            verifications: self.verifications.read(),
        }
    }

    pub(super) fn unavailable(&self, cause: String) -> VerifyError {
        VerifyError::Unavailable {
            issuer: Arc::clone(&self.settings.name),
            retry_after: RETRY_AFTER,
            cause,
        }
    }
}

//! The settings of an issuer: `[issuers.NAME]`.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use super::cache::CacheLimit;
use crate::oauth::UnixTime;
use crate::oauth::claims::Expectation;
use crate::oauth::tenant::{Tenant, TenantName, TenantTemplate};

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
    /// Whether it has tenants, or is one of them.
    pub tenancy: Tenancy,
}

/// Whether an issuer has tenants.
#[derive(Debug)]
pub enum Tenancy {
    /// It has none.
    Single,
    /// It has: each of its tenants has settings of its own. No token is checked by these.
    Template(TenantTemplates),
    /// It is one of the tenants.
    Tenant(TenantUse),
}

/// The issuers of all tenants, and which tenants are accepted.
#[derive(Debug)]
pub struct TenantTemplates {
    /// The values of `iss`, at least one; all have the same parameter. The first is used for
    /// discovery.
    pub issuers: Vec<TenantTemplate>,
    /// Which tenants are accepted.
    pub accepted: AcceptedTenants,
}

/// Which tenants are accepted: `tenants`.
#[derive(Debug)]
pub enum AcceptedTenants {
    /// Every one that the authorization server knows.
    Any,
    /// These.
    Listed(HashSet<TenantName>),
}

/// Whether a tenant is still in use. Its cached tokens end with it.
#[derive(Debug)]
pub struct TenantUse {
    /// The settings with the templates.
    issuer: Arc<IssuerSettings>,
    /// In seconds since 1970.
    last_verified: AtomicI64,
    is_dropped: AtomicBool,
}

impl IssuerSettings {
    /// Whether `iss` names this issuer; compared as strings (RFC 7519 §2, StringOrURI).
    #[must_use]
    pub fn is_called(&self, iss: &str) -> bool {
        match &self.tenancy {
            Tenancy::Single | Tenancy::Tenant(_) => {
                self.expectation.issuers.iter().any(|name| name == iss)
            }
            Tenancy::Template(templates) => templates.tenant_of(iss).is_some(),
        }
    }

    /// The name of the tenant, if it is one.
    pub(super) fn tenant_name(&self) -> Option<&TenantName> {
        self.expectation.tenant.as_ref().map(|tenant| &tenant.name)
    }

    /// The settings of one tenant; `None` if this issuer has no tenants.
    #[must_use]
    pub(super) fn of_tenant(self: &Arc<Self>, name: &TenantName) -> Option<Self> {
        let Tenancy::Template(templates) = &self.tenancy else {
            return None;
        };
        let tenant = templates.tenant(name)?;
        let rules = self.expectation.claim_rules.iter();
        let expectation = Expectation {
            issuers: templates.filled(name),
            claim_rules: rules
                .map(|rule| rule.filled(&*tenant))
                .collect::<Option<_>>()?,
            tenant: Some(tenant),
            ..self.expectation.clone()
        };
        Some(Self {
            name: Arc::clone(&self.name),
            expectation,
            token_types: self.token_types.clone(),
            verifies_signatures: self.verifies_signatures,
            introspects_jwts: self.introspects_jwts,
            token_prefix: self.token_prefix.clone(),
            cache_max_age: self.cache_max_age,
            cache_limit: self.cache_limit,
            tenancy: Tenancy::Tenant(TenantUse {
                issuer: Arc::clone(self),
                last_verified: AtomicI64::new(i64::MIN),
                is_dropped: AtomicBool::new(false),
            }),
        })
    }
}

impl TenantTemplates {
    /// The accepted tenant that `iss` names. Not verified.
    #[must_use]
    pub fn tenant_of(&self, iss: &str) -> Option<TenantName> {
        let name = self
            .issuers
            .iter()
            .find_map(|template| template.tenant_of(iss))?;
        match &self.accepted {
            AcceptedTenants::Any => Some(name),
            AcceptedTenants::Listed(names) => names.contains(&name).then_some(name),
        }
    }

    fn tenant(&self, name: &TenantName) -> Option<Arc<Tenant>> {
        let parameter = Arc::clone(self.issuers.first()?.parameter());
        let name = name.clone();
        Some(Arc::new(Tenant { parameter, name }))
    }

    /// The values of `iss` of this tenant.
    pub(super) fn filled(&self, name: &TenantName) -> Vec<String> {
        let issuers = self.issuers.iter();
        issuers.map(|template| template.filled(name)).collect()
    }
}

impl TenantUse {
    /// The settings with the templates.
    pub(super) fn issuer(&self) -> &Arc<IssuerSettings> {
        &self.issuer
    }

    /// Notes that a token of the tenant was verified.
    pub(super) fn note(&self, now: UnixTime) {
        let now = now.as_seconds();
        // Workers share the cache line, so it is written once a second only.
        if self.last_verified.load(Ordering::Relaxed) != now {
            self.last_verified.store(now, Ordering::Relaxed);
        }
    }

    /// When a token of the tenant was last verified, in seconds since 1970.
    pub(super) fn last_verified(&self) -> i64 {
        self.last_verified.load(Ordering::Relaxed)
    }

    /// Ends the use of the tenant, or resumes it.
    pub(super) fn set_dropped(&self, is_dropped: bool) {
        self.is_dropped.store(is_dropped, Ordering::Release);
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.is_dropped.load(Ordering::Acquire)
    }
}

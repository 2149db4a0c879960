//! What is known of the tenants of one issuer: which are known, and which are on trial.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::quota::{Exceeded, Quota};
use crate::oauth::tenant::TenantName;
use crate::verify::error::OVERLOAD_RETRY_AFTER;
use crate::verify::issuer_keys::IssuerKeys;
use crate::verify::key_ring::KeyRing;
use crate::verify::report::KeysReport;
use crate::verify::settings::{IssuerSettings, Tenancy, TenantUse};

/// Tenants without a verified token that are remembered. With the quota of a minute and the default
/// cooldown there are at most 150.
const MAX_ON_TRIAL: usize = 1000;

/// The settings and the keys of one tenant.
#[derive(Clone, Debug)]
pub(in crate::verify) struct TenantIssuer {
    pub(in crate::verify) settings: Arc<IssuerSettings>,
    pub(in crate::verify) keys: IssuerKeys,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// With the number of the admission, which decides between tenants that were used in the same
    /// second.
    pub(super) known: HashMap<TenantName, (u64, TenantIssuer)>,
    pub(super) on_trial: HashMap<TenantName, Trial>,
    pub(super) admissions: u64,
    pub(super) quota: Quota,
    /// Fetches for tenants that are gone: how many succeeded and failed.
    pub(super) past_fetches: (u64, u64),
}

/// A tenant without a verified token.
#[derive(Debug)]
pub(super) enum Trial {
    /// Its keys are being fetched, or are there. The trial ends then, once the fetch has ended.
    Open(TenantIssuer, Option<Instant>),
    /// There are no keys, and none are fetched until then.
    Failed(NoTenant, Instant),
}

/// Why a tenant has no keys.
#[derive(Clone, Debug)]
pub(super) enum NoTenant {
    /// The server does not know it.
    Absent(String),
    /// The server failed.
    Unavailable(String),
}

impl TenantIssuer {
    pub(super) fn ring(&self) -> Option<&Arc<KeyRing>> {
        match &self.keys {
            IssuerKeys::Published(ring) => Some(ring),
            IssuerKeys::Fixed(_) => None,
        }
    }

    pub(super) fn tenant_use(&self) -> Option<&TenantUse> {
        match &self.settings.tenancy {
            Tenancy::Tenant(tenant_use) => Some(tenant_use),
            Tenancy::Single | Tenancy::Template(_) => None,
        }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.settings, &other.settings)
    }
}

impl Trial {
    pub(super) fn issuer(&self) -> Option<&TenantIssuer> {
        match self {
            Self::Open(issuer, _) => Some(issuer),
            Self::Failed(..) => None,
        }
    }

    pub(super) fn is_of(&self, issuer: &TenantIssuer) -> bool {
        self.issuer().is_some_and(|own| own.is(issuer))
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        match self {
            Self::Open(_, until) => until.is_some_and(|until| until <= now),
            Self::Failed(_, until) => *until <= now,
        }
    }
}

impl NoTenant {
    /// Why a ring has no keys after its first fetch; `None` if it has some.
    pub(super) fn of(ring: &KeyRing) -> Option<Self> {
        if ring.current().is_ok() {
            return None;
        }
        let why = ring.failures().map(|failures| failures.last_error);
        let why = why.unwrap_or_else(|| "no keys".to_owned());
        Some(if ring.is_tenant_absent() {
            Self::Absent(why)
        } else {
            Self::Unavailable(format!("no keys of the tenant: {why}"))
        })
    }
}

impl State {
    /// The tenant of this name, if it is known, or on trial and not yet refused.
    pub(super) fn find(&self, name: &TenantName) -> Option<&TenantIssuer> {
        match self.known.get(name) {
            Some((_, issuer)) => Some(issuer),
            None => self.on_trial.get(name)?.issuer(),
        }
    }

    /// Makes room for one more tenant on trial.
    pub(super) fn make_room(&mut self, client: IpAddr, now: Instant) -> Result<(), Exceeded> {
        self.quota.check(client, now)?;
        self.end_trials(now);
        if self.on_trial.len() < MAX_ON_TRIAL {
            return Ok(());
        }
        Err(Exceeded {
            bound: "tenants without a verified token",
            retry_after: OVERLOAD_RETRY_AFTER,
        })
    }

    pub(super) fn end_trials(&mut self, now: Instant) {
        let over = self.on_trial.extract_if(|_, trial| trial.is_over(now));
        let over: Vec<_> = over
            .filter_map(|(_, trial)| trial.issuer().cloned())
            .collect();
        for issuer in &over {
            self.drop_issuer(issuer);
        }
    }

    pub(super) fn drop_known(&mut self, name: &TenantName) {
        if let Some((_, issuer)) = self.known.remove(name) {
            self.drop_issuer(&issuer);
        }
    }

    pub(super) fn drop_least_recent(&mut self) {
        let least_recent = self.known.iter().min_by_key(|(_, (number, issuer))| {
            let last = issuer.tenant_use().map(TenantUse::last_verified);
            (last, *number)
        });
        if let Some(name) = least_recent.map(|(name, _)| name.clone()) {
            self.drop_known(&name);
        }
    }

    fn drop_issuer(&mut self, issuer: &TenantIssuer) {
        if let Some(tenant_use) = issuer.tenant_use() {
            tenant_use.set_dropped(true);
        }
        self.count_past(issuer);
    }

    // Counters must not go back when a tenant is gone.
    pub(super) fn count_past(&mut self, issuer: &TenantIssuer) {
        let KeysReport {
            fetched, failed, ..
        } = issuer.keys.report();
        let (succeeded, past_failed) = self.past_fetches;
        self.past_fetches = (succeeded + fetched, past_failed + failed);
    }
}

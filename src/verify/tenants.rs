//! The tenants of one issuer, each with keys of its own.
//!
//! The `iss` of a token selects the tenant before anything is verified, so a client may invent
//! tenants.
//!
//! 1. A tenant is known from its first verified token on, or because the operator lists it. Only a
//!    verified token of another tenant makes the issuer drop a known one, and never a listed one.
//! 2. A new tenant is on trial: its keys are fetched once. If there are none, its tokens are refused
//!    for `unknown_key_cooldown` without another fetch. If no token is verified within that time,
//!    the keys are dropped as well.
//! 3. New tenants are limited for each client and for the issuer, and so are those on trial.
//! 4. A server that does not know the tenant refutes the token (401). A server that fails says
//!    nothing of it (503).
//! 5. Known tenants stay known when a reload changes the issuer. Their keys are fetched again.
//! 6. A cached token belongs to the settings of its tenant. It ends when the tenant is dropped.
//!
//! - `state`: which tenants are known and on trial; `quota`: how many may be new; `keys`: where the
//!   keys of a tenant are

mod keys;
mod quota;
mod state;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::error::{RETRY_AFTER, VerifyError, invalid};
use super::issuer_keys::IssuerKeys;
use super::key_ring::KeyRing;
use super::report::KeysReport;
use super::settings::{AcceptedTenants, IssuerSettings, Tenancy, TenantTemplates, TenantUse};
use crate::clock;
use crate::oauth::UnixTime;
use crate::oauth::tenant::{TenantName, TenantTemplate};
use crate::sync::lock;
use crate::telemetry::Throttle;
use quota::Exceeded;
use state::{NoTenant, State, Trial};

pub(super) use state::TenantIssuer;

pub use keys::{PublishedTenantKeys, TenantKeys, TenantKeysPlace};

/// Known tenants whose keys are fetched at the same time, at the start.
const FIRST_FETCHES: usize = 32;
/// How long the next of them wait for those that are slow.
const FIRST_FETCH_DELAY: Duration = Duration::from_secs(1);
/// The minimum time between two log lines about the quota.
const QUOTA_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The tenants of one issuer.
#[derive(Debug)]
pub struct Tenants {
    settings: Arc<IssuerSettings>,
    keys: TenantKeys,
    /// The maximum number of known tenants.
    max: usize,
    /// How long a tenant is on trial.
    cooldown: Duration,
    state: Mutex<State>,
    quota_log: Throttle,
    /// The control plane, once it has started.
    control_plane: OnceLock<Handle>,
}

impl Tenants {
    /// The tenants of the issuer with these settings. None has keys until `start`.
    #[must_use]
    pub fn new(
        settings: Arc<IssuerSettings>,
        keys: TenantKeys,
        max: usize,
        cooldown: Duration,
    ) -> Self {
        let tenants = Self {
            settings,
            keys,
            max,
            cooldown,
            state: Mutex::default(),
            quota_log: Throttle::new(QUOTA_LOG_INTERVAL),
            control_plane: OnceLock::new(),
        };
        let accepted = tenants.templates().map(|templates| &templates.accepted);
        if let Some(AcceptedTenants::Listed(names)) = accepted {
            let mut state = lock(&tenants.state);
            for name in names {
                let issuer = tenants.issuer_of(name);
                state
                    .known
                    .extend(issuer.map(|issuer| (name.clone(), (0, issuer))));
            }
        }
        tenants
    }

    /// Takes over the known tenants of an earlier configuration, unless it has another server or
    /// lists them: a reload must not use up the quota of new tenants.
    pub(super) fn adopt(&self, earlier: &Self) {
        let (Some(ours), Some(theirs)) = (self.any_of(), earlier.any_of()) else {
            return;
        };
        if ours != theirs {
            return;
        }
        let last_verified =
            |issuer: &TenantIssuer| issuer.tenant_use().map(TenantUse::last_verified);
        let known = lock(&earlier.state);
        let known = known.known.iter();
        let mut known: Vec<_> = known
            .filter_map(|(name, (_, issuer))| Some((last_verified(issuer)?, name.clone())))
            .collect();
        known.sort_unstable_by(|one, other| other.cmp(one));
        let mut state = lock(&self.state);
        for (last_verified, name) in known.into_iter().take(self.max) {
            if let Some(issuer) = self.issuer_of(&name) {
                if let Some(tenant_use) = issuer.tenant_use() {
                    tenant_use.note(UnixTime::from_seconds(last_verified));
                }
                state.known.insert(name, (0, issuer));
            }
        }
    }

    /// The templates, if every tenant is accepted.
    fn any_of(&self) -> Option<&[TenantTemplate]> {
        let templates = self.templates().filter(|_| !self.is_listed());
        templates.map(|templates| &*templates.issuers)
    }

    /// Fetches keys on the current runtime from now on: those of known tenants at once.
    pub(super) fn start(&self) {
        self.attach();
        let rings = self.known_rings();
        tokio::spawn(async move {
            for rings in rings.chunks(FIRST_FETCHES) {
                for ring in rings {
                    tokio::spawn(KeyRing::refresh(Weak::clone(ring)));
                }
                // A slow server delays the others, but does not stop them.
                let _ = tokio::time::timeout(FIRST_FETCH_DELAY, attempted(rings)).await;
            }
        });
    }

    /// Fetches keys on the current runtime, but none before a token needs them. If `iss` names a
    /// listed tenant, its keys are fetched at once; returns whether they are.
    pub(super) fn start_only(&self, iss: &str) -> bool {
        self.attach();
        let listed = self.tenant_of(iss).filter(|_| self.is_listed());
        let issuer = listed.and_then(|name| self.known(&name));
        let Some(IssuerKeys::Published(ring)) = issuer.map(|issuer| issuer.keys) else {
            return false;
        };
        tokio::spawn(KeyRing::refresh(Arc::downgrade(&ring)));
        true
    }

    fn attach(&self) {
        // Called again, it is the same runtime.
        let _ = self.control_plane.set(Handle::current());
    }

    /// Whether keys are fetched without a token that needs them.
    pub(super) fn fetches_keys(&self) -> bool {
        !self.known_rings().is_empty()
    }

    /// Waits for the first fetch of the known tenants' keys to end, for at most `timeout`.
    pub(super) async fn wait_for_keys(&self, timeout: Duration) {
        let rings = self.known_rings();
        let _ = tokio::time::timeout(timeout, attempted(&rings)).await;
    }

    fn known_rings(&self) -> Vec<Weak<KeyRing>> {
        let state = lock(&self.state);
        let rings = state.known.values().filter_map(|(_, issuer)| issuer.ring());
        rings.map(Arc::downgrade).collect()
    }

    fn templates(&self) -> Option<&TenantTemplates> {
        match &self.settings.tenancy {
            Tenancy::Template(templates) => Some(templates),
            Tenancy::Single | Tenancy::Tenant(_) => None,
        }
    }

    fn is_listed(&self) -> bool {
        self.templates()
            .is_some_and(|templates| matches!(templates.accepted, AcceptedTenants::Listed(_)))
    }

    /// The accepted tenant that `iss` names. Not verified.
    pub(super) fn tenant_of(&self, iss: &str) -> Option<TenantName> {
        self.templates()?.tenant_of(iss)
    }

    /// A tenant of this name, which nothing else knows of.
    fn issuer_of(&self, name: &TenantName) -> Option<TenantIssuer> {
        let settings = Arc::new(self.settings.of_tenant(name)?);
        let keys = self.keys.of(name, &settings, self.is_listed());
        Some(TenantIssuer { settings, keys })
    }

    fn known(&self, name: &TenantName) -> Option<TenantIssuer> {
        let state = lock(&self.state);
        state.known.get(name).map(|(_, issuer)| issuer.clone())
    }

    /// The tenant as it is now: for `explain`, and for checks before any fetch. One that is neither
    /// known nor on trial has no keys.
    pub(super) fn examine(&self, name: &TenantName) -> Option<TenantIssuer> {
        let found = lock(&self.state).find(name).cloned();
        found.or_else(|| self.issuer_of(name))
    }

    /// Whether it is neither known nor on trial.
    pub(super) fn is_new(&self, name: &TenantName) -> bool {
        let state = lock(&self.state);
        let is_on_trial = || {
            let trial = state.on_trial.get(name);
            trial.is_some_and(|trial| !trial.is_over(clock::now()))
        };
        !state.known.contains_key(name) && !is_on_trial()
    }

    /// The current keys of the tenant with these settings; `None` if it is no longer in use.
    pub(super) fn keys_of(&self, settings: &Arc<IssuerSettings>) -> Option<IssuerKeys> {
        let name = settings.tenant_name()?;
        let state = lock(&self.state);
        let issuer = state.find(name)?;
        Arc::ptr_eq(&issuer.settings, settings).then(|| issuer.keys.clone())
    }

    /// The tenant of this name, with keys. Waits for the first fetch of a new one.
    ///
    /// # Errors
    /// [`VerifyError::Invalid`] if the server does not know it, [`VerifyError::Unavailable`] if the
    /// server fails, and [`VerifyError::Overloaded`] if too many tenants are new.
    pub(super) async fn find(
        self: &Arc<Self>,
        name: &TenantName,
        client: IpAddr,
    ) -> Result<TenantIssuer, VerifyError> {
        let issuer = self.find_or_try(name, client)?;
        let is_on_trial = !self.is_listed();
        if let Some(ring) = issuer.ring().filter(|_| is_on_trial) {
            ring.attempted().await;
            if let Some(failure) = NoTenant::of(ring) {
                return Err(self.refuse(name, failure, self.cooldown));
            }
        }
        Ok(issuer)
    }

    fn find_or_try(
        self: &Arc<Self>,
        name: &TenantName,
        client: IpAddr,
    ) -> Result<TenantIssuer, VerifyError> {
        let now = clock::now();
        let mut state = lock(&self.state);
        if let Some((_, issuer)) = state.known.get(name) {
            // A tenant without keys is no longer one that the server vouches for.
            let is_fetched = issuer.ring().is_none_or(|ring| ring.has_attempted());
            if self.is_listed() || !is_fetched || issuer.keys.current().is_ok() {
                return Ok(issuer.clone());
            }
            state.drop_known(&name.clone());
        }
        match state.on_trial.get(name).filter(|trial| !trial.is_over(now)) {
            Some(Trial::Open(issuer, _)) => return Ok(issuer.clone()),
            Some(Trial::Failed(failure, until)) => {
                let rest = until.saturating_duration_since(now);
                return Err(self.refuse(name, failure.clone(), rest));
            }
            None => {}
        }
        let new = self.issuer_of(name).filter(|_| !self.is_listed());
        // Nothing is fetched for fixed keys.
        if let Some(issuer) = new.as_ref().filter(|issuer| issuer.ring().is_none()) {
            return Ok(issuer.clone());
        }
        let (Some(control_plane), Some(issuer)) = (self.control_plane.get(), new) else {
            let failure = NoTenant::Unavailable("no keys were fetched".to_owned());
            return Err(self.refuse(name, failure, RETRY_AFTER));
        };
        state
            .make_room(client, now)
            .map_err(|exceeded| self.overloaded(exceeded, now))?;
        state.quota.count(client, now);
        let trial = Trial::Open(issuer.clone(), None);
        state.on_trial.insert(name.clone(), trial);
        control_plane.spawn(Self::fetch(
            Arc::downgrade(self),
            name.clone(),
            issuer.clone(),
        ));
        Ok(issuer)
    }

    // The keys are refreshed as long as the tenant is known or on trial.
    async fn fetch(tenants: Weak<Self>, name: TenantName, issuer: TenantIssuer) {
        if let Some(ring) = issuer.ring() {
            tokio::spawn(KeyRing::refresh(Arc::downgrade(ring)));
            ring.attempted().await;
        }
        let Some(cooldown) = tenants.upgrade().map(|tenants| {
            tenants.settle(&name, &issuer);
            tenants.cooldown
        }) else {
            return;
        };
        // After a reload, nothing else may hold the keys.
        drop(issuer);
        tokio::time::sleep(cooldown).await;
        if let Some(tenants) = tenants.upgrade() {
            lock(&tenants.state).end_trials(clock::now());
        }
    }

    fn settle(&self, name: &TenantName, issuer: &TenantIssuer) {
        let until = clock::now() + self.cooldown;
        let mut state = lock(&self.state);
        let Some(trial) = state.on_trial.get_mut(name).filter(|one| one.is_of(issuer)) else {
            return;
        };
        match issuer.ring().and_then(|ring| NoTenant::of(ring)) {
            None => *trial = Trial::Open(issuer.clone(), Some(until)),
            Some(failure) => {
                *trial = Trial::Failed(failure, until);
                state.count_past(issuer);
            }
        }
    }

    /// Makes a tenant known, because a token of it was verified. If there are too many, drops the
    /// one that was longest without a verified token.
    pub(super) fn admit(&self, issuer: &TenantIssuer, now: UnixTime) {
        let Some((name, tenant_use)) = issuer.settings.tenant_name().zip(issuer.tenant_use())
        else {
            return;
        };
        tenant_use.note(now);
        let mut state = lock(&self.state);
        let known = state.known.get(name).map(|(_, known)| known);
        if known.is_some_and(|known| known.is(issuer)) {
            return;
        }
        state.drop_known(name);
        if let Some(Trial::Open(other, _)) = state.on_trial.remove(name)
            && !other.is(issuer)
        {
            state.count_past(&other);
        }
        while state.known.len() >= self.max {
            state.drop_least_recent();
        }
        // Its trial may have ended while its token was verified.
        tenant_use.set_dropped(false);
        state.admissions += 1;
        let number = state.admissions;
        state.known.insert(name.clone(), (number, issuer.clone()));
    }

    /// The state of the keys of all tenants together.
    pub(super) fn report(&self) -> KeysReport {
        let state = lock(&self.state);
        let on_trial = state.on_trial.values().filter_map(Trial::issuer);
        let (mut fetched, mut failed) = state.past_fetches;
        for report in on_trial.map(|issuer| issuer.keys.report()) {
            fetched += report.fetched;
            failed += report.failed;
        }
        // Without a list, there may be no tenant yet.
        let mut usable = (!self.is_listed()).then_some(0);
        let mut all = KeysReport::default();
        for report in state.known.values().map(|(_, issuer)| issuer.keys.report()) {
            fetched += report.fetched;
            failed += report.failed;
            usable = match (usable, report.usable) {
                (Some(one), Some(other)) => Some(one + other),
                (one, other) => one.or(other),
            };
            // Of the tenant that is worst off.
            all.since_success = all.since_success.max(report.since_success);
            all.stale = all.stale.max(report.stale);
            let count = |report: &KeysReport| report.failures.as_ref().map(|one| one.count);
            if count(&report) > count(&all) {
                all.failures = report.failures;
            }
        }
        KeysReport {
            usable,
            fetched,
            failed,
            ..all
        }
    }

    fn refuse(&self, name: &TenantName, failure: NoTenant, retry_after: Duration) -> VerifyError {
        match failure {
            NoTenant::Absent(why) => {
                let template = self.templates().and_then(|all| all.issuers.first());
                let template = template.map(ToString::to_string).unwrap_or_default();
                invalid(
                    "unknown_issuer",
                    format!(
                        "expected a tenant of {template} that its server knows, but found {:?}: {why}",
                        name.as_str()
                    ),
                )
            }
            NoTenant::Unavailable(cause) => VerifyError::Unavailable {
                issuer: Arc::clone(&self.settings.name),
                retry_after,
                cause,
            },
        }
    }

    fn overloaded(&self, exceeded: Exceeded, now: Instant) -> VerifyError {
        let Exceeded { bound, retry_after } = exceeded;
        if let Some(left_out) = self.quota_log.admit(now) {
            let issuer = &self.settings.name;
            tracing::warn!(%issuer, limit = bound, left_out, "too many new tenants");
        }
        VerifyError::Overloaded { bound, retry_after }
    }
}

async fn attempted(rings: &[Weak<KeyRing>]) {
    for ring in rings.iter().filter_map(Weak::upgrade) {
        ring.attempted().await;
    }
}

#[cfg(test)]
mod tests;

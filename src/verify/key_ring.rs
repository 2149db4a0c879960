//! An issuer's keys over time (RFC 7517 §5, RFC 8414).
//!
//! 1. They are fetched in the background, on the control plane. A request waits only if the current keys
//!    do not verify its token.
//! 2. The whole set is replaced, so a key that the issuer withdraws stops working.
//! 3. While the issuer cannot be reached, the old keys stay in use, up to a limit. Then there are none.
//! 4. Unknown keys start at most one fetch per cooldown, however many requests name one. So do wrong
//!    signatures: a server may have a new key under the name of an old one. Forging either costs nothing,
//!    so it must not cost the issuer anything.
//! 5. Each tenant of an issuer has a ring of its own.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};

use super::discovery::{self, DiscoveryError, Endpoint, MAX_DOCUMENT};
use super::failures::Failures;
use super::jwt::KeySet;
use super::report::{FailuresReport, KeysReport};
use crate::clock::{self, Backoff, jitter};
use crate::http_client::{HttpClient, HttpError};
use crate::oauth::jose::{Algorithm, Jwks, JwksError};
use crate::oauth::tenant::TenantName;
use crate::sync::Epoch;

/// When an issuer's keys are fetched.
#[derive(Clone, Debug)]
pub struct RefreshPolicy {
    /// The lifetime of a JWKS without `Cache-Control`.
    pub default_lifetime: Duration,
    /// No lifetime is shorter, whatever `Cache-Control` says.
    pub min_lifetime: Duration,
    /// No lifetime is longer, whatever `Cache-Control` says.
    pub max_lifetime: Duration,
    /// How long a stale JWKS is used while no new one can be fetched.
    pub max_stale: Duration,
    /// The minimum time between two fetches for unknown keys.
    pub unknown_key_cooldown: Duration,
    /// The delay after failures.
    pub backoff: Backoff,
}

/// The keys of one issuer that publishes them at a URL.
#[derive(Debug)]
pub struct KeyRing {
    issuer: Arc<str>,
    /// The tenant whose keys they are, if the issuer has tenants.
    tenant: Option<RingTenant>,
    endpoint: Endpoint,
    http: HttpClient,
    algorithms: Vec<Algorithm>,
    policy: RefreshPolicy,
    epoch: Epoch,
    current: ArcSwapOption<KeySet>,
    /// Fetches that failed since the last success.
    failures: Failures,
    refresh_requested: Arc<Notify>,
    attempts: watch::Sender<Attempts>,
}

/// The tenant of a ring.
#[derive(Clone, Debug)]
pub(super) struct RingTenant {
    pub(super) name: TenantName,
    /// Whether the operator lists it. Otherwise a token has named it.
    pub(super) is_listed: bool,
    /// Whether the URL of the keys has the tenant's name, so that a 404 there is about the tenant.
    pub(super) is_in_url_of_keys: bool,
}

/// The fetches so far.
#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    begun: u64,
    ended: u64,
    last_succeeded: bool,
    /// Whether the server said at the last one that it does not know the tenant.
    is_tenant_absent: bool,
    succeeded: u64,
    /// When one last succeeded, and until when its JWKS is fresh.
    success: Option<(Instant, Instant)>,
    /// When an unknown key last started a fetch.
    for_unknown_key: Option<Instant>,
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error("{url}: {source}")]
    Fetch { url: String, source: HttpError },
    #[error("{url}: {source}")]
    NotKeys { url: String, source: JwksError },
}

/// There are no keys, which is not the client's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKeys;

impl KeyRing {
    /// A ring without keys; [`refresh`](Self::refresh) fetches them.
    #[must_use]
    pub fn new(
        issuer: Arc<str>,
        endpoint: Endpoint,
        http: HttpClient,
        algorithms: Vec<Algorithm>,
        policy: RefreshPolicy,
        epoch: Epoch,
    ) -> Self {
        Self {
            issuer,
            tenant: None,
            endpoint,
            http,
            algorithms,
            policy,
            epoch,
            current: ArcSwapOption::empty(),
            failures: Failures::default(),
            refresh_requested: Arc::default(),
            attempts: watch::Sender::default(),
        }
    }

    /// The ring of a tenant.
    pub(super) fn of_tenant(mut self, tenant: RingTenant) -> Self {
        if !tenant.is_listed {
            // The first fetch counts as one for an unknown key: the token that named the tenant may
            // be forged.
            self.attempts
                .send_modify(|attempts| attempts.for_unknown_key = Some(clock::now()));
        }
        self.tenant = Some(tenant);
        self
    }

    /// Whether the server said at the last fetch that it does not know the tenant.
    pub(super) fn is_tenant_absent(&self) -> bool {
        self.attempts.borrow().is_tenant_absent
    }

    fn tenant_name(&self) -> Option<&str> {
        self.tenant.as_ref().map(|tenant| tenant.name.as_str())
    }

    /// The current keys.
    ///
    /// # Errors
    /// [`NoKeys`] before the first fetch, or after the last keys expired.
    pub fn current(&self) -> Result<Arc<KeySet>, NoKeys> {
        self.current.load_full().ok_or(NoKeys)
    }

    /// Fetches that failed since the last success; `None` after a success.
    pub(super) fn failures(&self) -> Option<FailuresReport> {
        self.failures.report()
    }

    /// The state of the keys.
    #[must_use]
    pub fn report(&self) -> KeysReport {
        let Attempts {
            ended,
            succeeded,
            success,
            ..
        } = *self.attempts.borrow();
        KeysReport {
            usable: self.current.load().as_ref().map(|keys| keys.count()),
            since_success: success.map(|(at, _)| clock::since(at)),
            stale: success.map_or(Duration::ZERO, |(_, fresh_until)| clock::since(fresh_until)),
            fetched: succeeded,
            failed: ended - succeeded,
            failures: self.failures(),
        }
    }

    /// Whether the first fetch has ended.
    pub(super) fn has_attempted(&self) -> bool {
        self.attempts.borrow().ended > 0
    }

    /// Waits until the first fetch has ended.
    pub(super) async fn attempted(&self) {
        // The sender is a part of `self`, so this is no error.
        let _ = self
            .attempts
            .subscribe()
            .wait_for(|attempts| attempts.ended > 0)
            .await;
    }

    /// The keys for a token that the current ones do not verify: fetched again, unless within the
    /// cooldown.
    ///
    /// # Errors
    /// [`NoKeys`] if the fetch failed: then it is unknown whether the key is the issuer's.
    pub async fn refetch_for_unknown_key(&self) -> Result<Arc<KeySet>, NoKeys> {
        let mut attempts = self.attempts.subscribe();
        let seen = *attempts.borrow_and_update();
        let awaited = if seen.begun > seen.ended {
            Some(seen.begun)
        } else if seen.is_cooling_down(self.policy.unknown_key_cooldown) {
            None
        } else {
            self.refresh_requested.notify_one();
            Some(seen.begun + 1)
        };
        let outcome = match awaited {
            // The sender is a part of `self`, so this is no error.
            Some(attempt) => attempts
                .wait_for(|now| now.ended >= attempt)
                .await
                .map_or(seen, |now| *now),
            None => seen,
        };
        if outcome.last_succeeded {
            self.current()
        } else {
            Err(NoKeys)
        }
    }

    /// Fetches the keys periodically until the ring is dropped. Runs as a task of the control plane.
    pub async fn refresh(ring: Weak<Self>) {
        let mut failures: u32 = 0;
        let mut stale_at = clock::now();
        let mut for_unknown_key = false;
        while let Some(this) = ring.upgrade() {
            let wait = match this.attempt(for_unknown_key).await {
                Ok(lifetime) => {
                    failures = 0;
                    stale_at = clock::now() + lifetime + this.policy.max_stale;
                    // Before the keys are stale. Jitter: not at the same time as other gateways.
                    jitter(lifetime.mul_f32(0.9))
                }
                Err(_) => {
                    failures = failures.saturating_add(1);
                    jitter(this.policy.backoff.after(failures))
                }
            };
            let requested = Arc::clone(&this.refresh_requested);
            drop(this);
            let next = clock::now() + wait;
            match Self::wait_for_refresh(&ring, &requested, next, stale_at).await {
                Some(is_requested) => for_unknown_key = is_requested,
                None => return,
            }
        }
    }

    // Waits until the next fetch is due, or is requested for an unknown key; returns whether it is
    // requested. `None` if the ring was dropped.
    async fn wait_for_refresh(
        ring: &Weak<Self>,
        requested: &Notify,
        next: Instant,
        stale_at: Instant,
    ) -> Option<bool> {
        loop {
            let has_keys = ring.upgrade()?.current.load().is_some();
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => return Some(false),
                () = tokio::time::sleep_until(stale_at.into()), if has_keys => {
                    let this = ring.upgrade()?;
                    tracing::error!(issuer = %this.issuer, tenant = this.tenant_name(), "JWKS expired");
                    this.publish(None);
                }
                () = requested.notified() => {
                    let this = ring.upgrade()?;
                    // A request may arrive just as a fetch for an earlier one begins: it waits for that.
                    if !this.attempts.borrow().is_cooling_down(this.policy.unknown_key_cooldown) {
                        return Some(true);
                    }
                }
            }
        }
    }

    async fn attempt(&self, for_unknown_key: bool) -> Result<Duration, KeysError> {
        // Both at once: a request that saw the cooldown without its attempt would not wait for the keys.
        self.attempts.send_modify(|attempts| {
            attempts.begun += 1;
            if for_unknown_key {
                attempts.for_unknown_key = Some(clock::now());
            }
        });
        let outcome = self.fetch().await;
        // Before the attempt ends, because requests that wait for it read the failures.
        match &outcome {
            Ok(_) => _ = self.failures.record_success(),
            Err(error) => self.failed(error),
        }
        if let Ok((keys, _)) = &outcome {
            self.replace(keys);
        }
        self.attempts.send_modify(|attempts| {
            attempts.ended = attempts.begun;
            attempts.last_succeeded = outcome.is_ok();
            attempts.is_tenant_absent = outcome
                .as_ref()
                .is_err_and(|error| self.shows_no_tenant(error));
            if let Ok((_, lifetime)) = &outcome {
                let now = clock::now();
                attempts.succeeded += 1;
                attempts.success = Some((now, now + *lifetime));
            }
        });
        outcome.map(|(_, lifetime)| lifetime)
    }

    async fn fetch(&self) -> Result<(Jwks, Duration), KeysError> {
        let url = self.endpoint.url(&self.http).await?;
        let document = match self.http.get_json(&url, MAX_DOCUMENT).await {
            Ok(document) => document,
            Err(source) => {
                // The issuer may have moved its keys: fetch the metadata again.
                self.endpoint.forget().await;
                return Err(KeysError::Fetch { url, source });
            }
        };
        let keys =
            Jwks::parse(&document.body).map_err(|source| KeysError::NotKeys { url, source })?;
        let asked = document.freshness().unwrap_or(self.policy.default_lifetime);
        Ok((
            keys,
            asked.clamp(self.policy.min_lifetime, self.policy.max_lifetime),
        ))
    }

    fn replace(&self, keys: &Jwks) {
        if self
            .current
            .load()
            .as_ref()
            .is_some_and(|current| current.is_made_of(keys))
        {
            return;
        }
        for skipped in &keys.skipped {
            tracing::warn!(issuer = %self.issuer, tenant = self.tenant_name(), key = %skipped.name(), error = %skipped.error, "JWK skipped");
        }
        let (usable, skipped) = (keys.keys.len(), keys.skipped.len());
        tracing::info!(issuer = %self.issuer, tenant = self.tenant_name(), keys = usable, skipped, "JWKS fetched");
        self.publish(Some(Arc::new(KeySet::new(keys, &self.algorithms))));
    }

    fn publish(&self, keys: Option<Arc<KeySet>>) {
        self.current.store(keys);
        // After the keys, so that a thread that sees the new epoch sees the new keys.
        self.epoch.advance();
    }

    fn failed(&self, error: &KeysError) {
        let Some(failures) = self.failures.record(error.to_string()) else {
            return;
        };
        let (issuer, tenant) = (&self.issuer, self.tenant_name());
        let is_invented = self.tenant.as_ref().is_some_and(|tenant| !tenant.is_listed)
            && self.shows_no_tenant(error);
        if let Some(keys) = &*self.current.load() {
            tracing::warn!(%issuer, tenant, %error, failures, keys = keys.count(), "JWKS fetch failed");
        } else if is_invented {
            // Debug level: any client can name tenants that do not exist.
            tracing::debug!(%issuer, tenant, %error, "tenant not found");
        } else {
            tracing::error!(%issuer, tenant, %error, failures, keys = 0, "JWKS fetch failed");
        }
    }

    // A server that has metadata of the tenant and no keys is at fault itself.
    fn shows_no_tenant(&self, error: &KeysError) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| match error {
            KeysError::Discovery(error) => error.is_absent(),
            KeysError::Fetch { source, .. } => {
                tenant.is_in_url_of_keys && discovery::is_absent(source)
            }
            KeysError::NotKeys { .. } => false,
        })
    }
}

// Wakes the task that refreshes the keys, so that it ends.
impl Drop for KeyRing {
    fn drop(&mut self) {
        self.refresh_requested.notify_one();
    }
}

impl Attempts {
    fn is_cooling_down(&self, cooldown: Duration) -> bool {
        self.for_unknown_key
            .is_some_and(|at| clock::since(at) < cooldown)
    }
}

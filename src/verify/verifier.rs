//! Verifies tokens by the cache, signatures and introspection.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::cache::{ConnectionCache, TokenCache};
use super::error::{OVERLOAD_RETRY_AFTER, VerifyError, invalid, revoked};
use super::explain;
use super::introspection::{Introspection, IntrospectionRequest, LocalVerification};
use super::issuer::Issuer;
use super::issuer_keys::IssuerKeys;
use super::jwt::Signer;
use super::key_ring::NoKeys;
use super::renewal::Renewal;
use super::settings::Tenancy;
use super::verified_token::{VerificationBasis, VerifiedToken};
use crate::client_limits::client_network;
use crate::oauth::UnixTime;
use crate::oauth::bearer::BearerToken;
use crate::oauth::claims::{Claims, RuleSet};
use crate::oauth::jose::{CompactJws, TokenShape, classify};
use crate::revocation::Revocations;
use crate::sync::Epoch;
use crate::telemetry::Trace;

/// Verifies the tokens of all configured issuers.
pub struct Verifier {
    issuers: Vec<Arc<Issuer>>,
    cache: Arc<TokenCache>,
    epoch: Epoch,
    pub(super) max_token_size: usize,
    /// The rules of routes whose outcomes verified tokens remember.
    rules: Arc<RuleSet>,
    /// What is revoked; none without `[revocations]`. It advances the epoch.
    revocations: Option<Arc<Revocations>>,
}

/// A token to verify, and its context.
pub struct VerificationRequest<'t, A, C> {
    /// The token.
    pub token: BearerToken<'t>,
    /// The cache of its connection.
    pub connection_cache: &'t ConnectionCache,
    /// Whether the route accepts the issuer of this name.
    pub accepts: A,
    /// The client address; computed only if needed.
    pub client: C,
    /// The time.
    pub now: UnixTime,
    /// The trace that records durations, if any.
    pub trace: Option<&'t Trace>,
}

/// The outcome of a signature verification.
pub(super) enum Signature {
    /// Another request has verified the token meanwhile.
    Known(Arc<VerifiedToken>),
    /// It is valid.
    Good { signer: Signer, epoch: u64 },
}

impl Verifier {
    /// Verifies tokens of `issuers`. A cache of an earlier configuration needs its epoch, too.
    #[must_use]
    pub fn new(
        issuers: Vec<Arc<Issuer>>,
        cache: Arc<TokenCache>,
        epoch: Epoch,
        max_token_size: usize,
        rules: Arc<RuleSet>,
    ) -> Self {
        epoch.advance();
        Self {
            issuers,
            cache,
            epoch,
            max_token_size,
            rules,
            revocations: None,
        }
    }

    /// The same, refusing what is revoked here. Additions must advance the verifier's epoch.
    #[must_use]
    pub fn with_revocations(self, revocations: Option<Arc<Revocations>>) -> Self {
        Self {
            revocations,
            ..self
        }
    }

    /// What is revoked; none without `[revocations]`.
    #[must_use]
    pub fn revocations(&self) -> Option<&Arc<Revocations>> {
        self.revocations.as_ref()
    }

    /// The size of the largest token that is verified.
    #[must_use]
    pub fn max_token_size(&self) -> usize {
        self.max_token_size
    }

    /// The rules whose outcomes verified tokens remember.
    #[must_use]
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// The cache and its epoch, for the verifier of the next configuration.
    #[must_use]
    pub fn cache_and_epoch(&self) -> (Arc<TokenCache>, Epoch) {
        (Arc::clone(&self.cache), self.epoch.clone())
    }

    /// The configured issuers.
    #[must_use]
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Verifies a token by the issuers that the request accepts.
    ///
    /// Waits only on a cache miss: for the worker's turn to verify the signature, for the issuer's keys
    /// if the current ones do not verify the token, and for introspection.
    ///
    /// # Errors
    /// [`VerifyError`]
    pub async fn verify<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        request: &VerificationRequest<'_, A, C>,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let text = request.token.as_str();
        if text.len() > self.max_token_size {
            return Err(VerifyError::TooLarge {
                size: text.len(),
                limit: self.max_token_size,
            });
        }
        let revoked_of = Cell::new(None);
        let verified = match self.find_cached(request, &revoked_of) {
            Some(verified) => {
                if verified.claim_renewal(request.now) {
                    self.renew(&verified, client_network((request.client)()), request.now);
                }
                verified
            }
            None => {
                request.connection_cache.count_miss();
                let began = request.trace.and_then(Trace::now);
                let verified = match revoked_of.take() {
                    Some(issuer) => Err(revoked().with_issuer(&issuer)),
                    // Boxed: requests with a cached token need no room for this.
                    None => Box::pin(self.verify_uncached(request)).await,
                };
                if let Some(trace) = request.trace {
                    trace.verified(began);
                }
                let verified = verified?;
                // Also of a lookup that began before the revocation, and that this request joined.
                verified
                    .check_revoked(self.revocations.as_ref())
                    .map_err(|error| error.with_issuer(&verified.issuer.name))?;
                verified
            }
        };
        verified
            .check_expiry(request.now)
            .map_err(|error| error.with_issuer(&verified.issuer.name))?;
        if let Tenancy::Tenant(tenant_use) = &verified.issuer.tenancy {
            tenant_use.note(request.now);
        }
        Ok(verified)
    }

    fn find_cached<A: Fn(&str) -> bool, C>(
        &self,
        request: &VerificationRequest<'_, A, C>,
        revoked_of: &Cell<Option<Arc<str>>>,
    ) -> Option<Arc<VerifiedToken>> {
        let verified =
            request
                .connection_cache
                .find(request.token.as_str(), &self.cache, |verified| {
                    self.is_valid(verified, request.now, revoked_of)
                })?;
        // Issuers of different routes may share an `iss`, and this route may accept the other one.
        let is_accepted = (request.accepts)(&verified.issuer.name)
            && (verified.issuer.expectation.issuer_required
                || self.names_its_issuer(&verified, &request.accepts));
        is_accepted.then_some(verified)
    }

    // Where `iss` may be missing, this route may accept more issuers than the one that cached the token.
    #[cold]
    fn names_its_issuer(&self, verified: &VerifiedToken, accepts: &impl Fn(&str) -> bool) -> bool {
        verified.token().issuer().is_some()
            || !matches!(classify(verified.text()), Ok(TokenShape::Jwt(_)))
            || self.only_issuer_without_iss(accepts).is_some()
    }

    fn is_valid(
        &self,
        verified: &VerifiedToken,
        now: UnixTime,
        revoked_of: &Cell<Option<Arc<str>>>,
    ) -> bool {
        verified.is_fresh(now) && self.is_current(verified, revoked_of)
    }

    // Whether a token's issuer is still configured and has the keys that signed it. The keys are checked
    // once per epoch. The issuer is always checked: during a reload the cache has tokens of both
    // configurations.
    fn is_current(&self, verified: &VerifiedToken, revoked_of: &Cell<Option<Arc<str>>>) -> bool {
        match self.issuer_of(verified) {
            Some(issuer) => self.confirm(verified, revoked_of, || issuer.keys().cloned()),
            None => self.is_current_of_tenant(verified, revoked_of),
        }
    }

    /// Whether the keys that signed the token are still among the issuer's, and it is not revoked.
    /// `revoked_of` gets the name of the issuer of a revoked token.
    pub(super) fn confirm(
        &self,
        verified: &VerifiedToken,
        revoked_of: &Cell<Option<Arc<str>>>,
        keys: impl FnOnce() -> Option<IssuerKeys>,
    ) -> bool {
        let epoch = self.epoch.now();
        if verified.is_confirmed_in(epoch) {
            return true;
        }
        let current = keys().and_then(|keys| keys.current().ok());
        let has_key = |signer: &Signer| current.as_ref().is_some_and(|keys| keys.contains(signer));
        let is_current = verified.signers().iter().all(has_key);
        let revocations = self.revocations.as_ref();
        if is_current && revocations.is_some_and(|revoked| verified.is_revoked_in(revoked)) {
            revoked_of.set(Some(Arc::clone(&verified.issuer.name)));
            return false;
        }
        if is_current {
            verified.confirm_in(epoch);
        }
        is_current
    }

    fn issuer_of(&self, verified: &VerifiedToken) -> Option<&Arc<Issuer>> {
        self.issuers
            .iter()
            .find(|issuer| Arc::ptr_eq(&issuer.settings, &verified.issuer))
    }

    #[cold]
    fn renew(&self, verified: &Arc<VerifiedToken>, client: IpAddr, now: UnixTime) {
        if let Some(issuer) = self.issuer_of(verified) {
            let renewal = Renewal {
                verified: Arc::clone(verified),
                issuer: Arc::clone(issuer),
                client,
                epoch: self.epoch.now(),
                now,
                cache: Arc::clone(&self.cache),
                rules: Arc::clone(&self.rules),
                revocations: self.revocations.clone(),
            };
            renewal.start();
        }
    }

    async fn verify_uncached<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        request: &VerificationRequest<'_, A, C>,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        match classify(request.token.as_str())? {
            TokenShape::Jwt(jws) => {
                let claims = Claims::parse(jws.payload())?;
                let Some(issuer) = self.issuer_named_in(&claims, &request.accepts) else {
                    return Err(invalid(
                        "unknown_issuer",
                        explain::unknown_issuer(&self.issuers, &request.accepts, claims.issuer()),
                    ));
                };
                let has_type = jws.check_type(&issuer.settings.token_types);
                let judged = match (has_type, issuer.tenants()) {
                    (Ok(()), None) => self.verify_jwt(request, issuer, &jws, claims).await,
                    // In a box, so that other issuers' requests have no larger state.
                    (Ok(()), Some(tenants)) => {
                        Box::pin(self.verify_of_tenant(request, issuer, tenants, &jws, claims))
                            .await
                    }
                    (Err(error), _) => Err(error.into()),
                };
                judged.map_err(|error| error.with_issuer(&issuer.settings.name))
            }
            TokenShape::Opaque => {
                match self.issuer_to_introspect(request.token.as_str(), &request.accepts) {
                    Some((issuer, server)) => {
                        let local = LocalVerification::Unsigned { jwt: None };
                        let judged = self
                            .introspect(request, issuer, server, local, self.epoch.now())
                            .await;
                        judged.map_err(|error| error.with_issuer(&issuer.settings.name))
                    }
                    None => Err(invalid(
                        "opaque",
                        explain::opaque_token(self.accepted(&request.accepts)).to_owned(),
                    )),
                }
            }
        }
    }

    pub(super) fn accepted(
        &self,
        accepts: &impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers
            .iter()
            .filter(|issuer| accepts(&issuer.settings.name))
    }

    // Only selects the issuer: until the token is verified, `iss` is untrusted.
    pub(super) fn issuer_named_in(
        &self,
        claims: &Claims,
        accepts: &impl Fn(&str) -> bool,
    ) -> Option<&Arc<Issuer>> {
        if !claims.has_issuer() {
            return self.only_issuer_without_iss(accepts);
        }
        claims.issuer().and_then(|iss| {
            self.accepted(accepts)
                .find(|issuer| issuer.settings.is_called(iss))
        })
    }

    // A token without `iss` names no issuer: only a route of one issuer leaves no doubt.
    fn only_issuer_without_iss(&self, accepts: &impl Fn(&str) -> bool) -> Option<&Arc<Issuer>> {
        let mut accepted = self.accepted(accepts);
        match (accepted.next(), accepted.next()) {
            (Some(only), None) if !only.settings.expectation.issuer_required => Some(only),
            (Some(_), _) | (None, _) => None,
        }
    }

    pub(super) fn issuer_to_introspect(
        &self,
        token: &str,
        accepts: &impl Fn(&str) -> bool,
    ) -> Option<(&Arc<Issuer>, &Arc<Introspection>)> {
        let introspects = |issuer: &&Arc<Issuer>| {
            issuer.introspection().is_some() && token.starts_with(&issuer.settings.token_prefix)
        };
        self.accepted(accepts)
            .find(introspects)
            .and_then(|issuer| Some((issuer, issuer.introspection()?)))
    }

    pub(super) async fn verify_jwt<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        request: &VerificationRequest<'_, A, C>,
        issuer: &Arc<Issuer>,
        jws: &CompactJws<'_>,
        claims: Claims,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let keys = match (issuer.jwt_keys(), issuer.jwt_introspection()) {
            (Some(keys), _) => keys,
            (None, Some(server)) => {
                // A token whose own claims already fail needs no introspection.
                let jwt = claims.check(server.jwt_expectation(), request.now)?;
                return self
                    .introspect(
                        request,
                        issuer,
                        server,
                        LocalVerification::Unsigned { jwt: Some(jwt) },
                        self.epoch.now(),
                    )
                    .await;
            }
            (None, None) => {
                return Err(
                    issuer.unavailable("the issuer has neither keys nor introspection".to_owned())
                );
            }
        };
        let (signer, epoch) = match self.verify_signature(request, issuer, keys, jws).await? {
            Signature::Known(verified) => return Ok(verified),
            Signature::Good { signer, epoch } => (signer, epoch),
        };
        let token = claims.check(&issuer.settings.expectation, request.now)?;
        match issuer.jwt_introspection() {
            None => {
                let basis = VerificationBasis {
                    issuer: Arc::clone(&issuer.settings),
                    signers: vec![signer],
                    epoch,
                    max_age: Duration::MAX,
                    refresh_ahead: false,
                    rules: Arc::clone(&self.rules),
                };
                let text = request.token.as_str();
                let verified = VerifiedToken::new(text, token, None, None, basis, request.now);
                // After the epoch was read: what is added from now on is noticed at the next use.
                verified.check_revoked(self.revocations.as_ref())?;
                self.cache.insert(&verified);
                request.connection_cache.insert(&verified);
                Ok(verified)
            }
            Some(server) => {
                self.introspect(
                    request,
                    issuer,
                    server,
                    LocalVerification::Signed { token, signer },
                    epoch,
                )
                .await
            }
        }
    }

    pub(super) async fn verify_signature<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        request: &VerificationRequest<'_, A, C>,
        issuer: &Issuer,
        keys: &IssuerKeys,
        jws: &CompactJws<'_>,
    ) -> Result<Signature, VerifyError> {
        let worker = request.connection_cache.worker();
        let overloaded = || VerifyError::Overloaded {
            bound: "tokens that wait for their signature to be verified",
            retry_after: OVERLOAD_RETRY_AFTER,
        };
        let no_keys = |NoKeys| issuer.unavailable(keys.explain_missing());
        let waits = worker.is_busy();
        let client = client_network((request.client)());
        let mut turn = worker.turn(client).await.ok_or_else(overloaded)?;
        // Another request may have verified the same token meanwhile.
        let revoked_of = Cell::new(None);
        if waits && let Some(verified) = self.find_cached(request, &revoked_of) {
            return Ok(Signature::Known(verified));
        }
        // Before the keys are read, so that a change meanwhile is noticed at the next use.
        let mut epoch = self.epoch.now();
        let current = keys.current().map_err(no_keys)?;
        let mut outcome = issuer.time_verification(|| current.verify(jws));
        if let Err(error) = outcome
            && error.may_change_with_keys()
        {
            // As below: other ready tasks run first.
            tokio::task::yield_now().await;
            drop(turn);
            epoch = self.epoch.now();
            let newer = keys.newer(&current, error).await;
            let newer = newer.map_err(|NoKeys| issuer.unavailable(keys.explain_unknown(jws)))?;
            let newer = newer.ok_or_else(|| explain::invalid_signature(error, jws))?;
            turn = worker.turn(client).await.ok_or_else(overloaded)?;
            if let Some(verified) = self.find_cached(request, &revoked_of) {
                return Ok(Signature::Known(verified));
            }
            outcome = issuer.time_verification(|| newer.verify(jws));
        }
        // Other ready tasks run before the next verification, above all after a bad signature.
        tokio::task::yield_now().await;
        drop(turn);
        Ok(Signature::Good {
            signer: outcome.map_err(|error| explain::invalid_signature(error, jws))?,
            epoch,
        })
    }

    async fn introspect<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        request: &VerificationRequest<'_, A, C>,
        issuer: &Arc<Issuer>,
        server: &Arc<Introspection>,
        local: LocalVerification,
        epoch: u64,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let text = request.token.as_str();
        let known = || {
            let verified = self
                .cache
                .find(text)
                .filter(|verified| Arc::ptr_eq(&verified.issuer, &issuer.settings));
            verified.filter(|verified| self.is_valid(verified, request.now, &Cell::new(None)))
        };
        let introspection_request = IntrospectionRequest {
            issuer: Arc::clone(&issuer.settings),
            token: Zeroizing::new(text.to_owned()),
            local,
            epoch,
            now: request.now,
            cache: Arc::clone(&self.cache),
            rules: Arc::clone(&self.rules),
            revocations: self.revocations.clone(),
        };
        let began = request.trace.and_then(Trace::now);
        let result = server
            .verify(
                introspection_request,
                client_network((request.client)()),
                known,
            )
            .await;
        if let Some(trace) = request.trace {
            trace.introspected(began);
        }
        let verified = result?;
        if verified.is_fresh(request.now) {
            request.connection_cache.insert(&verified);
        }
        Ok(verified)
    }
}

//! Judges tokens, by the cache, by signatures and by introspection.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::cache::{ConnectionCache, Epoch, TokenCache};
use super::error::{VerifyError, invalid};
use super::introspection::{Introspection, IntrospectionRequest, Own};
use super::issuer::Issuer;
use super::issuer_keys::IssuerKeys;
use super::jwt::{SignatureError, Signer};
use super::key_ring::NoKeys;
use super::renewal::Renewal;
use super::verified_token::{Basis, VerifiedToken};
use crate::client_limits::client_network;
use crate::oauth::bearer::BearerToken;
use crate::oauth::claims::Claims;
use crate::oauth::jose::{CompactJws, TokenShape, classify};
use crate::oauth::{UnixTime, issuer_name};
use crate::telemetry::Trace;
use crate::text::{alternatives, quoted, truncated};

/// Judges the tokens of all configured issuers.
pub struct Verifier {
    issuers: Vec<Arc<Issuer>>,
    cache: Arc<TokenCache>,
    epoch: Epoch,
    pub(super) max_token_size: usize,
}

/// A token to judge, and what for.
pub struct VerificationRequest<'t, A, C> {
    /// The token.
    pub token: BearerToken<'t>,
    /// What the connection that it came by remembers.
    pub memo: &'t ConnectionCache,
    /// Whether the issuer of this name may vouch for it.
    pub accepts: A,
    /// Whose it is, for as far as it is known: asked only where it counts.
    pub client: C,
    /// The time.
    pub now: UnixTime,
    /// Where it is noted how long it took, if anybody wants to know.
    pub trace: Option<&'t Trace>,
}

/// What came of a signature.
enum Signature {
    /// Somebody else was faster: this is known by now.
    Known(Arc<VerifiedToken>),
    /// It is good.
    Good { signer: Signer, epoch: u64 },
}

impl Verifier {
    /// Judges by `issuers`. A cache that goes on from an earlier configuration needs its epoch, too.
    #[must_use]
    pub fn new(
        issuers: Vec<Arc<Issuer>>,
        cache: Arc<TokenCache>,
        epoch: Epoch,
        max_token_size: usize,
    ) -> Self {
        epoch.advance();
        Self {
            issuers,
            cache,
            epoch,
            max_token_size,
        }
    }

    /// What it remembers, for one that judges after it.
    #[must_use]
    pub fn memory(&self) -> (Arc<TokenCache>, Epoch) {
        (Arc::clone(&self.cache), self.epoch.clone())
    }

    /// The issuers that it judges by.
    #[must_use]
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Judges a token by those of the issuers that the offer accepts.
    ///
    /// Waits only for a token that nobody has seen before, or not of late: for the worker's turn to verify its signature,
    /// for the issuer's keys where it names one that is not there, and for the authorization server where it is asked.
    ///
    /// # Errors
    /// [`VerifyError`]
    pub async fn verify<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        offer: &VerificationRequest<'_, A, C>,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let text = offer.token.as_str();
        if text.len() > self.max_token_size {
            return Err(VerifyError::TooLarge {
                size: text.len(),
                limit: self.max_token_size,
            });
        }
        let fact = match self.remembered(offer) {
            Some(fact) => {
                if fact.takes_renewal(offer.now) {
                    self.renew(&fact, client_network((offer.client)()), offer.now);
                }
                fact
            }
            None => {
                offer.memo.missed();
                let began = offer.trace.and_then(Trace::now);
                let verified = self.verify_anew(offer).await;
                if let Some(trace) = offer.trace {
                    trace.verified(began);
                }
                verified?
            }
        };
        fact.check_end(offer.now)
            .map_err(|error| error.with_issuer(&fact.issuer.name))?;
        Ok(fact)
    }

    fn remembered<A: Fn(&str) -> bool, C>(
        &self,
        offer: &VerificationRequest<'_, A, C>,
    ) -> Option<Arc<VerifiedToken>> {
        let fact = offer.memo.find(offer.token.as_str(), &self.cache, |fact| {
            self.holds(fact, offer.now)
        })?;
        // Two issuers of different routes may go by the same `iss`: this route may still accept the other one.
        (offer.accepts)(&fact.issuer.name).then_some(fact)
    }

    fn holds(&self, fact: &VerifiedToken, now: UnixTime) -> bool {
        fact.is_fresh(now) && self.is_in_force(fact)
    }

    // Whether a token's issuer is still configured, and has the keys that signed it. The keys are looked at once in each
    // epoch; the issuer always: while one configuration replaces another, tokens of both are in one cache.
    fn is_in_force(&self, fact: &VerifiedToken) -> bool {
        let Some(issuer) = self.issuer_of(fact) else {
            return false;
        };
        let epoch = self.epoch.now();
        if fact.was_seen_in(epoch) {
            return true;
        }
        let has_key = |signer: &Signer| {
            issuer
                .keys()
                .is_some_and(|keys| keys.current().is_ok_and(|keys| keys.holds(signer)))
        };
        let is_in_force = fact.signers().iter().all(has_key);
        if is_in_force {
            fact.seen_in(epoch);
        }
        is_in_force
    }

    fn issuer_of(&self, fact: &VerifiedToken) -> Option<&Arc<Issuer>> {
        self.issuers
            .iter()
            .find(|issuer| Arc::ptr_eq(&issuer.settings, &fact.issuer))
    }

    #[cold]
    fn renew(&self, fact: &Arc<VerifiedToken>, client: IpAddr, now: UnixTime) {
        if let Some(issuer) = self.issuer_of(fact) {
            let renewal = Renewal {
                fact: Arc::clone(fact),
                issuer: Arc::clone(issuer),
                client,
                epoch: self.epoch.now(),
                now,
                cache: Arc::clone(&self.cache),
            };
            renewal.start();
        }
    }

    async fn verify_anew<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        offer: &VerificationRequest<'_, A, C>,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        match classify(offer.token.as_str())? {
            TokenShape::Jwt(jws) => {
                let claims = Claims::parse(jws.payload())?;
                let Some(issuer) = self.named_by(&claims, &offer.accepts) else {
                    return Err(invalid(
                        "unknown_issuer",
                        self.why_unknown(claims.issuer(), &offer.accepts),
                    ));
                };
                let judged = match jws.check_type(&issuer.settings.token_types) {
                    Ok(()) => self.verify_jwt(offer, issuer, &jws, claims).await,
                    Err(error) => Err(error.into()),
                };
                judged.map_err(|error| error.with_issuer(&issuer.settings.name))
            }
            TokenShape::Opaque => match self.asked_about(offer.token.as_str(), &offer.accepts) {
                Some((issuer, server)) => {
                    let own = Own::Unsigned { expires_at: None };
                    let judged = self.ask(offer, issuer, server, own, self.epoch.now()).await;
                    judged.map_err(|error| error.with_issuer(&issuer.settings.name))
                }
                None => Err(invalid(
                    "opaque",
                    why_not_asked(self.accepted(&offer.accepts)).to_owned(),
                )),
            },
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

    // Only to choose whom to believe: until it is verified, `iss` is a stranger's word.
    pub(super) fn named_by(
        &self,
        claims: &Claims,
        accepts: &impl Fn(&str) -> bool,
    ) -> Option<&Arc<Issuer>> {
        claims.issuer().and_then(|iss| {
            self.accepted(accepts)
                .find(|issuer| issuer.settings.is_called(iss))
        })
    }

    // What the operator has to compare: the token's `iss`, the issuers of the route, and what is nearly one of them.
    fn why_unknown(&self, iss: Option<&str>, accepts: &impl Fn(&str) -> bool) -> String {
        let accepted = || {
            self.accepted(accepts).flat_map(|issuer| {
                issuer
                    .settings
                    .expectation
                    .issuers
                    .iter()
                    .map(String::as_str)
            })
        };
        let declared = |iss: &str| {
            let issuer = self
                .issuers
                .iter()
                .find(|issuer| issuer.settings.is_called(iss))?;
            Some(format!(
                ", which is issuer {:?}, but not one of the route (see issuers)",
                issuer.settings.name
            ))
        };
        let expected = alternatives(accepted());
        let found = quoted(iss.map(truncated).as_deref());
        let hint = iss
            .and_then(declared)
            .unwrap_or_else(|| issuer_name::hint(iss, accepted()));
        format!("expected {expected} as iss (the route's issuers), but found {found}{hint}")
    }

    pub(super) fn asked_about(
        &self,
        token: &str,
        accepts: &impl Fn(&str) -> bool,
    ) -> Option<(&Arc<Issuer>, &Arc<Introspection>)> {
        let asked = |issuer: &&Arc<Issuer>| {
            issuer.introspection().is_some() && token.starts_with(&issuer.settings.token_prefix)
        };
        self.accepted(accepts)
            .find(asked)
            .and_then(|issuer| Some((issuer, issuer.introspection()?)))
    }

    async fn verify_jwt<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        offer: &VerificationRequest<'_, A, C>,
        issuer: &Arc<Issuer>,
        jws: &CompactJws<'_>,
        claims: Claims,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let keys = match (issuer.keys_of_jwt(), issuer.introspection()) {
            (Some(keys), _) => keys,
            (None, Some(server)) => {
                // What it says against itself is believed: there is nothing to ask about then.
                let expires_at = claims
                    .check(server.expected_of_jwt(), offer.now)?
                    .expires_at();
                return self
                    .ask(
                        offer,
                        issuer,
                        server,
                        Own::Unsigned { expires_at },
                        self.epoch.now(),
                    )
                    .await;
            }
            (None, None) => {
                return Err(issuer.unavailable("neither keys nor introspection".to_owned()));
            }
        };
        let (signer, epoch) = match self.verify_signature(offer, issuer, keys, jws).await? {
            Signature::Known(fact) => return Ok(fact),
            Signature::Good { signer, epoch } => (signer, epoch),
        };
        let token = claims.check(&issuer.settings.expectation, offer.now)?;
        match issuer.introspection() {
            None => {
                let basis = Basis {
                    issuer: Arc::clone(&issuer.settings),
                    signers: vec![signer],
                    epoch,
                    kept_for: Duration::MAX,
                    is_renewed_ahead: false,
                };
                let fact = VerifiedToken::new(offer.token.as_str(), token, None, basis, offer.now);
                self.cache.keep(&fact);
                offer.memo.keep(&fact);
                Ok(fact)
            }
            Some(server) => {
                self.ask(offer, issuer, server, Own::Signed { token, signer }, epoch)
                    .await
            }
        }
    }

    async fn verify_signature<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        offer: &VerificationRequest<'_, A, C>,
        issuer: &Issuer,
        keys: &IssuerKeys,
        jws: &CompactJws<'_>,
    ) -> Result<Signature, VerifyError> {
        let worker = offer.memo.worker();
        let overloaded = || VerifyError::Overloaded {
            bound: "tokens that wait for their signature to be verified",
        };
        let no_keys = |NoKeys| issuer.unavailable(keys.why_none());
        let waits = worker.is_busy();
        let client = client_network((offer.client)());
        let mut turn = worker.turn(client).await.ok_or_else(overloaded)?;
        // Others may have come before with the same token.
        if waits && let Some(fact) = self.remembered(offer) {
            return Ok(Signature::Known(fact));
        }
        // Before the keys are read: what changes meanwhile must be noticed at the next look.
        let mut epoch = self.epoch.now();
        let current = keys.current().map_err(no_keys)?;
        let mut outcome = issuer.timed(|| current.verify(jws));
        if outcome == Err(SignatureError::UnknownKey) {
            drop(turn);
            epoch = self.epoch.now();
            let fresh = keys.after_unknown_key().await;
            let fresh = fresh.map_err(|NoKeys| issuer.unavailable(keys.why_unknown(jws)))?;
            turn = worker.turn(client).await.ok_or_else(overloaded)?;
            if let Some(fact) = self.remembered(offer) {
                return Ok(Signature::Known(fact));
            }
            outcome = issuer.timed(|| fresh.verify(jws));
        }
        // Whoever is ready goes before the next signature, above all after a bad one.
        tokio::task::yield_now().await;
        drop(turn);
        Ok(Signature::Good {
            signer: outcome.map_err(|error| not_signed(error, jws))?,
            epoch,
        })
    }

    async fn ask<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        offer: &VerificationRequest<'_, A, C>,
        issuer: &Arc<Issuer>,
        server: &Arc<Introspection>,
        own: Own,
        epoch: u64,
    ) -> Result<Arc<VerifiedToken>, VerifyError> {
        let text = offer.token.as_str();
        let known = || {
            let fact = self
                .cache
                .find(text)
                .filter(|fact| Arc::ptr_eq(&fact.issuer, &issuer.settings));
            fact.filter(|fact| self.holds(fact, offer.now))
        };
        let question = IntrospectionRequest {
            issuer: Arc::clone(&issuer.settings),
            token: Zeroizing::new(text.to_owned()),
            own,
            epoch,
            now: offer.now,
            cache: Arc::clone(&self.cache),
        };
        let began = offer.trace.and_then(Trace::now);
        let answer = server
            .verify(question, client_network((offer.client)()), known)
            .await;
        if let Some(trace) = offer.trace {
            trace.asked(began);
        }
        let fact = answer?;
        if fact.is_fresh(offer.now) {
            offer.memo.keep(&fact);
        }
        Ok(fact)
    }
}

fn why_not_asked<'i>(mut accepted: impl Iterator<Item = &'i Arc<Issuer>>) -> &'static str {
    if accepted.any(|issuer| issuer.introspection().is_some()) {
        "expected a token that begins with a token_prefix of the route's issuers, but found another"
    } else {
        "expected a JWT, but found another token (validation = \"introspection\" would ask about it)"
    }
}

// Which key it was to be: `kid` is a stranger's word.
fn not_signed(error: SignatureError, jws: &CompactJws<'_>) -> VerifyError {
    let (header, reason) = (jws.header(), error.reason());
    let kid = quoted(header.kid.as_deref().map(truncated).as_deref());
    invalid(
        reason,
        format!("{error} (kid {kid}, alg {})", header.algorithm.name()),
    )
}

//! Is this token active, and what does it say?
//!
//! A token is looked for where it was last seen: with its connection, then among all that were verified. Only then is it
//! verified: by its signature, by asking the authorization server, or by both, as its issuer's configuration says. What
//! comes out is a fact, [`Verified`]; whether it suffices for the request at hand is [`policy`](crate::policy)'s to
//! decide, each time.

mod budget;
mod cache;
mod discovery;
mod examine;
mod fact;
mod failures;
pub mod introspection;
mod issuer;
pub mod jwt;
mod keys;
mod renewal;
mod report;
mod worker_cache;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::client_limits::client_network;
use crate::oauth::bearer::BearerToken;
use crate::oauth::claims::{Claims, ClaimsError};
use crate::oauth::jose::{CompactJws, JwsError, TokenShape, classify};
use crate::oauth::{UnixTime, issuer_name};
use crate::telemetry::Trace;
use crate::text::{alternatives, quoted, truncated};

pub use budget::{CacheBudget, CacheLimit, USUAL_ENTRY_BYTES};
pub use cache::{Epoch, Memo, TokenCache};
pub use discovery::{DiscoveryError, Endpoint, EndpointName, Endpoints, Metadata};
pub use examine::{Examined, Shape, Signed};
pub use fact::Verified;
pub use issuer::{Background, Issuer, Keys};
pub use keys::{KeyRing, KeyTiming, NoKeys};
pub use report::{FailuresReport, IssuerReport, KeysReport, QuestionsReport};
pub use worker_cache::WorkerCache;

use fact::Basis;
use introspection::{Introspection, Own, Question};
use jwt::{SignatureError, Signer};

/// When to come back for an issuer whose keys or answers are not there.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Judges the tokens of all configured issuers.
pub struct Verifier {
    issuers: Vec<Arc<Issuer>>,
    cache: Arc<TokenCache>,
    epoch: Epoch,
    max_token_size: usize,
}

/// A token to judge, and what for.
pub struct Offer<'t, A, C> {
    /// The token.
    pub token: BearerToken<'t>,
    /// What the connection that it came by remembers.
    pub memo: &'t Memo,
    /// Whether the issuer of this name may vouch for it.
    pub accepts: A,
    /// Whose it is, for as far as it is known: asked only where it counts.
    pub client: C,
    /// The time.
    pub now: UnixTime,
    /// Where it is noted how long it took, if anybody wants to know.
    pub trace: Option<&'t Trace>,
}

/// Why a token does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The token is to blame.
    Invalid {
        /// From a closed set of names, for logs and metrics.
        reason: &'static str,
        /// For the operator.
        detail: String,
        /// The name in gateway.toml of the issuer that judged it, where it came to that.
        issuer: Option<Arc<str>>,
    },
    /// The token is larger than `max_token_size`, so that nobody judged it. A new one would be no smaller.
    TooLarge {
        /// Bytes of the token.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Nobody can tell: the issuer's keys are not there, or its server does not say.
    Unavailable {
        /// The issuer's name in gateway.toml.
        issuer: Arc<str>,
        /// When it may be worth asking again.
        retry_after: Duration,
        /// For the operator.
        cause: String,
    },
    /// More new tokens than can be verified wait already.
    Overloaded {
        /// What is at its bound.
        bound: &'static str,
    },
    /// The authorization server answered 409, which MobileFirst wants the client to know.
    Conflict,
}

/// What came of a signature.
enum Signature {
    /// Somebody else was faster: this is known by now.
    Known(Arc<Verified>),
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
        offer: &Offer<'_, A, C>,
    ) -> Result<Arc<Verified>, VerifyError> {
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
            .map_err(|error| error.of(&fact.issuer))?;
        Ok(fact)
    }

    fn remembered<A: Fn(&str) -> bool, C>(&self, offer: &Offer<'_, A, C>) -> Option<Arc<Verified>> {
        let fact = offer.memo.find(offer.token.as_str(), &self.cache, |fact| {
            self.holds(fact, offer.now)
        })?;
        // Two issuers of different routes may go by the same `iss`: this route may still accept the other one.
        (offer.accepts)(&fact.issuer.name).then_some(fact)
    }

    fn holds(&self, fact: &Verified, now: UnixTime) -> bool {
        fact.is_fresh(now) && fact.still_stands(&self.issuers, self.epoch.now())
    }

    async fn verify_anew<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        offer: &Offer<'_, A, C>,
    ) -> Result<Arc<Verified>, VerifyError> {
        match classify(offer.token.as_str())? {
            TokenShape::Jwt(jws) => {
                let claims = Claims::parse(jws.payload())?;
                let Some(issuer) = self.named_by(&claims, &offer.accepts) else {
                    return Err(invalid(
                        "unknown_issuer",
                        self.why_unknown(claims.issuer(), &offer.accepts),
                    ));
                };
                let judged = match jws.check_type(&issuer.token_types) {
                    Ok(()) => self.verify_jwt(offer, issuer, &jws, claims).await,
                    Err(error) => Err(error.into()),
                };
                judged.map_err(|error| error.of(issuer))
            }
            TokenShape::Opaque => match self.asked_about(offer.token.as_str(), &offer.accepts) {
                Some((issuer, server)) => {
                    let own = Own::Unsigned { expires_at: None };
                    let judged = self.ask(offer, issuer, server, own, self.epoch.now()).await;
                    judged.map_err(|error| error.of(issuer))
                }
                None => Err(invalid(
                    "opaque",
                    why_not_asked(self.accepted(&offer.accepts)).to_owned(),
                )),
            },
        }
    }

    fn accepted(&self, accepts: &impl Fn(&str) -> bool) -> impl Iterator<Item = &Arc<Issuer>> {
        self.issuers.iter().filter(|issuer| accepts(&issuer.name))
    }

    // Only to choose whom to believe: until it is verified, `iss` is a stranger's word.
    fn named_by(&self, claims: &Claims, accepts: &impl Fn(&str) -> bool) -> Option<&Arc<Issuer>> {
        claims
            .issuer()
            .and_then(|iss| self.accepted(accepts).find(|issuer| issuer.is_called(iss)))
    }

    // What the operator has to compare: the token's `iss`, the issuers of the route, and what is nearly one of them.
    fn why_unknown(&self, iss: Option<&str>, accepts: &impl Fn(&str) -> bool) -> String {
        let accepted = || {
            self.accepted(accepts)
                .flat_map(|issuer| issuer.expectation.issuers.iter().map(String::as_str))
        };
        let declared = |iss: &str| {
            let issuer = self.issuers.iter().find(|issuer| issuer.is_called(iss))?;
            Some(format!(
                ", which is issuer {:?}, but not one of the route (see issuers)",
                issuer.name
            ))
        };
        let expected = alternatives(accepted());
        let found = quoted(iss.map(truncated).as_deref());
        let hint = iss
            .and_then(declared)
            .unwrap_or_else(|| issuer_name::hint(iss, accepted()));
        format!("expected {expected} as iss (the route's issuers), but found {found}{hint}")
    }

    fn asked_about(
        &self,
        token: &str,
        accepts: &impl Fn(&str) -> bool,
    ) -> Option<(&Arc<Issuer>, &Arc<Introspection>)> {
        let asked = |issuer: &&Arc<Issuer>| {
            issuer.introspection.is_some() && token.starts_with(&issuer.token_prefix)
        };
        self.accepted(accepts)
            .find(asked)
            .and_then(|issuer| Some((issuer, issuer.introspection.as_ref()?)))
    }

    async fn verify_jwt<A: Fn(&str) -> bool, C: Fn() -> IpAddr>(
        &self,
        offer: &Offer<'_, A, C>,
        issuer: &Arc<Issuer>,
        jws: &CompactJws<'_>,
        claims: Claims,
    ) -> Result<Arc<Verified>, VerifyError> {
        let keys = match (issuer.keys_of_jwt(), &issuer.introspection) {
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
        let token = claims.check(&issuer.expectation, offer.now)?;
        match &issuer.introspection {
            None => {
                let issuer = Arc::clone(issuer);
                let basis = Basis {
                    issuer,
                    signers: vec![signer],
                    epoch,
                    kept_for: Duration::MAX,
                    is_renewed_ahead: false,
                };
                let fact = Verified::new(offer.token.as_str(), token, None, basis, offer.now);
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
        offer: &Offer<'_, A, C>,
        issuer: &Issuer,
        keys: &Keys,
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
        offer: &Offer<'_, A, C>,
        issuer: &Arc<Issuer>,
        server: &Arc<Introspection>,
        own: Own,
        epoch: u64,
    ) -> Result<Arc<Verified>, VerifyError> {
        let text = offer.token.as_str();
        let known = || {
            let fact = self
                .cache
                .find(text)
                .filter(|fact| Arc::ptr_eq(&fact.issuer, issuer));
            fact.filter(|fact| self.holds(fact, offer.now))
        };
        let question = Question {
            issuer: Arc::clone(issuer),
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

impl VerifyError {
    // It came of judging the token by this issuer.
    fn of(self, issuer: &Issuer) -> Self {
        match self {
            Self::Invalid { reason, detail, .. } => Self::Invalid {
                reason,
                detail,
                issuer: Some(Arc::clone(&issuer.name)),
            },
            Self::TooLarge { .. }
            | Self::Unavailable { .. }
            | Self::Overloaded { .. }
            | Self::Conflict => self,
        }
    }
}

impl From<JwsError> for VerifyError {
    fn from(error: JwsError) -> Self {
        invalid(error.reason(), error.to_string())
    }
}

impl From<ClaimsError> for VerifyError {
    fn from(error: ClaimsError) -> Self {
        invalid(error.reason(), error.to_string())
    }
}

impl From<SignatureError> for VerifyError {
    fn from(error: SignatureError) -> Self {
        invalid(error.reason(), error.to_string())
    }
}

fn why_not_asked<'i>(mut accepted: impl Iterator<Item = &'i Arc<Issuer>>) -> &'static str {
    if accepted.any(|issuer| issuer.introspection.is_some()) {
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

fn invalid(reason: &'static str, detail: String) -> VerifyError {
    VerifyError::Invalid {
        reason,
        detail,
        issuer: None,
    }
}

/// Does something however a future ends, dropped ones included.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

//! Is this token active, and what does it say?
//!
//! A token is looked for where it was last seen: with its connection, then among all that were verified. Only then is
//! its signature verified and its claims judged. What comes out is a fact, [`Verified`]; whether it suffices for the
//! request at hand is [`policy`](crate::policy)'s to decide, each time.

mod cache;
mod discovery;
mod fetch;
mod issuer;
pub mod jwt;
mod keys;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::oauth::UnixTime;
use crate::oauth::bearer::BearerToken;
use crate::oauth::claims::{ActiveToken, Claims};
use crate::oauth::jose::{TokenShape, classify};

pub use cache::{Epoch, Memo, TokenCache, WorkerCache};
pub use discovery::{Discovery, DiscoveryError};
pub use fetch::{Document, FetchError, Fetcher};
pub use issuer::{Issuer, Keys};
pub use keys::{KeyRing, KeyTiming, NoKeys};

use zeroize::Zeroize;

use jwt::{SignatureError, Signer};

/// When to come back for an issuer whose keys are not there.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Judges the tokens of all configured issuers.
pub struct Verifier {
    issuers: Vec<Arc<Issuer>>,
    cache: Arc<TokenCache>,
    epoch: Epoch,
    max_token_size: usize,
}

/// That a token is active: its issuer, its signature and its claims are good.
pub struct Verified {
    /// The token as it is sent.
    text: Box<str>,
    token: Arc<ActiveToken>,
    issuer: Arc<Issuer>,
    key: Signer,
    /// `exp` + leeway.
    ends: Option<UnixTime>,
    /// When it must be verified anew.
    stale: UnixTime,
    /// The epoch in which issuer and key were last seen to stand.
    epoch: AtomicU64,
}

/// Why a token does not count.
#[derive(Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The token is to blame.
    Invalid {
        /// From a closed set of names, for logs and metrics.
        reason: &'static str,
        /// For the operator.
        detail: String,
    },
    /// Nobody can tell: the issuer's keys are not there.
    Unavailable {
        /// The issuer's name in gateway.toml.
        issuer: Arc<str>,
        /// When it may be worth asking again.
        retry_after: Duration,
    },
    /// More new tokens than can be verified wait already.
    Overloaded,
}

impl Verifier {
    /// Judges by `issuers`. A cache that goes on from an earlier configuration needs its epoch, too.
    #[must_use]
    pub fn new(issuers: Vec<Arc<Issuer>>, cache: Arc<TokenCache>, epoch: Epoch, max_token_size: usize) -> Self {
        epoch.advance();
        Self { issuers, cache, epoch, max_token_size }
    }

    /// The issuers that it judges by.
    #[must_use]
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }

    /// Judges a token by those of the issuers that `accepts` names, at the time `now`.
    ///
    /// Waits only for a token that nobody has seen before: for the worker's turn to verify it, and for the issuer's keys
    /// where it names one that is not there.
    ///
    /// # Errors
    /// [`VerifyError`]
    pub async fn verify(
        &self,
        token: BearerToken<'_>,
        memo: &Memo,
        accepts: impl Fn(&str) -> bool,
        now: UnixTime,
    ) -> Result<Arc<ActiveToken>, VerifyError> {
        let text = token.as_str();
        if text.len() > self.max_token_size {
            return Err(invalid("too_long", format!("a token of {} bytes", text.len())));
        }
        if let Some(fact) = self.remembered(text, memo, &accepts, now) {
            return fact.judged(now);
        }
        let fact = self.verify_anew(text, memo, accepts, now).await?;
        fact.judged(now)
    }

    fn remembered(
        &self,
        text: &str,
        memo: &Memo,
        accepts: impl Fn(&str) -> bool,
        now: UnixTime,
    ) -> Option<Arc<Verified>> {
        let fact = memo.find(text, &self.cache)?;
        // Two issuers of different routes may go by the same `iss`: this route may still accept the other one.
        if !accepts(&fact.issuer.name) {
            return None;
        }
        if self.still_stands(&fact) && now < fact.stale {
            return Some(fact);
        }
        memo.forget(text, &self.cache);
        None
    }

    // The configuration of its issuer and the key that signed it must still be there.
    fn still_stands(&self, fact: &Verified) -> bool {
        let epoch = self.epoch.now();
        if fact.epoch.load(Ordering::Relaxed) == epoch {
            return true;
        }
        let stands = self.issuers.iter().any(|issuer| Arc::ptr_eq(issuer, &fact.issuer))
            && fact.issuer.keys.current().is_ok_and(|keys| keys.holds(&fact.key));
        if stands {
            fact.epoch.store(epoch, Ordering::Relaxed);
        }
        stands
    }

    async fn verify_anew(
        &self,
        text: &str,
        memo: &Memo,
        accepts: impl Fn(&str) -> bool,
        now: UnixTime,
    ) -> Result<Arc<Verified>, VerifyError> {
        let jws = match classify(text) {
            Ok(TokenShape::Jwt(jws)) => jws,
            Ok(TokenShape::Opaque) => {
                return Err(invalid("opaque", "not a JWT, and no issuer of the route introspects".to_owned()));
            }
            Err(error) => return Err(invalid(error.reason(), error.to_string())),
        };
        let claims = Claims::parse(jws.payload()).map_err(|error| invalid(error.reason(), error.to_string()))?;
        // Only to choose the keys: until the signature holds, `iss` is a stranger's word.
        let called = |iss: &str| self.issuers.iter().find(|issuer| accepts(&issuer.name) && issuer.is_called(iss));
        let Some(issuer) = claims.issuer().and_then(called) else {
            let detail = format!("no issuer of the route is called {:?}", claims.issuer().unwrap_or_default());
            return Err(invalid("unknown_issuer", detail));
        };
        jws.check_type(&issuer.token_types).map_err(|error| invalid(error.reason(), error.to_string()))?;

        let unavailable =
            |NoKeys| VerifyError::Unavailable { issuer: Arc::clone(&issuer.name), retry_after: RETRY_AFTER };
        let waits = memo.worker().is_busy();
        let mut turn = memo.worker().turn().await.ok_or(VerifyError::Overloaded)?;
        // Others may have come before with the same token.
        if waits && let Some(fact) = self.remembered(text, memo, &accepts, now) {
            return Ok(fact);
        }
        // Before the keys are read: what changes meanwhile must be noticed at the next look.
        let mut epoch = self.epoch.now();
        let mut outcome = issuer.keys.current().map_err(unavailable)?.verify(&jws);
        if outcome == Err(SignatureError::UnknownKey) {
            drop(turn);
            epoch = self.epoch.now();
            let keys = issuer.keys.after_unknown_key().await.map_err(unavailable)?;
            turn = memo.worker().turn().await.ok_or(VerifyError::Overloaded)?;
            if let Some(fact) = self.remembered(text, memo, &accepts, now) {
                return Ok(fact);
            }
            outcome = keys.verify(&jws);
        }
        let fact = outcome
            .map_err(|error| invalid(error.reason(), error.to_string()))
            .and_then(|key| issuer.judge(text, claims, key, epoch, now));
        if let Ok(fact) = &fact {
            memo.keep(fact, &self.cache);
        }
        // Whoever is ready goes before the next signature, above all after a bad one.
        tokio::task::yield_now().await;
        drop(turn);
        fact
    }
}

impl Issuer {
    // Judges the claims of a token that this issuer has signed.
    fn judge(
        self: &Arc<Self>,
        text: &str,
        claims: Claims,
        key: Signer,
        epoch: u64,
        now: UnixTime,
    ) -> Result<Arc<Verified>, VerifyError> {
        let token = claims.check(&self.expectation, now).map_err(|error| invalid(error.reason(), error.to_string()))?;
        Ok(Arc::new(Verified {
            text: text.into(),
            ends: token.expires_at().map(|exp| exp.later_by(self.expectation.leeway)),
            stale: now.later_by(self.cache_max_age),
            token: Arc::new(token),
            issuer: Arc::clone(self),
            key,
            epoch: AtomicU64::new(epoch),
        }))
    }
}

impl Verified {
    fn judged(&self, now: UnixTime) -> Result<Arc<ActiveToken>, VerifyError> {
        match self.ends {
            Some(ends) if now >= ends => Err(invalid("expired", format!("expired at {}", ends.as_seconds()))),
            Some(_) | None => Ok(Arc::clone(&self.token)),
        }
    }
}

// A token in memory is wiped when it leaves: a later leak of freed memory finds none.
impl Drop for Verified {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl std::fmt::Debug for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verified").field("token", &self.token).finish_non_exhaustive()
    }
}

fn invalid(reason: &'static str, detail: String) -> VerifyError {
    VerifyError::Invalid { reason, detail }
}

// Between 80 and 100 percent of `span`: many gateways that start together do not ask together for ever.
fn jitter(span: Duration) -> Duration {
    let mut random = [0_u8; 2];
    // Without randomness there is no jitter, and nothing else is lost.
    let _ = aws_lc_rs::rand::fill(&mut random);
    span.mul_f32(0.8 + 0.2 * f32::from(u16::from_ne_bytes(random)) / f32::from(u16::MAX))
}

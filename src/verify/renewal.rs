//! A token in use is asked about again before its answer ends, in the background (`refresh_ahead`).
//!
//! 1. Only a token that is used in the last part of the answer's life is asked about again, and at most once for each
//!    answer: a token that nobody uses costs nothing.
//! 2. A question of this kind is one like any other: `max_in_flight`, the client's share of it and the breaker hold.
//! 3. The old answer lives as long as it would have, and no longer. A new one takes its place at once, whatever it says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::cache::TokenCache;
use super::fact::Verified;
use super::introspection::{Introspection, Own, Question};
use super::issuer::Issuer;
use super::{Verifier, VerifyError};
use crate::oauth::UnixTime;
use crate::oauth::claims::Claims;
use crate::oauth::jose::{TokenShape, classify};

/// When a question that may not be asked now may be tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A fact whose answer is to be asked for again.
pub(super) struct Renewal {
    pub(super) fact: Arc<Verified>,
    pub(super) client: IpAddr,
    pub(super) epoch: u64,
    pub(super) now: UnixTime,
    pub(super) cache: Arc<TokenCache>,
}

impl Verifier {
    /// Has the answer that a fact stands on asked for again.
    #[cold]
    pub(super) fn renew(&self, fact: &Arc<Verified>, client: IpAddr, now: UnixTime) {
        let Some(server) = &fact.issuer.introspection else {
            return;
        };
        let (fact, cache) = (Arc::clone(fact), Arc::clone(&self.cache));
        server.renew(Renewal {
            fact,
            client,
            epoch: self.epoch.now(),
            now,
            cache,
        });
    }
}

impl Renewal {
    /// What to ask; `None` where the token would not be asked about any more.
    pub(super) fn question(&self, server: &Introspection) -> Option<Question> {
        let Self {
            fact,
            epoch,
            now,
            cache,
            ..
        } = self;
        Some(Question {
            issuer: Arc::clone(&fact.issuer),
            token: Zeroizing::new(fact.text().to_owned()),
            own: own(fact.text(), &fact.issuer, server, *now)?,
            epoch: *epoch,
            now: *now,
            cache: Arc::clone(cache),
        })
    }

    /// A fact about the same token that somebody has found out meanwhile.
    pub(super) fn newer(&self) -> Option<Arc<Verified>> {
        let found = self.cache.find(self.fact.text())?;
        (!Arc::ptr_eq(&found, &self.fact) && found.is_fresh(self.now)).then_some(found)
    }

    /// Nothing was asked: the next use of the token may try once more.
    pub(super) fn postpone(&self) {
        self.fact.renew_from(self.now.later_by(TRY_AGAIN_AFTER));
    }

    /// Has the new answer take the place of the old one in every tier.
    pub(super) fn conclude(self, outcome: &Result<Arc<Verified>, VerifyError>) {
        match outcome {
            Ok(_) => self.fact.retire(),
            Err(VerifyError::Invalid { .. }) => {
                self.fact.retire();
                self.cache.forget(self.fact.text());
            }
            // Nobody knows more than before.
            Err(
                VerifyError::TooLarge { .. }
                | VerifyError::Unavailable { .. }
                | VerifyError::Overloaded { .. }
                | VerifyError::Conflict,
            ) => {}
        }
    }
}

// As `Verifier::verify_jwt` has it. A signature is verified on the control plane here, at most once for each answer.
fn own(text: &str, issuer: &Issuer, server: &Introspection, now: UnixTime) -> Option<Own> {
    let TokenShape::Jwt(jws) = classify(text).ok()? else {
        return Some(Own::Unsigned { expires_at: None });
    };
    let claims = Claims::parse(jws.payload()).ok()?;
    let Some(keys) = issuer.keys_of_jwt() else {
        let expires_at = claims
            .check(server.expected_of_jwt(), now)
            .ok()?
            .expires_at();
        return Some(Own::Unsigned { expires_at });
    };
    let keys = keys.current().ok()?;
    let signer = issuer.timed(|| keys.verify(&jws)).ok()?;
    Some(Own::Signed {
        token: claims.check(&issuer.expectation, now).ok()?,
        signer,
    })
}

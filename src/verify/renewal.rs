//! Introspects a token in use again before its cache entry ends, in the background
//! (`refresh_ahead`).
//!
//! 1. Only a token that is used in the last part of its entry's life is introspected again, and at
//!    most once per entry. An unused token costs nothing.
//! 2. The limits of every introspection request apply: `max_in_flight`, the client's share, the
//!    circuit breaker.
//! 3. Of the gateways of a fleet, one sends the request, and the others take its response.
//! 4. The old entry does not live longer. The new one replaces it at once, whatever it says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::cache::TokenCache;
use super::error::VerifyError;
use super::introspection::{Introspection, IntrospectionRequest, LocalVerification, Renewed};
use super::issuer::Issuer;
use super::verified_token::VerifiedToken;
use crate::oauth::UnixTime;
use crate::oauth::claims::{Claims, RuleSet};
use crate::oauth::jose::{TokenShape, classify};
use crate::revocation::Revocations;

/// The delay after a renewal that the limits did not permit.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The renewal of one cache entry.
pub(super) struct Renewal {
    pub(super) verified: Arc<VerifiedToken>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) client: IpAddr,
    pub(super) epoch: u64,
    pub(super) now: UnixTime,
    pub(super) cache: Arc<TokenCache>,
    pub(super) rules: Arc<RuleSet>,
    pub(super) revocations: Option<Arc<Revocations>>,
}

impl Renewal {
    /// Renews it on the control plane.
    pub(super) fn start(self) {
        let Some(introspection) = self.issuer.introspection().cloned() else {
            return;
        };
        // A cache entry came of a response, so there is a runtime.
        if let Some(runtime) = introspection.runtime() {
            runtime.spawn(self.run(Arc::clone(&introspection)));
        }
    }

    async fn run(self, introspection: Arc<Introspection>) {
        let Some(request) = self.request(&introspection) else {
            return;
        };
        let renewed = introspection
            .renew(request, self.verified.reverify_at(), self.client, || {
                self.find_newer()
            })
            .await;
        match renewed {
            Renewed::Now(outcome) => self.apply(&outcome),
            Renewed::Postponed => self.postpone(),
            Renewed::ByOthers => {}
        }
    }

    /// The request; `None` if the token would no longer be introspected.
    fn request(&self, introspection: &Introspection) -> Option<IntrospectionRequest> {
        let Self {
            verified,
            issuer,
            epoch,
            now,
            cache,
            rules,
            revocations,
            ..
        } = self;
        Some(IntrospectionRequest {
            issuer: Arc::clone(&verified.issuer),
            token: Zeroizing::new(verified.text().to_owned()),
            local: verify_locally(verified.text(), issuer, introspection, *now)?,
            epoch: *epoch,
            now: *now,
            cache: Arc::clone(cache),
            rules: Arc::clone(rules),
            revocations: revocations.clone(),
        })
    }

    /// A newer entry of the same token.
    fn find_newer(&self) -> Option<Arc<VerifiedToken>> {
        let found = self.cache.find(self.verified.text())?;
        (!Arc::ptr_eq(&found, &self.verified) && found.is_fresh(self.now)).then_some(found)
    }

    /// No request was sent; a later use of the token may try again.
    fn postpone(&self) {
        self.verified
            .allow_renewal_from(self.now.later_by(RETRY_DELAY));
    }

    /// Replaces the old entry in every tier.
    fn apply(self, outcome: &Result<Arc<VerifiedToken>, VerifyError>) {
        match outcome {
            Ok(_) => self.verified.supersede(),
            Err(VerifyError::Invalid { .. }) => {
                self.verified.supersede();
                self.cache.remove(self.verified.text());
            }
            // These say nothing about the token.
            Err(
                VerifyError::TooLarge { .. }
                | VerifyError::Unavailable { .. }
                | VerifyError::Overloaded { .. }
                | VerifyError::Conflict,
            ) => {}
        }
    }
}

// The local checks of `Verifier::verify_jwt`. The signature is verified on the control plane here,
// at most once per entry.
fn verify_locally(
    text: &str,
    issuer: &Issuer,
    server: &Introspection,
    now: UnixTime,
) -> Option<LocalVerification> {
    let TokenShape::Jwt(jws) = classify(text).ok()? else {
        return Some(LocalVerification::Unsigned { jwt: None });
    };
    issuer.jwt_introspection()?;
    let claims = Claims::parse(jws.payload()).ok()?;
    let Some(keys) = issuer.jwt_keys() else {
        let jwt = claims.check(server.jwt_expectation(), now).ok();
        return Some(LocalVerification::Unsigned { jwt: Some(jwt?) });
    };
    let keys = keys.current().ok()?;
    let signer = issuer.time_verification(|| keys.verify(&jws)).ok()?;
    Some(LocalVerification::Signed {
        token: claims.check(&issuer.settings.expectation, now).ok()?,
        signer,
    })
}

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
use super::error::VerifyError;
use super::introspection::{Introspection, IntrospectionRequest, LocalVerification, Renewed};
use super::issuer::Issuer;
use super::verified_token::VerifiedToken;
use crate::oauth::UnixTime;
use crate::oauth::claims::Claims;
use crate::oauth::jose::{TokenShape, classify};

/// When a question that may not be asked now may be tried again.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A fact whose answer is to be asked for again.
pub(super) struct Renewal {
    pub(super) verified: Arc<VerifiedToken>,
    pub(super) issuer: Arc<Issuer>,
    pub(super) client: IpAddr,
    pub(super) epoch: u64,
    pub(super) now: UnixTime,
    pub(super) cache: Arc<TokenCache>,
}

impl Renewal {
    /// Renews it on the control plane.
    pub(super) fn start(self) {
        let Some(introspection) = self.issuer.introspection().cloned() else {
            return;
        };
        // A cache entry came of a response, so there is a control plane.
        if let Some(control_plane) = introspection.control_plane() {
            control_plane.spawn(self.run(Arc::clone(&introspection)));
        }
    }

    async fn run(self, introspection: Arc<Introspection>) {
        let Some(request) = self.request(&introspection) else {
            return;
        };
        let renewed = introspection
            .renew(request, self.client, || self.newer())
            .await;
        match renewed {
            Renewed::Now(outcome) => self.conclude(&outcome),
            Renewed::Postponed => self.postpone(),
            Renewed::ByOthers => {}
        }
    }

    /// What to ask; `None` where the token would not be asked about any more.
    fn request(&self, introspection: &Introspection) -> Option<IntrospectionRequest> {
        let Self {
            verified,
            issuer,
            epoch,
            now,
            cache,
            ..
        } = self;
        Some(IntrospectionRequest {
            issuer: Arc::clone(&verified.issuer),
            token: Zeroizing::new(verified.text().to_owned()),
            own: own(verified.text(), issuer, introspection, *now)?,
            epoch: *epoch,
            now: *now,
            cache: Arc::clone(cache),
        })
    }

    /// A fact about the same token that somebody has found out meanwhile.
    fn newer(&self) -> Option<Arc<VerifiedToken>> {
        let found = self.cache.find(self.verified.text())?;
        (!Arc::ptr_eq(&found, &self.verified) && found.is_fresh(self.now)).then_some(found)
    }

    /// Nothing was asked: the next use of the token may try once more.
    fn postpone(&self) {
        self.verified
            .allow_renewal_from(self.now.later_by(TRY_AGAIN_AFTER));
    }

    /// Has the new answer take the place of the old one in every tier.
    fn conclude(self, outcome: &Result<Arc<VerifiedToken>, VerifyError>) {
        match outcome {
            Ok(_) => self.verified.supersede(),
            Err(VerifyError::Invalid { .. }) => {
                self.verified.supersede();
                self.cache.forget(self.verified.text());
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
fn own(
    text: &str,
    issuer: &Issuer,
    server: &Introspection,
    now: UnixTime,
) -> Option<LocalVerification> {
    let TokenShape::Jwt(jws) = classify(text).ok()? else {
        return Some(LocalVerification::Unsigned { expires_at: None });
    };
    let claims = Claims::parse(jws.payload()).ok()?;
    let Some(keys) = issuer.jwt_keys() else {
        let expires_at = claims
            .check(server.expected_of_jwt(), now)
            .ok()?
            .expires_at();
        return Some(LocalVerification::Unsigned { expires_at });
    };
    let keys = keys.current().ok()?;
    let signer = issuer.time_verification(|| keys.verify(&jws)).ok()?;
    Some(LocalVerification::Signed {
        token: claims.check(&issuer.settings.expectation, now).ok()?,
        signer,
    })
}

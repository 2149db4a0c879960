//! A verified token: an entry of the token cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::{Zeroize, Zeroizing};

use super::cache::EntrySize;
use super::error::{VerifyError, revoked};
use super::jwt::Signer;
use super::settings::IssuerSettings;
use crate::oauth::UnixTime;
use crate::oauth::claims::{
    ActiveToken, ClaimsError, Revocable, RuleSet, allocated, allocated_arc, allocated_slice,
};
use crate::revocation::{Revocations, TokenDigests};

/// A token that is active: its issuer vouches for it, and its claims passed every check.
pub struct VerifiedToken {
    /// The token as it is sent.
    pub(super) text: Box<str>,
    token: Arc<ActiveToken>,
    pub(super) issuer: Arc<IssuerSettings>,
    /// The keys that it depends on, if any.
    signers: Vec<Signer>,
    /// What could revoke it; none if nothing is revoked.
    digests: Option<Box<TokenDigests>>,
    /// The `Authorization` that replaces the token at the upstream.
    replacement: Option<HeaderValue>,
    /// `exp` + leeway.
    valid_until: Option<UnixTime>,
    /// When it must be verified again, in seconds since 1970. It only ever becomes earlier.
    reverify_at: AtomicI64,
    /// From when on a use of the token renews it, in seconds since 1970; [`NEVER`] if no use does.
    renew_from: AtomicI64,
    /// The epoch in which issuer and keys were last confirmed.
    epoch: AtomicU64,
    /// Bytes of memory that it takes.
    memory: usize,
}

/// What a verification depends on.
pub(super) struct VerificationBasis {
    pub(super) issuer: Arc<IssuerSettings>,
    pub(super) signers: Vec<Signer>,
    /// The epoch before issuer and keys were read, so that a later change is noticed.
    pub(super) epoch: u64,
    /// The maximum age, beside the issuer's `cache_max_age`.
    pub(super) max_age: Duration,
    /// Whether it is renewed before it ends.
    pub(super) refresh_ahead: bool,
    /// The rules whose outcomes the token remembers.
    pub(super) rules: Arc<RuleSet>,
}

/// The memory in which `Bytes` holds the owner of its bytes: a counter, two functions, the owner.
const REPLACEMENT_OWNER: usize = 48;

/// It is not renewed, or already was.
const NEVER: i64 = i64::MAX;

/// `reverify_at` of an entry that a newer one has superseded: long ago.
const SUPERSEDED: i64 = i64::MIN;

/// An entry is renewed in the last fifth of its life.
const RENEWAL_FRACTION: u32 = 5;

/// The clock counts whole seconds, so the last part is at least one.
const MIN_RENEWAL_WINDOW: Duration = Duration::from_secs(1);

impl VerifiedToken {
    /// A token with this `text`. `jwt` is what it says of itself, if another response vouches for it.
    pub(super) fn new(
        text: &str,
        token: ActiveToken,
        jwt: Option<&ActiveToken>,
        replacement: Option<HeaderValue>,
        basis: VerificationBasis,
        now: UnixTime,
    ) -> Arc<Self> {
        let VerificationBasis {
            issuer,
            signers,
            epoch,
            max_age,
            refresh_ahead,
            rules,
        } = basis;
        let token = token.with_outcomes_of(&rules);
        let max_age = max_age.min(issuer.cache_max_age);
        let reverify_at = now.later_by(max_age);
        let valid_until = token
            .expires_at()
            .map(|exp| exp.later_by(issuer.expectation.leeway));
        let renew_from = reverify_at.earlier_by(renewal_window(max_age));
        // A token that expires before its entry ends needs no renewal.
        let is_renewed = refresh_ahead
            && renew_from > now
            && valid_until.is_none_or(|valid_until| valid_until > reverify_at);
        let digests = issuer.expectation.revocable.map(|revocable| {
            let phantom = replacement.as_ref().and_then(replaced_by);
            let texts: Vec<_> = [text].into_iter().chain(phantom).collect();
            Box::new(digests(&texts, &token, jwt, &issuer, revocable))
        });
        let memory = memory(text, &token, &signers, replacement.as_ref())
            + digests.as_ref().map_or(0, |digests| {
                allocated(size_of::<TokenDigests>()) + allocated_slice::<u8>(digests.heap_size())
            });
        Arc::new(Self {
            text: text.into(),
            memory,
            valid_until,
            reverify_at: AtomicI64::new(reverify_at.as_seconds()),
            renew_from: AtomicI64::new(if is_renewed {
                renew_from.as_seconds()
            } else {
                NEVER
            }),
            token: Arc::new(token),
            issuer,
            signers,
            digests,
            replacement,
            epoch: AtomicU64::new(epoch),
        })
    }

    /// The token's claims.
    #[must_use]
    pub fn token(&self) -> &Arc<ActiveToken> {
        &self.token
    }

    /// When the token expires: `exp` + leeway. `None` if neither token nor issuer says.
    #[must_use]
    pub fn valid_until(&self) -> Option<UnixTime> {
        self.valid_until
    }

    /// The `Authorization` that replaces the client's at the upstream (phantom tokens).
    #[must_use]
    pub fn replacement(&self) -> Option<&HeaderValue> {
        self.replacement.as_ref()
    }

    /// Whether it need not be verified again yet.
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        now.as_seconds() < self.reverify_at.load(Ordering::Relaxed)
    }

    /// When it must be verified again.
    pub(super) fn reverify_at(&self) -> UnixTime {
        UnixTime::from_seconds(self.reverify_at.load(Ordering::Relaxed))
    }

    /// Whether it is to be renewed now. True for one caller only.
    pub(super) fn claim_renewal(&self, now: UnixTime) -> bool {
        now.as_seconds() >= self.renew_from.load(Ordering::Relaxed)
            && self.renew_from.swap(NEVER, Ordering::Relaxed) != NEVER
    }

    /// It was not renewed; allows that from `at` on.
    pub(super) fn allow_renewal_from(&self, at: UnixTime) {
        self.renew_from.store(at.as_seconds(), Ordering::Relaxed);
    }

    /// Makes it invalid in every tier, because a newer entry replaces it.
    pub(super) fn supersede(&self) {
        self.reverify_at.store(SUPERSEDED, Ordering::Relaxed);
    }

    /// Whether a newer entry has replaced it.
    pub(super) fn is_superseded(&self) -> bool {
        self.reverify_at.load(Ordering::Relaxed) == SUPERSEDED
    }

    /// The keys that signed the token, or the response that vouches for it.
    pub(super) fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Whether issuer and keys were confirmed in this epoch.
    pub(super) fn is_confirmed_in(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::Relaxed) == epoch
    }

    /// Notes that issuer and keys are current in this epoch.
    pub(super) fn confirm_in(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Whether it is revoked.
    #[must_use]
    pub fn is_revoked_in(&self, revocations: &Revocations) -> bool {
        let digests = self.digests.as_ref();
        digests.is_some_and(|digests| revocations.is_revoked(digests))
    }

    /// # Errors
    /// [`VerifyError::Invalid`] if it is revoked.
    pub(super) fn check_revoked(
        &self,
        revocations: Option<&Arc<Revocations>>,
    ) -> Result<(), VerifyError> {
        match revocations {
            Some(revocations) if self.is_revoked_in(revocations) => Err(revoked()),
            Some(_) | None => Ok(()),
        }
    }

    /// # Errors
    /// [`VerifyError::Invalid`] if the token has expired since.
    pub(super) fn check_expiry(&self, now: UnixTime) -> Result<(), VerifyError> {
        match (self.valid_until, self.token.expires_at()) {
            (Some(valid_until), Some(at)) if now >= valid_until => {
                Err(ClaimsError::Expired { at }.into())
            }
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// The token itself. It never goes into a log, a metric or an error.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Its size in a cache.
    pub(super) fn size(&self) -> EntrySize {
        let replacement = self.replacement.as_ref().map_or(0, HeaderValue::len);
        EntrySize {
            text: self.text.len() + self.token.size() + replacement,
            memory: self.memory,
        }
    }
}

/// The last part of the life of an entry, in which it is renewed.
pub(super) fn renewal_window(max_age: Duration) -> Duration {
    (max_age / RENEWAL_FRACTION).max(MIN_RENEWAL_WINDOW)
}

// The earliest `iat` counts: what revokes more is the safe direction.
fn digests(
    texts: &[&str],
    token: &ActiveToken,
    jwt: Option<&ActiveToken>,
    issuer: &IssuerSettings,
    revocable: Revocable,
) -> TokenDigests {
    let expected = &issuer.expectation;
    let tokens: Vec<_> = [token].into_iter().chain(jwt).collect();
    let issued = tokens
        .iter()
        .filter_map(|token| token.issued_at(expected.expiry_unit))
        .min()
        .map(|issued| issued.earlier_by(revocable.skew));
    let name = expected.issuers.first().map_or("", String::as_str);
    TokenDigests::of(texts, &tokens, name, issued)
}

fn memory(
    text: &str,
    token: &ActiveToken,
    signers: &Vec<Signer>,
    replacement: Option<&HeaderValue>,
) -> usize {
    let signers = allocated(signers.capacity() * size_of::<Signer>());
    // The text, and its reference count.
    let replacement = replacement.map_or(0, |value| {
        allocated(value.len()) + allocated(REPLACEMENT_OWNER)
    });
    allocated_arc::<VerifiedToken>()
        + allocated(text.len())
        + token.memory()
        + signers
        + replacement
}

/// The `Authorization` with `jwt`; its memory is wiped with the last copy. `None` if no header can
/// hold it.
pub(super) fn replacement(jwt: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {jwt}").into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

// The JWT of such a header.
fn replaced_by(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()?.strip_prefix("Bearer ")
}

// A token is wiped from memory, so that a leak of freed memory reveals none.
impl Drop for VerifiedToken {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl std::fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

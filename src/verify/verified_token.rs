//! What is known of a token that was found active.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::{Zeroize, Zeroizing};

use super::cache::EntrySize;
use super::error::VerifyError;
use super::jwt::Signer;
use super::settings::IssuerSettings;
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, ClaimsError, allocated, allocated_arc};

/// That a token is active: its issuer vouches for it, and its claims are good.
pub struct VerifiedToken {
    /// The token as it is sent.
    pub(super) text: Box<str>,
    token: Arc<ActiveToken>,
    pub(super) issuer: Arc<IssuerSettings>,
    /// The keys that it stands on, where there are any.
    signers: Vec<Signer>,
    /// What is sent on in place of the token.
    replacement: Option<HeaderValue>,
    /// `exp` + leeway.
    ends: Option<UnixTime>,
    /// When it must be verified anew, in seconds since 1970. Only ever earlier than it was.
    stale: AtomicI64,
    /// From when on its answer is asked for again while it is used, in seconds since 1970; the greatest number where it
    /// is not, or was.
    renewed_from: AtomicI64,
    /// The epoch in which issuer and key were last seen to stand.
    epoch: AtomicU64,
    /// Bytes of memory that it takes.
    memory: usize,
}

/// What a fact stands on.
pub(super) struct VerificationBasis {
    pub(super) issuer: Arc<IssuerSettings>,
    pub(super) signers: Vec<Signer>,
    /// The epoch before issuer and key were looked at: what changes later must be noticed.
    pub(super) epoch: u64,
    /// No longer than this, and no longer than the issuer's `cache_max_age`.
    pub(super) max_age: Duration,
    /// Whether its answer is asked for again before it ends.
    pub(super) refresh_ahead: bool,
}

/// What `Bytes` holds an owner of its bytes in: a counter, two functions, and the owner.
const REPLACEMENT_OWNER: usize = 48;

/// Never.
const NEVER: i64 = i64::MAX;

/// When a fact whose place was taken had to be verified anew: always.
const SUPERSEDED: i64 = i64::MIN;

/// The last fifth of an answer's life is when it is asked for again.
const RENEWAL_FRACTION: u32 = 5;

/// The clock that facts live by has whole seconds, so the last part is at least one.
const MIN_RENEWAL_WINDOW: Duration = Duration::from_secs(1);

impl VerifiedToken {
    pub(super) fn new(
        text: &str,
        token: ActiveToken,
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
        } = basis;
        let max_age = max_age.min(issuer.cache_max_age);
        let stale = now.later_by(max_age);
        let ends = token
            .expires_at()
            .map(|exp| exp.later_by(issuer.expectation.leeway));
        let renewed_from = stale.earlier_by((max_age / RENEWAL_FRACTION).max(MIN_RENEWAL_WINDOW));
        // A token that ends no later than its answer has no use for another one.
        let is_renewed =
            refresh_ahead && renewed_from > now && ends.is_none_or(|ends| ends > stale);
        let memory = memory(text, &token, &signers, replacement.as_ref());
        Arc::new(Self {
            text: text.into(),
            memory,
            ends,
            stale: AtomicI64::new(stale.as_seconds()),
            renewed_from: AtomicI64::new(if is_renewed {
                renewed_from.as_seconds()
            } else {
                NEVER
            }),
            token: Arc::new(token),
            issuer,
            signers,
            replacement,
            epoch: AtomicU64::new(epoch),
        })
    }

    /// What the token says.
    #[must_use]
    pub fn token(&self) -> &Arc<ActiveToken> {
        &self.token
    }

    /// When the token ends: `exp` and the leeway. `None` when nobody said.
    #[must_use]
    pub fn ends(&self) -> Option<UnixTime> {
        self.ends
    }

    /// The value of `Authorization` that goes on in place of the client's (phantom tokens).
    #[must_use]
    pub fn replacement(&self) -> Option<&HeaderValue> {
        self.replacement.as_ref()
    }

    /// Whether it need not be verified anew yet.
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        now.as_seconds() < self.stale.load(Ordering::Relaxed)
    }

    /// Whether its answer is to be asked for again now; says so to one caller only.
    pub(super) fn claim_renewal(&self, now: UnixTime) -> bool {
        now.as_seconds() >= self.renewed_from.load(Ordering::Relaxed)
            && self.renewed_from.swap(NEVER, Ordering::Relaxed) != NEVER
    }

    /// Its answer was not asked for again; it may be from `at` on.
    pub(super) fn allow_renewal_from(&self, at: UnixTime) {
        self.renewed_from.store(at.as_seconds(), Ordering::Relaxed);
    }

    /// Another answer has taken its place: it counts nowhere any more, in whichever tier it is found.
    pub(super) fn supersede(&self) {
        self.stale.store(SUPERSEDED, Ordering::Relaxed);
    }

    /// Whether another answer has taken its place.
    pub(super) fn is_superseded(&self) -> bool {
        self.stale.load(Ordering::Relaxed) == SUPERSEDED
    }

    /// The keys that signed it, or the response that vouches for it.
    pub(super) fn signers(&self) -> &[Signer] {
        &self.signers
    }

    /// Whether issuer and keys were seen to be in force in this epoch.
    pub(super) fn is_confirmed_in(&self, epoch: u64) -> bool {
        self.epoch.load(Ordering::Relaxed) == epoch
    }

    /// Issuer and keys are in force in this epoch.
    pub(super) fn confirm_in(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
    }

    /// # Errors
    /// [`VerifyError::Invalid`] when the token has ended since.
    pub(super) fn check_expiry(&self, now: UnixTime) -> Result<(), VerifyError> {
        match (self.ends, self.token.expires_at()) {
            (Some(ends), Some(at)) if now >= ends => Err(ClaimsError::Expired { at }.into()),
            (Some(_) | None, _) => Ok(()),
        }
    }

    /// The token itself. It never goes into a log, a metric or an error.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// What it takes of a cache.
    pub(super) fn size(&self) -> EntrySize {
        let replacement = self.replacement.as_ref().map_or(0, HeaderValue::len);
        EntrySize {
            text: self.text.len() + self.token.size() + replacement,
            memory: self.memory,
        }
    }
}

fn memory(
    text: &str,
    token: &ActiveToken,
    signers: &Vec<Signer>,
    replacement: Option<&HeaderValue>,
) -> usize {
    let signers = allocated(signers.capacity() * size_of::<Signer>());
    // Its text, and what counts those who share it.
    let replacement = replacement.map_or(0, |value| {
        allocated(value.len()) + allocated(REPLACEMENT_OWNER)
    });
    allocated_arc::<VerifiedToken>()
        + allocated(text.len())
        + token.memory()
        + signers
        + replacement
}

/// The `Authorization` that sends `jwt` on; its memory is wiped with its last copy. `None` where no header can hold it.
pub(super) fn replacement(jwt: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {jwt}").into_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

// A token in memory is wiped when it leaves: a later leak of freed memory finds none.
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

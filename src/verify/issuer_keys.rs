//! The keys of an issuer: fixed, or fetched.

use std::sync::Arc;

use super::jwt::{KeySet, SignatureError};
use super::key_ring::{KeyRing, NoKeys};
use super::report::{FailuresReport, KeysReport};
use crate::oauth::jose::CompactJws;
use crate::text::{alternatives, truncated};

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum IssuerKeys {
    /// From a file, or a shared secret: they change only with the configuration.
    Fixed(Arc<KeySet>),
    /// From a URL.
    Published(Arc<KeyRing>),
}

impl IssuerKeys {
    pub(super) fn report(&self) -> KeysReport {
        match self {
            Self::Fixed(keys) => KeysReport {
                usable: Some(keys.count()),
                ..KeysReport::default()
            },
            Self::Published(ring) => ring.report(),
        }
    }

    /// The current keys.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, NoKeys> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Published(ring) => ring.current(),
        }
    }

    /// Why there are no keys, as far as is known.
    pub(super) fn explain_missing(&self) -> String {
        match self.failures() {
            Some(failures) => format!("no keys of the issuer: {failures}"),
            None => "no keys of the issuer".to_owned(),
        }
    }

    /// Why it is unknown whether the issuer has this token's key: none of the current keys fits, and
    /// newer ones cannot be fetched.
    pub(super) fn explain_unknown(&self, token: &CompactJws<'_>) -> String {
        let Ok(current) = self.current() else {
            return self.explain_missing();
        };
        let kid = token.header().kid.as_deref().map(truncated);
        let why = match (kid, current.kids().next()) {
            (Some(kid), Some(_)) => {
                format!(
                    "expected {} as kid (the issuer's keys), but found {kid:?}",
                    alternatives(current.kids())
                )
            }
            (Some(_), None) | (None, _) => format!(
                "none of the issuer's {} keys fits the token",
                current.count()
            ),
        };
        match self.failures() {
            Some(failures) => format!("{why}, and newer keys cannot be fetched: {failures}"),
            None => why,
        }
    }

    fn failures(&self) -> Option<FailuresReport> {
        match self {
            Self::Fixed(_) => None,
            Self::Published(ring) => ring.failures(),
        }
    }

    /// Newer keys for a token that `tried` does not verify: fetched again, unless within the cooldown.
    /// `None`: there are none, and the outcome with `tried` stands.
    ///
    /// # Errors
    /// [`NoKeys`] if the token names an unknown key and the fetch failed: then it is unknown whether
    /// the key is the issuer's.
    pub(super) async fn newer(
        &self,
        tried: &Arc<KeySet>,
        error: SignatureError,
    ) -> Result<Option<Arc<KeySet>>, NoKeys> {
        let Self::Published(ring) = self else {
            return Ok(None);
        };
        if !error.may_change_with_keys() {
            return Ok(None);
        }
        match ring.refetch_for_unknown_key().await {
            // The same keys are not tried again: a forged token must not cost two verifications.
            Ok(keys) => Ok(Some(keys).filter(|keys| !Arc::ptr_eq(keys, tried))),
            // The key that the token names is known and has not signed it.
            Err(NoKeys) if error == SignatureError::BadSignature => Ok(None),
            Err(NoKeys) => Err(NoKeys),
        }
    }
}

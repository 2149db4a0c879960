//! An issuer as it was compiled from `[issuers.NAME]`: whom to believe, and about what.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::budget::CacheLimit;
use super::introspection::Introspection;
use super::jwt::KeySet;
use super::keys::{KeyRing, NoKeys};
use super::report::{FailuresReport, IssuerReport, KeysReport};
use super::{RETRY_AFTER, VerifyError};
use crate::clock;
use crate::oauth::claims::Expectation;
use crate::oauth::jose::CompactJws;
use crate::sync::lock;
use crate::telemetry::numbers::Durations;
use crate::text::{alternatives, truncated};

/// An authorization server whose tokens are accepted.
#[derive(Debug)]
pub struct Issuer {
    /// Its name in gateway.toml.
    pub name: Arc<str>,
    /// What its tokens must say.
    pub expectation: Expectation,
    /// The `typ` header parameters that its access tokens may bear; `""` stands for none.
    pub token_types: Vec<String>,
    /// What its signatures are verified with, where any are.
    pub keys: Option<Keys>,
    /// How its server is asked about tokens, where it is.
    pub introspection: Option<Arc<Introspection>>,
    /// Whether a JWT's own signature must be good where its server is asked as well.
    pub verifies_signatures: bool,
    /// What its opaque tokens begin with.
    pub token_prefix: String,
    /// No cached fact about its tokens is older.
    pub cache_max_age: Duration,
    /// How much of the cache its tokens may take.
    pub cache_limit: CacheLimit,
    /// How long its tokens' signatures take to verify.
    pub verifications: Durations,
    /// What goes on in the background for it.
    pub background: Background,
}

/// What goes on in the background for an issuer.
#[derive(Debug, Default)]
pub struct Background(Mutex<Option<AbortHandle>>);

/// Requests that were judged by a configuration when it was replaced have ended by then, or wait for something else.
const LAST_REQUESTS: Duration = Duration::from_secs(60);

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// From a file, or a secret that it shares with us: the same as long as the configuration is.
    Fixed(Arc<KeySet>),
    /// From a URL.
    Published(Arc<KeyRing>),
}

impl Issuer {
    /// Whether it calls itself `iss`; compared as strings (RFC 7519 §2, StringOrURI).
    #[must_use]
    pub fn is_called(&self, iss: &str) -> bool {
        self.expectation.issuers.iter().any(|name| name == iss)
    }

    /// What a JWT's own signature is verified with; `None` where its server is asked instead.
    pub(super) fn keys_of_jwt(&self) -> Option<&Keys> {
        self.keys
            .as_ref()
            .filter(|_| self.introspection.is_none() || self.verifies_signatures)
    }

    /// Does what has to be done in the background, on the runtime that this is called on: fetches its keys, now and ever
    /// again, and asks about tokens.
    pub fn attend(&self) {
        if let Some(Keys::Published(ring)) = &self.keys {
            let keeping = tokio::spawn(Arc::clone(ring).keep()).abort_handle();
            *lock(&self.background.0) = Some(keeping);
        }
        if let Some(introspection) = &self.introspection {
            introspection.attend();
        }
    }

    /// Whether its keys are fetched, and may be late.
    #[must_use]
    pub fn fetches_keys(&self) -> bool {
        matches!(self.keys, Some(Keys::Published(_)))
    }

    /// Waits for the first answer to whether its keys can be had; no longer than `patience`.
    pub async fn settle(&self, patience: Duration) {
        if let Some(Keys::Published(ring)) = &self.keys {
            // Whatever came of it: keys or no keys, it is judged by what is there.
            let _ = tokio::time::timeout(patience, ring.attempted()).await;
        }
    }

    /// No configuration has it any more: ends what goes on for it, as soon as the last requests are through.
    pub fn dismiss(self: Arc<Self>) {
        tokio::spawn(async move {
            tokio::time::sleep(LAST_REQUESTS).await;
            if let Some(keeping) = lock(&self.background.0).take() {
                keeping.abort();
            }
        });
    }

    /// Has the verifying of a signature counted.
    pub(super) fn timed<T>(&self, verify: impl FnOnce() -> T) -> T {
        let began = clock::now();
        let outcome = verify();
        self.verifications.count(clock::since(began));
        outcome
    }

    /// How it is doing.
    #[must_use]
    pub fn report(&self) -> IssuerReport {
        IssuerReport {
            issuer: Arc::clone(&self.name),
            keys: self.keys.as_ref().map(Keys::report),
            questions: self
                .introspection
                .as_ref()
                .map(|introspection| introspection.report()),
            verifications: self.verifications.read(),
        }
    }

    pub(super) fn unavailable(&self, cause: String) -> VerifyError {
        VerifyError::Unavailable {
            issuer: Arc::clone(&self.name),
            retry_after: RETRY_AFTER,
            cause,
        }
    }
}

impl Keys {
    fn report(&self) -> KeysReport {
        match self {
            Self::Fixed(keys) => KeysReport {
                usable: Some(keys.count()),
                ..KeysReport::default()
            },
            Self::Published(ring) => ring.report(),
        }
    }

    /// The keys as they are.
    pub(super) fn current(&self) -> Result<Arc<KeySet>, NoKeys> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Published(ring) => ring.current(),
        }
    }

    /// Why there are none, as far as it is known.
    pub(super) fn why_none(&self) -> String {
        match self.failures() {
            Some(failures) => format!("no keys of the issuer: {failures}"),
            None => "no keys of the issuer".to_owned(),
        }
    }

    /// Why nobody can tell whether the issuer has the key of this token: it is none of those that are there, and no newer
    /// ones can be had.
    pub(super) fn why_unknown(&self, token: &CompactJws<'_>) -> String {
        let Ok(current) = self.current() else {
            return self.why_none();
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

    /// The keys once more, when a token names one that is not among them.
    pub(super) async fn after_unknown_key(&self) -> Result<Arc<KeySet>, NoKeys> {
        match self {
            Self::Fixed(keys) => Ok(Arc::clone(keys)),
            Self::Published(ring) => ring.after_unknown_key().await,
        }
    }
}

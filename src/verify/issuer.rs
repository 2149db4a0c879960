//! An issuer while it is in use: its settings, its keys and its introspection endpoint.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;

use super::error::{RETRY_AFTER, VerifyError};
use super::introspection::Introspection;
use super::issuer_keys::IssuerKeys;
use super::report::IssuerReport;
use super::settings::IssuerSettings;
use crate::clock;
use crate::sync::lock;
use crate::telemetry::numbers::Durations;

/// An issuer with what is known of it now: its keys, its introspection endpoint, and how long both take.
#[derive(Debug)]
pub struct Issuer {
    /// What the configuration says.
    pub settings: Arc<IssuerSettings>,
    keys: Option<IssuerKeys>,
    introspection: Option<Arc<Introspection>>,
    /// How long its tokens' signatures take to verify.
    verifications: Durations,
    background: Background,
}

/// What goes on in the background for an issuer.
#[derive(Debug, Default)]
struct Background(Mutex<Option<AbortHandle>>);

/// Requests that were judged by a configuration when it was replaced have ended by then, or wait for something else.
const LAST_REQUESTS: Duration = Duration::from_secs(60);

impl Issuer {
    /// An issuer whose signatures are verified with `keys`, where there are any, and whose tokens are introspected where
    /// there is an endpoint for that.
    #[must_use]
    pub fn new(
        settings: IssuerSettings,
        keys: Option<IssuerKeys>,
        introspection: Option<Arc<Introspection>>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            keys,
            introspection,
            verifications: Durations::default(),
            background: Background::default(),
        }
    }

    /// What its signatures are verified with, where any are.
    #[must_use]
    pub fn keys(&self) -> Option<&IssuerKeys> {
        self.keys.as_ref()
    }

    /// How its tokens are introspected, where they are.
    pub(super) fn introspection(&self) -> Option<&Arc<Introspection>> {
        self.introspection.as_ref()
    }

    /// What a JWT's own signature is verified with; `None` where its server is asked instead.
    pub(super) fn keys_of_jwt(&self) -> Option<&IssuerKeys> {
        self.keys
            .as_ref()
            .filter(|_| self.introspection.is_none() || self.settings.verifies_signatures)
    }

    /// Does what has to be done in the background, on the runtime that this is called on: fetches its keys, now and ever
    /// again, and asks about tokens.
    pub fn attend(&self) {
        if let Some(IssuerKeys::Published(ring)) = &self.keys {
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
        matches!(self.keys, Some(IssuerKeys::Published(_)))
    }

    /// Waits for the first answer to whether its keys can be had; no longer than `patience`.
    pub async fn settle(&self, patience: Duration) {
        if let Some(IssuerKeys::Published(ring)) = &self.keys {
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
            issuer: Arc::clone(&self.settings.name),
            keys: self.keys.as_ref().map(IssuerKeys::report),
            questions: self
                .introspection
                .as_ref()
                .map(|introspection| introspection.report()),
            verifications: self.verifications.read(),
        }
    }

    pub(super) fn unavailable(&self, cause: String) -> VerifyError {
        VerifyError::Unavailable {
            issuer: Arc::clone(&self.settings.name),
            retry_after: RETRY_AFTER,
            cause,
        }
    }
}

//! What can be told of an issuer at a moment: for metrics, readiness and whoever asks what is wrong.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::numbers::Distribution;

/// How an issuer is doing.
#[derive(Clone, Debug)]
pub struct IssuerReport {
    /// Its name in gateway.toml.
    pub issuer: Arc<str>,
    /// Its keys, where any are needed.
    pub keys: Option<KeysReport>,
    /// The questions about its tokens, where its server is asked.
    pub questions: Option<QuestionsReport>,
    /// How long signatures took to verify, good and bad ones.
    pub verifications: Distribution,
}

/// An issuer's keys.
#[derive(Clone, Debug, Default)]
pub struct KeysReport {
    /// How many there are to verify with; none while none came, or after the last ones got too old.
    pub usable: Option<usize>,
    /// How long ago they were last fetched; none for keys that are not fetched.
    pub since_success: Option<Duration>,
    /// How long they have been older than the issuer allows; zero for keys that are not.
    pub stale: Duration,
    /// Fetches that succeeded.
    pub fetched: u64,
    /// Fetches that failed.
    pub failed: u64,
}

/// Questions about an issuer's tokens.
#[derive(Clone, Debug, Default)]
pub struct QuestionsReport {
    /// Those that were answered.
    pub answered: u64,
    /// Those that were not, or in a way that nobody can understand.
    pub failed: u64,
    /// How long both took.
    pub durations: Distribution,
}

impl IssuerReport {
    /// Whether its tokens can be judged, as far as that is known without one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.usable.is_some())
    }
}

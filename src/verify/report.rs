//! What can be told of an issuer at a moment: for metrics, readiness and whoever asks what is wrong.

use std::fmt;
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
    pub questions: Option<IntrospectionReport>,
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
    /// Those that failed since the last one that succeeded; `None` where that was the last one.
    pub failures: Option<FailuresReport>,
}

/// Attempts that failed in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailuresReport {
    /// How many there were.
    pub count: u64,
    /// How long ago the last one failed.
    pub since_last: Duration,
    /// Why the last one failed.
    pub last_error: String,
}

/// Questions about an issuer's tokens.
#[derive(Clone, Debug, Default)]
pub struct IntrospectionReport {
    /// Those that were answered.
    pub answered: u64,
    /// Those that were not, or in a way that nobody can understand.
    pub failed: u64,
    /// How long both took.
    pub durations: Distribution,
    /// Those that failed since the last one that was answered; `None` where that was the last one.
    pub failures: Option<FailuresReport>,
    /// Whether new tokens are asked about; while the server cannot be reached, it is only probed.
    pub is_asked: bool,
}

impl fmt::Display for FailuresReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            count,
            since_last,
            last_error,
        } = self;
        write!(
            f,
            "{last_error} (failed {} {} s ago)",
            times(*count),
            since_last.as_secs()
        )
    }
}

fn times(count: u64) -> String {
    if count == 1 {
        "once,".to_owned()
    } else {
        format!("{count} times in a row, last")
    }
}

impl IssuerReport {
    /// Whether its tokens can be judged, as far as that is known without one.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.usable.is_some())
    }
}

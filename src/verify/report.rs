//! The state of an issuer at one moment, for metrics, readiness and errors.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::metrics::HistogramSnapshot;

/// The state of one issuer.
#[derive(Clone, Debug)]
pub struct IssuerReport {
    /// Its name in gateway.toml.
    pub issuer: Arc<str>,
    /// Its keys; none if no signature is verified.
    pub keys: Option<KeysReport>,
    /// Introspection of its tokens; none if they are not introspected.
    pub introspection: Option<IntrospectionReport>,
    /// Durations of signature verifications, whatever their outcome.
    pub verifications: HistogramSnapshot,
}

/// An issuer's keys.
#[derive(Clone, Debug, Default)]
pub struct KeysReport {
    /// How many keys there are; `None` before the first JWKS, or after the last one expired.
    pub usable: Option<usize>,
    /// How long ago a JWKS was last fetched; `None` for keys that are not fetched.
    pub since_success: Option<Duration>,
    /// How long the JWKS has been stale; zero while it is fresh.
    pub stale: Duration,
    /// Fetches that succeeded.
    pub fetched: u64,
    /// Fetches that failed.
    pub failed: u64,
    /// Failures since the last success; `None` after a success.
    pub failures: Option<FailuresReport>,
}

/// Failures in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailuresReport {
    /// How many there were.
    pub count: u64,
    /// How long ago the last one failed.
    pub since_last: Duration,
    /// Why the last one failed.
    pub last_error: String,
}

/// The state of introspection at one issuer.
#[derive(Clone, Debug, Default)]
pub struct IntrospectionReport {
    /// Requests whose response said whether the token is active.
    pub succeeded: u64,
    /// Other requests.
    pub failed: u64,
    /// Durations of all requests.
    pub durations: HistogramSnapshot,
    /// Failures since the last success; `None` after a success.
    pub failures: Option<FailuresReport>,
    /// Whether requests are sent; while the circuit breaker is open, only probes are.
    pub is_circuit_closed: bool,
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
    /// Whether its tokens can be verified, as far as is known before one arrives.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.keys.as_ref().is_none_or(|keys| keys.usable.is_some())
    }
}

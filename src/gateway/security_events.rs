//! Receives Security Event Tokens that authorization servers push (RFC 8935).
//!
//! 1. A token is verified as strictly as an access token, and revokes only tokens of its own issuer.
//! 2. 202 means that the revocation is active here, and on the disk if there is a file. Anything
//!    else is an error that makes the transmitter repeat the token, or alert its operator.
//! 3. A token that comes again changes nothing: what it revokes is revoked.
//! 4. Each client has a rate, and signatures are verified in the turns of the worker. So tokens that
//!    anybody sends cost other requests little.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderMap};

use crate::oauth::UnixTime;
use crate::oauth::security_event::{ErrorCode, EventType, SecurityEvent};
use crate::rate_limits::ClientRates;
use crate::revocation::{Origin, Revocation, RevokeError, Selector};
use crate::telemetry::metrics::Counter;
use crate::verify::{SecurityEventRefusal, VerifiedEvents, Verifier};

/// The largest token. Those of known transmitters have less than two KiB.
pub(super) const MAX_TOKEN_SIZE: u64 = 64 * 1024;
/// How many tokens each client may send, on average. When many accounts are disabled at once, their
/// events come one by one.
const TOKENS_PER_SECOND: u32 = 100;
const BURST: u32 = 200;
/// `Retry-After` while the store is full or its file cannot be written.
pub(super) const STORE_RETRY_AFTER: Duration = Duration::from_secs(60);
const MEDIA_TYPE: &str = "application/secevent+jwt";

/// Where tokens are pushed to, and what becomes of them.
#[derive(Debug)]
pub struct SecurityEventReceiver {
    /// The path, in normal form.
    pub path: Box<str>,
    /// What a reload keeps.
    pub(super) state: Arc<ReceiverState>,
}

/// The rates of clients, and counts.
#[derive(Debug)]
pub(super) struct ReceiverState {
    rates: ClientRates,
    counts: [EventCounts; EventType::ALL.len()],
}

/// Events of one type.
#[derive(Debug, Default)]
struct EventCounts {
    revoked: Counter,
    repeated: Counter,
    ignored: Counter,
    failed: Counter,
}

/// Why a token is not accepted.
#[derive(Debug)]
pub enum SecurityEventFault {
    /// It is invalid, or cannot be verified.
    NotVerified(SecurityEventRefusal),
    /// Its client sends too many.
    TooMany {
        /// When a retry may succeed.
        retry_after: Duration,
    },
    /// Its revocations are not all active, or would not survive a restart.
    NotRevoked {
        /// The issuer's name in gateway.toml.
        issuer: Arc<str>,
        /// Why.
        error: RevokeError,
    },
}

impl SecurityEventReceiver {
    pub(super) fn new(path: Box<str>, earlier: Option<&Self>, now: Instant) -> Self {
        let state = earlier.map_or_else(
            || {
                Arc::new(ReceiverState {
                    rates: ClientRates::new(TOKENS_PER_SECOND, BURST, now),
                    counts: Default::default(),
                })
            },
            |earlier| Arc::clone(&earlier.state),
        );
        Self { path, state }
    }

    /// Counts a token of a client, a [`client_network`](crate::client_limits::client_network).
    pub(super) fn admit(&self, client: IpAddr, now: Instant) -> Result<(), SecurityEventFault> {
        let counted = self.state.rates.count(client, now);
        counted.map_err(|retry_after| SecurityEventFault::TooMany { retry_after })
    }

    /// Revokes what verified events say.
    ///
    /// # Errors
    /// The last event whose revocations are not all active and, if there is a file, on the disk.
    pub(super) async fn revoke(
        &self,
        verified: &VerifiedEvents,
        verifier: &Verifier,
        now: UnixTime,
    ) -> Result<(), SecurityEventFault> {
        let mut outcome = Ok(());
        // The others are tried even if one fails: each of them is better revoked.
        for event in &verified.events {
            let counts = self.state.counts_of(event.event_type);
            let (issuer, name) = (&*verified.issuer_name, event.event_type.name());
            if event.event_type == EventType::Other {
                counts.ignored.count();
                continue;
            }
            match revoke_event(verified, event, verifier, now).await {
                Ok(added) => {
                    let counter = if added > 0 {
                        &counts.revoked
                    } else {
                        &counts.repeated
                    };
                    counter.count();
                    tracing::info!(issuer, event = name, added, "security event received");
                }
                Err(fault) => {
                    counts.failed.count();
                    let error = fault.cause();
                    tracing::error!(issuer, event = name, error, "security event not applied");
                    outcome = Err(fault);
                }
            }
        }
        outcome
    }

    /// Events by type and outcome, for the metrics.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        EventType::ALL.into_iter().flat_map(|event_type| {
            let counts = self.state.counts_of(event_type);
            let outcomes = if event_type == EventType::Other {
                &[("ignored", &counts.ignored)][..]
            } else {
                &[
                    ("revoked", &counts.revoked),
                    ("repeated", &counts.repeated),
                    ("failed", &counts.failed),
                ]
            };
            let outcomes = outcomes.iter();
            outcomes
                .map(|(outcome, counter)| (event_type.name(), *outcome, counter.read()))
                .collect::<Vec<_>>()
        })
    }
}

impl ReceiverState {
    fn counts_of(&self, event_type: EventType) -> &EventCounts {
        let index = match event_type {
            EventType::SessionRevoked => 0,
            EventType::AccountDisabled => 1,
            EventType::AccountCredentialChangeRequired => 2,
            EventType::Other => 3,
        };
        &self.counts[index]
    }
}

// How many entries said more than those that were there.
async fn revoke_event(
    verified: &VerifiedEvents,
    event: &SecurityEvent,
    verifier: &Verifier,
    now: UnixTime,
) -> Result<usize, SecurityEventFault> {
    let mut entries = Vec::new();
    for subject in &event.subjects {
        let revocation = Revocation {
            issuer: verified.issuer.clone(),
            selector: Some(Selector::Sub(subject.clone())),
            issued_before: event.issued_before,
        };
        // Not from now on: the same event must have the same entry whenever it comes.
        let of_subject = verifier.revocation_entries(&revocation, None, event.issued_before);
        entries.extend(of_subject.map_err(|error| {
            SecurityEventRefusal::invalid(ErrorCode::InvalidIssuer, error.to_string())
                .with_issuer(&verified.issuer_name)
        })?);
    }
    // Of an event so old that its tokens have expired, nothing is left to revoke.
    entries.retain(|entry| entry.expires > now);
    let Some(revocations) = verifier.revocations().filter(|_| !entries.is_empty()) else {
        return Ok(0);
    };
    let revoked = revocations.revoke(entries, Origin::Event, now).await;
    revoked.map_err(|error| SecurityEventFault::NotRevoked {
        issuer: Arc::clone(&verified.issuer_name),
        error,
    })
}

/// Checks how the body of a request is labelled (RFC 8935 §2.1).
pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), SecurityEventFault> {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let only = values.next().filter(|_| values.next().is_none());
    let found = only.and_then(|value| value.to_str().ok());
    let media_type = found.and_then(|found| found.split(';').next());
    let is_right = media_type.is_some_and(|found| found.trim().eq_ignore_ascii_case(MEDIA_TYPE));
    if is_right && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    let detail = format!(
        "expected Content-Type: {MEDIA_TYPE} without Content-Encoding, but found another one"
    );
    Err(SecurityEventRefusal::invalid(ErrorCode::InvalidRequest, detail).into())
}

impl SecurityEventFault {
    /// The name in gateway.toml of the issuer concerned.
    #[must_use]
    pub fn issuer(&self) -> Option<&Arc<str>> {
        match self {
            Self::NotVerified(refusal) => refusal.issuer(),
            Self::NotRevoked { issuer, .. } => Some(issuer),
            Self::TooMany { .. } => None,
        }
    }

    /// What was expected and what was found, for the operator.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::NotVerified(refusal) => refusal.to_string(),
            Self::TooMany { .. } => format!(
                "expected at most {TOKENS_PER_SECOND} Security Event Tokens per second from one client, but found more"
            ),
            Self::NotRevoked { error, .. } => error.to_string(),
        }
    }

    /// When a retry may succeed; none for a token that will not be accepted later either.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NotVerified(refusal) => refusal.retry_after(),
            Self::TooMany { retry_after } => Some(*retry_after),
            Self::NotRevoked { .. } => Some(STORE_RETRY_AFTER),
        }
    }
}

impl From<SecurityEventRefusal> for SecurityEventFault {
    fn from(refusal: SecurityEventRefusal) -> Self {
        Self::NotVerified(refusal)
    }
}

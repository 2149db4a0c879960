//! Verifies tokens by asking their authorization server (RFC 7662, RFC 9701).
//!
//! 1. Only a well-formed response counts. If the server fails, refuses the gateway or sends anything
//!    else, the token is neither active nor inactive, and the client is not at fault: 503.
//! 2. The claims of an active response are checked like those of a JWT: issuer, audience, times,
//!    type, sender constraint.
//! 3. A response is cached for `cache_ttl` at most, which is how long a revoked token may still
//!    pass; an inactive one for `negative_ttl`; a failure never. `Cache-Control` counts for phantom
//!    tokens only: servers send `no-store` with every other response, for shared caches, and RFC 7662
//!    §4 leaves the lifetime to the resource server.
//! 4. Requests run on the control plane: one for all clients with the same token, whichever of them
//!    disconnects.
//! 5. The gateways of a fleet share responses about active tokens.
//!
//! - `lookup`: sends a request, judges the response and caches the outcome
//! - `coalescing`: requests in flight, their limits, and recent inactive responses
//! - `shared`: responses that the gateways of a fleet share
//! - `client`: sends one request; `response`: what a response must look like
//! - `credentials`, `client_authentication`, `own_token`: how the gateway authenticates itself
//! - `circuit_breaker`: limits requests to a failing server; `probe`: finds when it is back

mod circuit_breaker;
mod client;
mod client_authentication;
mod coalescing;
mod credentials;
mod error;
mod lookup;
mod own_token;
mod probe;
mod response;
mod shared;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::cache::TokenCache;
use super::error::{OVERLOAD_RETRY_AFTER, RETRY_AFTER, VerifyError};
use super::failures::Failures;
use super::jwt::Signer;
use super::report::IntrospectionReport;
use super::settings::IssuerSettings;
use super::verified_token::VerifiedToken;
use crate::clock;
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, Expectation, ExpectedAudience, RuleSet};
use crate::revocation::Revocations;
use crate::telemetry::metrics::{Counter, Histogram};

pub use client::IntrospectionClient;
pub use client_authentication::{Assertions, ClientAuthentication, UnusableKey, basic_credentials};
pub use credentials::Credentials;
pub use own_token::ClientCredentialsToken;
pub use response::ResponseFormat;
pub use shared::{
    FoundResponse, ResponseName, ResponseQuery, SharedResponses, SharedResponsesReport,
};

use circuit_breaker::{CircuitBreaker, CircuitPermit};
use coalescing::{LookupEntry, RequestCoalescer, VerificationResult};
use shared::SharedLookup;

/// Bytes of a response. There may be hundreds at a time, so they are smaller than documents.
const MAX_RESPONSE: usize = 128 * 1024;

/// The settings of introspection at one authorization server.
pub struct IntrospectionSettings {
    /// What an active response must say.
    pub expectation: Expectation,
    /// How long an active token is cached at most.
    pub cache_ttl: Duration,
    /// How long an inactive token is refused without another request.
    pub negative_ttl: Duration,
    /// Whether a token in use is introspected again before its cache entry ends.
    pub refresh_ahead: bool,
    /// How many requests may be in flight.
    pub max_in_flight: usize,
    /// The timeout of a request, with all that it takes to send it.
    pub timeout: Duration,
    /// What a response depends on beside the token: the server, its endpoint, the gateway as a client
    /// and the format. The gateways of a fleet share responses for which this is equal.
    pub response_scope: Arc<[String]>,
}

/// Introspects tokens at one authorization server.
pub struct Introspection {
    settings: IntrospectionSettings,
    client: IntrospectionClient,
    jwt_expectation: Expectation,
    coalescer: Arc<RequestCoalescer>,
    circuit_breaker: CircuitBreaker,
    failures: Failures,
    succeeded: Counter,
    failed: Counter,
    durations: Histogram,
    /// The control plane, once it has started.
    control_plane: OnceLock<ControlPlane>,
}

/// Where requests are sent.
struct ControlPlane {
    runtime: Handle,
    /// What the fleet shares; none without one.
    shared: Option<Arc<SharedResponses>>,
}

/// A token to introspect.
pub(super) struct IntrospectionRequest {
    pub(super) issuer: Arc<IssuerSettings>,
    pub(super) token: Zeroizing<String>,
    /// The outcome of the local checks.
    pub(super) local: LocalVerification,
    /// The epoch before any check.
    pub(super) epoch: u64,
    pub(super) now: UnixTime,
    pub(super) cache: Arc<TokenCache>,
    /// The rules whose outcomes the token remembers.
    pub(super) rules: Arc<RuleSet>,
    /// What is revoked, if anything can be.
    pub(super) revocations: Option<Arc<Revocations>>,
}

/// What became of renewing a cache entry.
pub(super) enum Renewed {
    /// A request was sent, with this outcome.
    Now(VerificationResult),
    /// No request may be sent now.
    Postponed,
    /// Another request has renewed it, or is about to.
    ByOthers,
}

/// The outcome of the checks before introspection.
pub(super) enum LocalVerification {
    /// No signature was verified. What a JWT says of itself may only limit what the response says.
    Unsigned { jwt: Option<ActiveToken> },
    /// The signature was verified.
    Signed { token: ActiveToken, signer: Signer },
}

impl LocalVerification {
    /// What the token says of itself, if it is a JWT. A response may add to it, but not lift its
    /// limits: its audience and its end.
    fn jwt(&self) -> Option<&ActiveToken> {
        match self {
            Self::Unsigned { jwt } => jwt.as_ref(),
            Self::Signed { token, .. } => Some(token),
        }
    }
}

impl Introspection {
    /// Introspection with these settings. [`start`](Self::start) starts it.
    #[must_use]
    pub fn new(settings: IntrospectionSettings, client: IntrospectionClient) -> Self {
        Self {
            jwt_expectation: without_optional_claims(settings.expectation.clone()),
            coalescer: RequestCoalescer::new(settings.max_in_flight),
            settings,
            client,
            circuit_breaker: CircuitBreaker::default(),
            failures: Failures::default(),
            succeeded: Counter::default(),
            failed: Counter::default(),
            durations: Histogram::default(),
            control_plane: OnceLock::new(),
        }
    }

    /// Sends requests on the current runtime, and shares their responses with a fleet. The endpoint is
    /// discovered at once, so that a fault is logged at the start and not with the first token.
    pub fn start(self: &Arc<Self>, shared: Option<&Arc<SharedResponses>>) {
        let control_plane = ControlPlane {
            runtime: Handle::current(),
            shared: shared.map(Arc::clone),
        };
        // Called again, it is the same runtime.
        let _ = self.control_plane.set(control_plane);
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let issuer = &this.settings.expectation.issuer_name;
            let IntrospectionClient {
                endpoint,
                http,
                credentials,
                ..
            } = &this.client;
            match endpoint.url(http).await {
                Ok(url) => {
                    tracing::info!(%issuer, %url, authentication = ?credentials, "introspection endpoint found")
                }
                Err(error) => {
                    tracing::error!(%issuer, %error, "introspection endpoint not found")
                }
            }
        });
    }

    /// The current state.
    #[must_use]
    pub fn report(&self) -> IntrospectionReport {
        IntrospectionReport {
            succeeded: self.succeeded.read(),
            failed: self.failed.read(),
            durations: self.durations.read(),
            failures: self.failures.report(),
            is_circuit_closed: !self.circuit_breaker.is_open(),
        }
    }

    /// The claims that an active response must have.
    pub(super) fn expectation(&self) -> &Expectation {
        &self.settings.expectation
    }

    /// The claims that a JWT must have to be introspected, if its signature is not verified.
    pub(super) fn jwt_expectation(&self) -> &Expectation {
        &self.jwt_expectation
    }

    /// Introspects a token. Concurrent calls for one token share a request. `known` looks for a cache
    /// entry that was inserted meanwhile.
    pub(super) async fn verify(
        self: &Arc<Self>,
        request: IntrospectionRequest,
        client: IpAddr,
        known: impl FnOnce() -> Option<Arc<VerifiedToken>>,
    ) -> VerificationResult {
        let Some(control_plane) = self.control_plane.get() else {
            return Err(self.unavailable("no introspection request was sent".to_owned(), None));
        };
        let digest = self.coalescer.digest(&request.token);
        let mut outcome =
            match self
                .coalescer
                .join_or_start(digest, client, request.now, known, || self.admit(client))
            {
                LookupEntry::Known(outcome) => return *outcome,
                LookupEntry::Full => {
                    return Err(VerifyError::Overloaded {
                        bound: "introspection requests in flight (max_in_flight)",
                        retry_after: OVERLOAD_RETRY_AFTER,
                    });
                }
                LookupEntry::Joined(outcome) => outcome,
                LookupEntry::Started(started, permit) => {
                    let outcome = started.outcome();
                    let lookup = Arc::clone(self).look_up(request, started, permit);
                    control_plane.runtime.spawn(lookup);
                    outcome
                }
            };
        let outcome = match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The control plane has stopped.
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| Err(self.unavailable("shutting down".to_owned(), None)))
    }

    /// The runtime that requests are sent on, once there is one.
    pub(super) fn runtime(&self) -> Option<&Handle> {
        let control_plane = self.control_plane.get()?;
        Some(&control_plane.runtime)
    }

    fn shared(&self) -> Option<&Arc<SharedResponses>> {
        let shared = self.control_plane.get()?.shared.as_ref();
        // A response that is not cached is not shared either.
        shared.filter(|_| !self.settings.cache_ttl.is_zero())
    }

    /// Sends a request for a cache entry that is about to end, unless there is a `newer` one, or
    /// another gateway of the fleet does; on the control plane. The entry `ends` then.
    pub(super) async fn renew(
        self: &Arc<Self>,
        request: IntrospectionRequest,
        ends: UnixTime,
        client: IpAddr,
        newer: impl FnOnce() -> Option<Arc<VerifiedToken>>,
    ) -> Renewed {
        let claim = Some(self.claim());
        let found = match self.find_shared(&request, ends, claim).await {
            SharedLookup::Found(found) => Some(found),
            SharedLookup::Missing => None,
            SharedLookup::Expected => return Renewed::Postponed,
        };
        let digest = self.coalescer.digest(&request.token);
        let admit = || self.admit(client);
        match self
            .coalescer
            .join_or_start(digest, client, request.now, newer, admit)
        {
            LookupEntry::Started(started, permit) => {
                let outcome = started.outcome();
                let this = Arc::clone(self);
                match found {
                    Some(found) => this.conclude(Ok(found), request, started),
                    None => this.ask(request, started, permit).await,
                }
                let outcome = outcome.borrow().clone();
                outcome.map_or(Renewed::ByOthers, Renewed::Now)
            }
            LookupEntry::Full => Renewed::Postponed,
            LookupEntry::Known(outcome)
                if matches!(*outcome, Err(VerifyError::Unavailable { .. })) =>
            {
                Renewed::Postponed
            }
            LookupEntry::Known(_) | LookupEntry::Joined(_) => Renewed::ByOthers,
        }
    }

    fn admit(&self, client: IpAddr) -> Result<CircuitPermit, VerifyError> {
        self.circuit_breaker
            .admit(client, clock::now())
            .map_err(|rest| self.unavailable(self.explain_suspension(), Some(rest)))
    }

    fn unavailable(&self, cause: String, retry_after: Option<Duration>) -> VerifyError {
        VerifyError::Unavailable {
            issuer: Arc::clone(&self.settings.expectation.issuer_name),
            retry_after: retry_after.unwrap_or(RETRY_AFTER),
            cause,
        }
    }
}

// Claims that a JWT lacks may be in the introspection response.
fn without_optional_claims(expectation: Expectation) -> Expectation {
    let audience = match expectation.audience {
        ExpectedAudience::Any => ExpectedAudience::Any,
        ExpectedAudience::OneOf { names, .. } => ExpectedAudience::OneOf {
            names,
            required: false,
        },
    };
    Expectation {
        audience,
        required_claims: Vec::new(),
        claim_rules: Vec::new(),
        ..expectation
    }
}

impl std::fmt::Debug for Introspection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introspection")
            .field("endpoint", &self.client.endpoint)
            .field("credentials", &self.client.credentials)
            .finish_non_exhaustive()
    }
}

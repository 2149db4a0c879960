//! Tokens that only their authorization server understands, judged by asking it (RFC 7662, RFC 9701).
//!
//! 1. Only a clear answer counts. A server that fails, refuses the gateway or says something else leaves it open whether
//!    the token is good, and that is no fault of the client's.
//! 2. What an active answer says is judged as the claims of a JWT are: issuer, audience, times, kind, binding.
//! 3. A fact is kept no longer than `cache_ttl`, which is how long a revoked token may still pass; a refusal for
//!    `negative_ttl`; a failure not at all. `Cache-Control` counts for phantom tokens only: servers put `no-store` on every
//!    other answer, for the sake of caches between us, and RFC 7662 §4 leaves it to us how long one is believed.
//! 4. Questions are asked on the control plane: one for all who have the same token, whoever of them hangs up.
//!
//! - `lookups`: which questions are under way, how many there may be, and what was refused a moment ago
//! - `ask`: one question, and what an answer must look like
//! - `credentials`, `own_token`: how the gateway shows who asks
//! - `breaker`: a server that is down is asked rarely; `probe`: how it is found to be back

mod circuit_breaker;
mod client;
mod client_authentication;
mod credentials;
mod error;
mod lookups;
mod own_token;
mod probe;
mod response;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::cache::TokenCache;
use super::error::{RETRY_AFTER, VerifyError, invalid};
use super::failures::Failures;
use super::jwt::Signer;
use super::report::IntrospectionReport;
use super::settings::IssuerSettings;
use super::verified_token::{Basis, VerifiedToken, replacement};
use crate::clock;
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, ClaimsError, Expectation, ExpectedAudience};
use crate::telemetry::numbers::{Counter, Durations};

pub use client::IntrospectionClient;
pub use client_authentication::{Assertions, ClientAuthentication, UnusableKey};
pub use credentials::Credentials;
pub use own_token::OwnToken;
pub use response::ResponseFormat;

use circuit_breaker::{Admission, CircuitBreaker, Suspension};
use error::IntrospectionError;
use lookups::{Begun, Entry, Lookups, Outcome};
use response::TokenState;

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
}

/// Asks one authorization server.
pub struct Introspection {
    settings: IntrospectionSettings,
    client: IntrospectionClient,
    expected_of_jwt: Expectation,
    lookups: Arc<Lookups>,
    breaker: CircuitBreaker,
    failures: Failures,
    answered: Counter,
    failed: Counter,
    durations: Durations,
    /// The control plane, once it is there.
    control_plane: OnceLock<Handle>,
}

/// A question about a token.
pub(super) struct IntrospectionRequest {
    pub(super) issuer: Arc<IssuerSettings>,
    pub(super) token: Zeroizing<String>,
    /// What the token says of itself.
    pub(super) own: Own,
    /// The epoch before anything was asked.
    pub(super) epoch: u64,
    pub(super) now: UnixTime,
    pub(super) cache: Arc<TokenCache>,
}

/// What became of renewing a cache entry.
pub(super) enum Renewed {
    /// A request was sent, with this outcome.
    Now(Outcome),
    /// No request may be sent now.
    Postponed,
    /// Another request has renewed it, or is about to.
    ByOthers,
}

/// What a token says of itself.
pub(super) enum Own {
    /// Nothing that was verified; where it is a JWT, it may set its own end.
    Unsigned { expires_at: Option<UnixTime> },
    /// What its signature is good for.
    Signed { token: ActiveToken, signer: Signer },
}

impl Own {
    fn expires_at(&self) -> Option<UnixTime> {
        match self {
            Self::Unsigned { expires_at } => *expires_at,
            Self::Signed { token, .. } => token.expires_at(),
        }
    }
}

impl Introspection {
    /// Asks by these settings, once [`attend`](Self::attend) is called.
    #[must_use]
    pub fn new(settings: IntrospectionSettings, client: IntrospectionClient) -> Self {
        Self {
            expected_of_jwt: before_asking(settings.expectation.clone()),
            lookups: Lookups::new(settings.max_in_flight),
            settings,
            client,
            breaker: CircuitBreaker::default(),
            failures: Failures::default(),
            answered: Counter::default(),
            failed: Counter::default(),
            durations: Durations::default(),
            control_plane: OnceLock::new(),
        }
    }

    /// From now on questions are asked on the runtime that this is called on. What can be found out before the first one
    /// is told at once: somebody may be watching the log of a start.
    pub fn attend(self: &Arc<Self>) {
        // Called again, it is the same runtime.
        let _ = self.control_plane.set(Handle::current());
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
                    tracing::info!(%issuer, %url, authentication = ?credentials, "tokens are asked about")
                }
                Err(error) => {
                    tracing::error!(%issuer, %error, "cannot ask the authorization server about tokens yet")
                }
            }
        });
    }

    /// What has come of asking so far.
    #[must_use]
    pub fn report(&self) -> IntrospectionReport {
        IntrospectionReport {
            answered: self.answered.read(),
            failed: self.failed.read(),
            durations: self.durations.read(),
            failures: self.failures.report(),
            is_asked: !self.breaker.is_open(),
        }
    }

    /// What an active answer must say.
    pub(super) fn expectation(&self) -> &Expectation {
        &self.settings.expectation
    }

    /// What a JWT must say of itself to be asked about at all, where its signature is not verified here.
    pub(super) fn expected_of_jwt(&self) -> &Expectation {
        &self.expected_of_jwt
    }

    /// Finds out what the server says of a token; waits for it, but asks only where nobody else does already. `known` looks
    /// for a fact that came in this very moment.
    pub(super) async fn verify(
        self: &Arc<Self>,
        question: IntrospectionRequest,
        client: IpAddr,
        known: impl FnOnce() -> Option<Arc<VerifiedToken>>,
    ) -> Outcome {
        let Some(control_plane) = self.control_plane.get() else {
            return Err(self.unavailable("its server was not asked".to_owned(), None));
        };
        let digest = self.lookups.digest(&question.token);
        let mut outcome = match self
            .lookups
            .enter(digest, client, question.now, known, || self.admit(client))
        {
            Entry::Known(outcome) => return *outcome,
            Entry::Full => {
                return Err(VerifyError::Overloaded {
                    bound: "questions under way (max_in_flight)",
                });
            }
            Entry::Joined(outcome) => outcome,
            Entry::Begun(begun, admission) => {
                let outcome = begun.outcome();
                control_plane.spawn(Arc::clone(self).look_up(question, begun, admission));
                outcome
            }
        };
        let outcome = match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            // The control plane has stopped.
            Err(_) => None,
        };
        outcome.unwrap_or_else(|| Err(self.unavailable("stopping".to_owned(), None)))
    }

    /// The runtime that requests are sent on, once there is one.
    pub(super) fn control_plane(&self) -> Option<&Handle> {
        self.control_plane.get()
    }

    /// Sends a request for a cache entry that is about to end, unless there is a `newer` one; on the control plane.
    pub(super) async fn renew(
        self: &Arc<Self>,
        request: IntrospectionRequest,
        client: IpAddr,
        newer: impl FnOnce() -> Option<Arc<VerifiedToken>>,
    ) -> Renewed {
        let digest = self.lookups.digest(&request.token);
        let admit = || self.admit(client);
        match self
            .lookups
            .enter(digest, client, request.now, newer, admit)
        {
            Entry::Begun(begun, admission) => {
                let outcome = begun.outcome();
                Arc::clone(self).look_up(request, begun, admission).await;
                let outcome = outcome.borrow().clone();
                outcome.map_or(Renewed::ByOthers, Renewed::Now)
            }
            Entry::Full => Renewed::Postponed,
            Entry::Known(outcome) if matches!(*outcome, Err(VerifyError::Unavailable { .. })) => {
                Renewed::Postponed
            }
            Entry::Known(_) | Entry::Joined(_) => Renewed::ByOthers,
        }
    }

    fn admit(&self, client: IpAddr) -> Result<Admission, VerifyError> {
        self.breaker
            .admit(client, clock::now())
            .map_err(|rest| self.unavailable(self.why_not_asked(), Some(rest)))
    }

    // Keeps what comes of it before it tells it: who comes next finds the one or the other.
    async fn look_up(
        self: Arc<Self>,
        question: IntrospectionRequest,
        begun: Begun,
        admission: Admission,
    ) {
        let began = clock::now();
        let said =
            self.client
                .introspect(&question.token, &question.issuer.token_types, question.now);
        let said = tokio::time::timeout(self.settings.timeout, said)
            .await
            .unwrap_or(Err(IntrospectionError::TooSlow));
        self.count(clock::since(began), said.as_ref().err());
        self.tell_breaker(said.as_ref().err(), admission, question.now);
        let now = question.now;
        let (cache, digest) = (Arc::clone(&question.cache), begun.digest());
        let outcome = match said {
            Ok(said) => self.judge(said, question),
            Err(IntrospectionError::Conflict { .. }) => Err(VerifyError::Conflict),
            Err(error) => Err(self.unavailable(error.to_string(), None)),
        };
        match &outcome {
            Ok(fact) if fact.is_fresh(now) => cache.keep(fact),
            Err(VerifyError::Invalid { reason, .. }) => {
                self.lookups
                    .refuse(digest, reason, now.later_by(self.settings.negative_ttl));
            }
            Ok(_)
            | Err(
                VerifyError::TooLarge { .. }
                | VerifyError::Unavailable { .. }
                | VerifyError::Overloaded { .. }
                | VerifyError::Conflict,
            ) => {}
        }
        begun.end(outcome);
    }

    fn judge(&self, said: TokenState, question: IntrospectionRequest) -> Outcome {
        let IntrospectionRequest {
            issuer,
            token: text,
            own,
            epoch,
            now,
            ..
        } = question;
        let mut kept_for = self.settings.cache_ttl;
        let expected = &self.settings.expectation;
        let mut signers: Vec<Signer> = Vec::new();
        let (token, replacement) = match said {
            TokenState::Inactive => {
                return Err(invalid(
                    "inactive",
                    "the authorization server says that it is not active".to_owned(),
                ));
            }
            TokenState::Active { claims, signer } => {
                signers.extend(signer);
                let claims = match &own {
                    Own::Signed { token, .. } => claims.over(token, &expected.scope_claims),
                    Own::Unsigned { .. } => claims,
                };
                (self.judged(claims.check(expected, now))?, None)
            }
            TokenState::Phantom(phantom) => {
                kept_for = phantom
                    .fresh_for
                    .map_or(kept_for, |fresh_for| fresh_for.min(kept_for));
                signers.push(phantom.signer);
                (
                    self.judged(phantom.claims.check(&issuer.expectation, now))?,
                    replacement(&phantom.jwt),
                )
            }
        };
        // Whatever the server says, the token ends when it says so itself.
        let token = token.ending_by(own.expires_at());
        if let Own::Signed { signer, .. } = own {
            signers.push(signer);
        }
        let basis = Basis {
            issuer,
            signers,
            epoch,
            kept_for,
            is_renewed_ahead: self.settings.refresh_ahead,
        };
        Ok(VerifiedToken::new(&text, token, replacement, basis, now))
    }

    // Claims that are none, such as a time in a string, are the server's mistake and not the token's.
    fn judged(
        &self,
        outcome: Result<ActiveToken, ClaimsError>,
    ) -> Result<ActiveToken, VerifyError> {
        outcome.map_err(|error| {
            if error.is_malformed() {
                self.unavailable(
                    format!("an answer that cannot be understood: {error}"),
                    None,
                )
            } else {
                error.into()
            }
        })
    }

    // For the log and the metrics.
    fn count(&self, took: Duration, error: Option<&IntrospectionError>) {
        self.durations.count(took);
        let issuer = &self.settings.expectation.issuer_name;
        match error {
            None | Some(IntrospectionError::Conflict { .. }) => {
                self.answered.count();
                if self.failures.is_over() {
                    tracing::info!(%issuer, "the authorization server tells about tokens again");
                }
            }
            Some(error) => {
                self.failed.count();
                if let Some(failures) = self.failures.count(error.to_string()) {
                    tracing::error!(%issuer, %error, failures, "cannot ask the authorization server about tokens");
                }
            }
        }
    }

    fn tell_breaker(
        self: &Arc<Self>,
        error: Option<&IntrospectionError>,
        admission: Admission,
        now: UnixTime,
    ) {
        let Some(outage) = error.and_then(IntrospectionError::outage) else {
            return self.breaker.answered(admission);
        };
        let issuer = &self.settings.expectation.issuer_name;
        match self.breaker.failed(admission, outage, clock::now()) {
            Some(Suspension::Server(opened)) => {
                tracing::warn!(%issuer, "introspection suspended: the server is probed until it can be reached");
                tokio::spawn(Self::probe(Arc::downgrade(self), opened, now));
            }
            // It may be one of many, each time that it tries.
            Some(Suspension::Client(time)) => {
                tracing::debug!(%issuer, ?time, "introspection suspended for one client")
            }
            None => {}
        }
    }

    fn why_not_asked(&self) -> String {
        let why =
            "its server has failed again and again, and is asked about no new token for up to 2 s";
        self.failures
            .report()
            .map_or_else(|| why.to_owned(), |failures| format!("{why}: {failures}"))
    }

    fn unavailable(&self, cause: String, retry_after: Option<Duration>) -> VerifyError {
        VerifyError::Unavailable {
            issuer: Arc::clone(&self.settings.expectation.issuer_name),
            retry_after: retry_after.unwrap_or(RETRY_AFTER),
            cause,
        }
    }
}

// What it leaves out may come with the answer.
fn before_asking(expectation: Expectation) -> Expectation {
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

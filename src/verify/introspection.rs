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

mod ask;
mod breaker;
mod credentials;
mod lookups;
mod own_token;
mod probe;

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::cache::TokenCache;
use super::discovery::Endpoint;
use super::fact::{Basis, Verified, replacement};
use super::failures::Failures;
use super::issuer::{Issuer, Keys};
use super::jwt::Signer;
use super::renewal::Renewal;
use super::report::QuestionsReport;
use super::{VerifyError, invalid};
use crate::clock;
use crate::http_client::HttpClient;
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, ClaimsError, Expectation, ExpectedAudience};
use crate::telemetry::numbers::{Counter, Durations};

pub use credentials::{Assertions, ClientAuthentication, Credentials, UnusableKey};
pub use own_token::OwnToken;

use ask::{AskError, Said};
use breaker::{Admission, Breaker, Suspension};
use lookups::{Begun, Entry, Lookups, Outcome};

/// How an authorization server is asked about its tokens.
pub struct Settings {
    /// Where.
    pub endpoint: Endpoint,
    /// With what.
    pub http: HttpClient,
    /// As whom.
    pub credentials: Credentials,
    /// What answers are taken.
    pub accepted: Accepted,
    /// What an active answer must say.
    pub expectation: Expectation,
    /// Whether the server's 409 is the client's to hear of (MobileFirst).
    pub conflict: bool,
    /// How long what it says of an active token is kept at most.
    pub cache_ttl: Duration,
    /// How long a token is refused without asking again.
    pub negative_ttl: Duration,
    /// Whether a token in use is asked about again before its answer ends.
    pub refresh_ahead: bool,
    /// How many tokens may be asked about at once.
    pub max_in_flight: usize,
    /// How long a question may take, with all that it takes to ask it.
    pub patience: Duration,
}

/// What answers are taken.
#[derive(Debug)]
pub enum Accepted {
    /// JSON (RFC 7662 §2.2).
    Json,
    /// A JWT that the server has signed (RFC 9701).
    Signed {
        /// With which of these.
        keys: Keys,
        /// Of which its `aud` must name one.
        recipients: Vec<String>,
    },
    /// A JWT that stands for the token and is sent on in its place.
    Phantom {
        /// What it is signed with.
        keys: Keys,
    },
}

/// Asks one authorization server.
pub struct Introspection {
    settings: Settings,
    expected_of_jwt: Expectation,
    lookups: Arc<Lookups>,
    breaker: Breaker,
    failures: Failures,
    answered: Counter,
    failed: Counter,
    durations: Durations,
    /// The control plane, once it is there.
    control_plane: OnceLock<Handle>,
}

/// A question about a token.
pub(super) struct Question {
    pub(super) issuer: Arc<Issuer>,
    pub(super) token: Zeroizing<String>,
    /// What the token says of itself.
    pub(super) own: Own,
    /// The epoch before anything was asked.
    pub(super) epoch: u64,
    pub(super) now: UnixTime,
    pub(super) cache: Arc<TokenCache>,
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
    pub fn new(settings: Settings) -> Self {
        Self {
            expected_of_jwt: before_asking(settings.expectation.clone()),
            lookups: Lookups::new(settings.max_in_flight),
            settings,
            breaker: Breaker::default(),
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
            let Settings {
                expectation,
                endpoint,
                http,
                credentials,
                ..
            } = &this.settings;
            let issuer = &expectation.issuer_name;
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
    pub fn report(&self) -> QuestionsReport {
        QuestionsReport {
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
        question: Question,
        client: IpAddr,
        known: impl FnOnce() -> Option<Arc<Verified>>,
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

    /// Asks for an answer once more, in the background and only where a question may be asked.
    pub(super) fn renew(self: &Arc<Self>, renewal: Renewal) {
        // A fact came of an answer, so there is one.
        if let Some(control_plane) = self.control_plane.get() {
            control_plane.spawn(Arc::clone(self).look_up_again(renewal));
        }
    }

    async fn look_up_again(self: Arc<Self>, renewal: Renewal) {
        let Some(question) = renewal.question(&self) else {
            return;
        };
        let digest = self.lookups.digest(&question.token);
        let admit = || self.admit(renewal.client);
        match self.lookups.enter(
            digest,
            renewal.client,
            renewal.now,
            || renewal.newer(),
            admit,
        ) {
            Entry::Begun(begun, admission) => {
                let outcome = begun.outcome();
                self.look_up(question, begun, admission).await;
                if let Some(outcome) = &*outcome.borrow() {
                    renewal.conclude(outcome);
                }
            }
            Entry::Full => renewal.postpone(),
            Entry::Known(outcome) if matches!(*outcome, Err(VerifyError::Unavailable { .. })) => {
                renewal.postpone()
            }
            // Somebody else has found out, or is about to.
            Entry::Known(_) | Entry::Joined(_) => {}
        }
    }

    fn admit(&self, client: IpAddr) -> Result<Admission, VerifyError> {
        self.breaker
            .admit(client, clock::now())
            .map_err(|rest| self.unavailable(self.why_not_asked(), Some(rest)))
    }

    // Keeps what comes of it before it tells it: who comes next finds the one or the other.
    async fn look_up(self: Arc<Self>, question: Question, begun: Begun, admission: Admission) {
        let began = clock::now();
        let said = self
            .settings
            .ask(&question.token, &question.issuer.token_types, question.now);
        let said = tokio::time::timeout(self.settings.patience, said)
            .await
            .unwrap_or(Err(AskError::TooSlow));
        self.count(clock::since(began), said.as_ref().err());
        self.tell_breaker(said.as_ref().err(), admission, question.now);
        let now = question.now;
        let (cache, digest) = (Arc::clone(&question.cache), begun.digest());
        let outcome = match said {
            Ok(said) => self.judge(said, question),
            Err(AskError::Conflict { .. }) => Err(VerifyError::Conflict),
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

    fn judge(&self, said: Said, question: Question) -> Outcome {
        let Question {
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
            Said::Inactive => {
                return Err(invalid(
                    "inactive",
                    "the authorization server says that it is not active".to_owned(),
                ));
            }
            Said::Active { claims, signer } => {
                signers.extend(signer);
                let claims = match &own {
                    Own::Signed { token, .. } => claims.over(token, &expected.scope_claims),
                    Own::Unsigned { .. } => claims,
                };
                (self.judged(claims.check(expected, now))?, None)
            }
            Said::Phantom(phantom) => {
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
        Ok(Verified::new(&text, token, replacement, basis, now))
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
    fn count(&self, took: Duration, error: Option<&AskError>) {
        self.durations.count(took);
        let issuer = &self.settings.expectation.issuer_name;
        match error {
            None | Some(AskError::Conflict { .. }) => {
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
        error: Option<&AskError>,
        admission: Admission,
        now: UnixTime,
    ) {
        let Some(outage) = error.and_then(AskError::outage) else {
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
            retry_after: retry_after.unwrap_or(super::RETRY_AFTER),
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
            .field("endpoint", &self.settings.endpoint)
            .field("credentials", &self.settings.credentials)
            .finish_non_exhaustive()
    }
}

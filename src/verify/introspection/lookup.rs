//! One lookup: sends its request, judges the response, and updates the cache, the circuit breaker and
//! the metrics.

use std::sync::Arc;
use std::time::Duration;

use super::circuit_breaker::{CircuitPermit, Suspension};
use super::coalescing::{StartedLookup, VerificationResult};
use super::error::IntrospectionError;
use super::response::TokenState;
use super::shared::{self, DatedResponse, ResponseName, SharedLookup};
use super::{Introspection, IntrospectionRequest, LocalVerification};
use crate::clock;
use crate::http_client::HttpResponse;
use crate::oauth::UnixTime;
use crate::oauth::claims::{ActiveToken, ClaimsError};
use crate::verify::error::{VerifyError, invalid};
use crate::verify::jwt::Signer;
use crate::verify::settings::IssuerSettings;
use crate::verify::verified_token::{
    VerificationBasis, VerifiedToken, renewal_window, replacement,
};

/// A response, and until when it counts.
pub(super) struct CurrentState {
    state: TokenState,
    expires: UnixTime,
}

impl Introspection {
    /// Completes a lookup by a response to another gateway of the fleet, or by a request.
    pub(super) async fn look_up(
        self: Arc<Self>,
        request: IntrospectionRequest,
        started: StartedLookup,
        permit: CircuitPermit,
    ) {
        match self.find_shared(&request, request.now, None).await {
            SharedLookup::Found(found) => self.conclude(Ok(found), request, started),
            SharedLookup::Missing | SharedLookup::Expected => {
                self.ask(request, started, permit).await;
            }
        }
    }

    /// Sends the request, and completes the lookup.
    pub(super) async fn ask(
        self: Arc<Self>,
        request: IntrospectionRequest,
        started: StartedLookup,
        permit: CircuitPermit,
    ) {
        let began = clock::now();
        let response = tokio::time::timeout(self.settings.timeout, self.send(&request))
            .await
            .unwrap_or(Err(IntrospectionError::TooSlow));
        self.record_request(clock::since(began), response.as_ref().err());
        self.update_circuit_breaker(response.as_ref().err(), permit, request.now);
        self.conclude(response, request, started);
    }

    async fn send(
        &self,
        request: &IntrospectionRequest,
    ) -> Result<CurrentState, IntrospectionError> {
        let (response, url) = self.client.fetch(&request.token, request.now).await?;
        let expires = self.expires(&response, request.now, &request.issuer);
        let shared = self.shared().and_then(|shared| {
            let value = shared::to_bytes(&response, request.now)?;
            Some((shared, value))
        });
        let types = &request.issuer.token_types;
        let state = self.client.read(response, url, types).await?;
        match (&state, shared) {
            (TokenState::Active { .. } | TokenState::PhantomToken(_), Some((shared, value))) => {
                shared.store(self.shared_name(request), expires, value);
            }
            (TokenState::Inactive, _) | (_, None) => {}
        }
        Ok(CurrentState { state, expires })
    }

    /// Looks for a response to another gateway that counts longer than until `after`. `claim`: see
    /// [`ResponseQuery::Find`](super::ResponseQuery::Find).
    pub(super) async fn find_shared(
        &self,
        request: &IntrospectionRequest,
        after: UnixTime,
        claim: Option<Duration>,
    ) -> SharedLookup<CurrentState> {
        let Some(shared) = self.shared() else {
            return SharedLookup::Missing;
        };
        let expires =
            |found: &DatedResponse| self.expires(&found.response, found.asked_at, &request.issuer);
        let found = shared
            .find(self.shared_name(request), claim, request.now, |found| {
                expires(found) > after
            })
            .await;
        let found = match found {
            SharedLookup::Found(found) => found,
            SharedLookup::Missing => return SharedLookup::Missing,
            SharedLookup::Expected => return SharedLookup::Expected,
        };
        let expires = expires(&found);
        let (url, types) = ("the fleet".to_owned(), &request.issuer.token_types);
        let read = self.client.read(found.response, url, types);
        match tokio::time::timeout(self.settings.timeout, read).await {
            Ok(Ok(state)) => SharedLookup::Found(CurrentState { state, expires }),
            // Such as a signature with a key that only the other gateway trusts.
            Ok(Err(_)) | Err(_) => SharedLookup::Missing,
        }
    }

    /// For how long one gateway alone renews an entry: it may take as long as the request, but less
    /// than until the next renewal.
    pub(super) fn claim(&self) -> Duration {
        renewal_window(self.settings.cache_ttl).min(self.settings.timeout)
    }

    fn shared_name(&self, request: &IntrospectionRequest) -> ResponseName {
        ResponseName::new(&self.settings.response_scope, &request.token)
    }

    fn expires(
        &self,
        response: &HttpResponse,
        asked_at: UnixTime,
        issuer: &IssuerSettings,
    ) -> UnixTime {
        let lifetime = self.client.format.lifetime(response);
        let max_age = self.settings.cache_ttl.min(issuer.cache_max_age);
        asked_at.later_by(lifetime.map_or(max_age, |lifetime| lifetime.min(max_age)))
    }

    /// Judges a response, and completes the lookup. The outcome is cached before that, so that the
    /// next request finds one of the two.
    pub(super) fn conclude(
        &self,
        response: Result<CurrentState, IntrospectionError>,
        request: IntrospectionRequest,
        started: StartedLookup,
    ) {
        let now = request.now;
        let (cache, digest) = (Arc::clone(&request.cache), started.digest());
        let outcome = match response {
            Ok(response) => self.judge(response, request),
            Err(IntrospectionError::Conflict { .. }) => Err(VerifyError::Conflict),
            Err(error) => Err(self.unavailable(error.to_string(), None)),
        };
        match &outcome {
            Ok(verified) if verified.is_fresh(now) => cache.insert(verified),
            Err(VerifyError::Invalid { reason, .. }) => {
                self.coalescer
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
        started.finish(outcome);
    }

    fn judge(&self, response: CurrentState, request: IntrospectionRequest) -> VerificationResult {
        let IntrospectionRequest {
            issuer,
            token: text,
            local,
            epoch,
            now,
            rules,
            revocations,
            ..
        } = request;
        let expected = &self.settings.expectation;
        let mut signers: Vec<Signer> = Vec::new();
        let (token, replacement) = match response.state {
            TokenState::Inactive => {
                let why = "the authorization server says that it is not active";
                return Err(invalid("inactive", why.to_owned()));
            }
            TokenState::Active { claims, signer } => {
                signers.extend(signer);
                let claims = match &local {
                    LocalVerification::Signed { token, .. } => {
                        claims.complete_from(token, &expected.scope_claims)
                    }
                    LocalVerification::Unsigned { .. } => claims,
                };
                (self.judged(claims.check(expected, now))?, None)
            }
            TokenState::PhantomToken(phantom) => {
                signers.push(phantom.signer);
                (
                    self.judged(phantom.claims.check(&issuer.expectation, now))?,
                    replacement(&phantom.jwt),
                )
            }
        };
        // The token's own `exp` and `aud` limit it, whatever the server says.
        let token = match local.jwt() {
            Some(jwt) => token
                .ending_by(jwt.expires_at())
                .limited_to_audience_of(jwt),
            None => token,
        };
        if let LocalVerification::Signed { signer, .. } = &local {
            signers.push(signer.clone());
        }
        let basis = VerificationBasis {
            issuer,
            signers,
            epoch,
            max_age: response.expires.since(now),
            refresh_ahead: self.settings.refresh_ahead,
            rules,
        };
        let verified = VerifiedToken::new(&text, token, local.jwt(), replacement, basis, now);
        // After the epoch was read: what is added from now on is noticed at the next use.
        verified.check_revoked(revocations.as_ref())?;
        Ok(verified)
    }

    // Malformed claims, such as a time in a string, are the server's fault and not the token's.
    fn judged(
        &self,
        outcome: Result<ActiveToken, ClaimsError>,
    ) -> Result<ActiveToken, VerifyError> {
        outcome.map_err(|error| {
            if error.is_malformed() {
                self.unavailable(format!("malformed introspection response: {error}"), None)
            } else {
                error.into()
            }
        })
    }

    // For the log and the metrics.
    pub(super) fn record_request(&self, duration: Duration, error: Option<&IntrospectionError>) {
        self.durations.record(duration);
        let issuer = &self.settings.expectation.issuer_name;
        match error {
            None | Some(IntrospectionError::Conflict { .. }) => {
                self.succeeded.count();
                if self.failures.record_success() {
                    tracing::info!(%issuer, "introspection recovered");
                }
            }
            Some(error) => {
                self.failed.count();
                if let Some(failures) = self.failures.record(error.to_string()) {
                    tracing::error!(%issuer, %error, failures, "introspection failed");
                }
            }
        }
    }

    fn update_circuit_breaker(
        self: &Arc<Self>,
        error: Option<&IntrospectionError>,
        permit: CircuitPermit,
        now: UnixTime,
    ) {
        let Some(outage) = error.and_then(IntrospectionError::outage) else {
            return self.circuit_breaker.record_success(permit);
        };
        let issuer = &self.settings.expectation.issuer_name;
        match self
            .circuit_breaker
            .record_failure(permit, outage, clock::now())
        {
            Some(Suspension::Server(opened)) => {
                tracing::warn!(%issuer, "introspection suspended");
                tokio::spawn(Self::probe(Arc::downgrade(self), opened, now));
            }
            // Debug level: many clients may be suspended many times.
            Some(Suspension::Client(time)) => {
                tracing::debug!(%issuer, suspended_for_seconds = time.as_secs_f64(), "introspection suspended for one client")
            }
            None => {}
        }
    }

    pub(super) fn explain_suspension(&self) -> String {
        let why = "introspection is suspended for up to 2 s after repeated failures";
        self.failures
            .report()
            .map_or_else(|| why.to_owned(), |failures| format!("{why}: {failures}"))
    }
}

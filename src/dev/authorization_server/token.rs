//! The token endpoint: access tokens for clients' own credentials (RFC 6749 §4.4).

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{AuthorizationServer, now};
use crate::dev::access_tokens::{Claims, random};
use crate::dev::request::{Parameters, RequestError};
use crate::dev::{Answer, json};
use crate::oauth::scope::{ScopeSet, check_scope_token};

/// What a client asks for (RFC 6749 §4.4.2).
struct TokenRequest<'p> {
    /// Scope-tokens; empty where none are asked for (RFC 6749 §3.3).
    scope: &'p str,
    audience: Option<&'p str>,
    /// `validity_period` in seconds, WSO2's name for it.
    lifetime: Option<Duration>,
}

/// A successful answer (RFC 6749 §5.1).
#[derive(Serialize)]
struct TokenAnswer<'p> {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: &'p str,
}

impl AuthorizationServer {
    pub(super) fn issue(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<Answer, RequestError> {
        let client = self.authenticate(headers, parameters)?;
        let request = TokenRequest::parse(parameters)?;
        check_scope(request.scope, &client.allowed_scope)?;

        let now = now();
        let lifetime = request.lifetime.unwrap_or(self.settings.token_lifetime);
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: client.id.clone(),
            client_id: client.id.clone(),
            aud: request
                .audience
                .unwrap_or(&self.settings.audience)
                .to_owned(),
            exp: now.later_by(lifetime).as_seconds(),
            iat: now.as_seconds(),
            jti: random::<16>()?,
            scope: request.scope.to_owned(),
        };
        let access_token = self.tokens.issue(&claims, now)?;
        tracing::debug!(
            client = client.id,
            scope = request.scope,
            "access token issued"
        );
        let expires_in = lifetime.as_secs();
        Ok(json(
            StatusCode::OK,
            &TokenAnswer {
                access_token,
                token_type: "Bearer",
                expires_in,
                scope: request.scope,
            },
        ))
    }
}

impl<'p> TokenRequest<'p> {
    fn parse(parameters: &'p Parameters) -> Result<Self, RequestError> {
        match parameters.get("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(RequestError::UnsupportedGrantType),
            None => {
                return Err(RequestError::InvalidRequest(
                    "expected the parameter grant_type",
                ));
            }
        }
        Ok(Self {
            scope: parameters.get("scope").unwrap_or_default(),
            audience: parameters.get("audience"),
            lifetime: parameters
                .get("validity_period")
                .map(parse_lifetime)
                .transpose()?,
        })
    }
}

fn parse_lifetime(text: &str) -> Result<Duration, RequestError> {
    match text.parse() {
        Ok(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        Ok(0) | Err(_) => Err(RequestError::InvalidRequest(
            "expected validity_period to be a positive number of seconds",
        )),
    }
}

// A requested `*` is a character like any other here. Only a wildcard can fit it, and a wildcard that does also fits
// whatever the requested one will stand for: no client is granted more than it is allowed.
fn check_scope(requested: &str, allowed: &ScopeSet) -> Result<(), RequestError> {
    for scope in requested.split(' ').filter(|_| !requested.is_empty()) {
        check_scope_token(scope).map_err(|_| {
            RequestError::InvalidScope("expected scope-tokens with one space between")
        })?;
        if !allowed.meets_literal(scope) {
            return Err(RequestError::InvalidScope(
                "expected scopes that this client is allowed",
            ));
        }
    }
    Ok(())
}

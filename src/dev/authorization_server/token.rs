//! The token endpoint: access tokens by the client credentials grant (RFC 6749 §4.4).

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{AuthorizationServer, now};
use crate::dev::access_tokens::{Claims, random_text};
use crate::dev::audience::Audience;
use crate::dev::error::RequestError;
use crate::dev::parameters::Parameters;
use crate::dev::{Response, json_response};
use crate::oauth::scope::{ScopeSet, check_scope_token};

/// An access token request (RFC 6749 §4.4.2).
struct TokenRequest<'p> {
    /// The requested scope-tokens, or empty (RFC 6749 §3.3).
    scope: &'p str,
    /// `audience` as several servers have it, and `resource` (RFC 8707).
    audience: Option<Audience>,
    /// `validity_period` in seconds, as in WSO2.
    lifetime: Option<Duration>,
}

/// A successful response (RFC 6749 §5.1).
#[derive(Serialize)]
struct TokenResponse<'p> {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    /// An empty text is no scope (RFC 6749 App. A.4). Without it, the requested scope is granted.
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'p str,
}

impl AuthorizationServer {
    pub(super) fn issue(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<Response, RequestError> {
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
                .unwrap_or_else(|| Audience::One(self.settings.audience.clone())),
            exp: now.later_by(lifetime).as_seconds(),
            iat: now.as_seconds(),
            jti: random_text::<16>()?,
            scope: request.scope.to_owned(),
        };
        let access_token = self.tokens.issue(&claims, now)?;
        tracing::debug!(
            client = client.id,
            scope = request.scope,
            "access token issued"
        );
        let expires_in = lifetime.as_secs();
        Ok(json_response(
            StatusCode::OK,
            &TokenResponse {
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
            audience: Audience::of(
                parameters
                    .get("audience")
                    .into_iter()
                    .chain(parameters.resources()?.iter().map(String::as_str)),
            ),
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

// A requested `*` is matched as a plain character. Only an allowed wildcard matches it, and that
// also matches everything that the granted `*` will match: no client gets more than it is allowed.
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

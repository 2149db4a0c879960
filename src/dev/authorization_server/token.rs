//! The token endpoint: access tokens by client credentials (RFC 6749 §4.4) and by authorization
//! codes (§4.1.3).
//!
//! There are no refresh tokens: a code costs one press of a button.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Serialize;

use super::{AuthorizationServer, now};
use crate::dev::access_tokens::{Claims, random_text};
use crate::dev::audience::Audience;
use crate::dev::authorization_codes::{AuthorizationRequest, Redemption, TokenId};
use crate::dev::clients::Client;
use crate::dev::error::RequestError;
use crate::dev::parameters::Parameters;
use crate::dev::{Response, json_response};
use crate::oauth::UnixTime;
use crate::oauth::scope::{ScopeSet, check_scope_token};

/// The subject of tokens by code: the person who pressed the button.
const USER: &str = "developer";

/// What a token says.
struct Grant<'g> {
    subject: &'g str,
    client: &'g Client,
    /// Scope-tokens, or empty (RFC 6749 §3.3).
    scope: &'g str,
    audience: Option<Audience>,
    lifetime: Duration,
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
        let now = now();
        let client = self.authenticate(headers, parameters, now)?;
        match parameters.get("grant_type") {
            Some("client_credentials") => self.grant_to_client(&client, parameters, now),
            Some("authorization_code") => self.redeem_code(&client, parameters, now),
            Some(_) => Err(RequestError::UnsupportedGrantType),
            None => Err(RequestError::InvalidRequest(
                "expected the parameter grant_type",
            )),
        }
    }

    fn grant_to_client(
        &self,
        client: &Client,
        parameters: &Parameters,
        now: UnixTime,
    ) -> Result<Response, RequestError> {
        // Nobody gave consent to a registered client (RFC 6749 §4.4.2 for public ones).
        if !client.is_of_file() {
            return Err(RequestError::UnauthorizedClient(
                "expected a client of the configuration file for client_credentials",
            ));
        }
        let scope = parameters.get("scope").unwrap_or_default();
        check_scope(scope, &client.allowed_scope)?;
        // `audience` as several servers have it, and `validity_period` in seconds, as in WSO2.
        let audiences = parameters.get("audience").into_iter();
        let audiences = audiences.chain(parameters.resources()?.iter().map(String::as_str));
        let lifetime = parameters.get("validity_period").map(parse_lifetime);
        let grant = Grant {
            subject: &client.id,
            client,
            scope,
            audience: Audience::of(audiences),
            lifetime: lifetime
                .transpose()?
                .unwrap_or(self.settings.token_lifetime),
        };
        self.respond_with(grant, random_text::<16>()?, now)
    }

    /// Redeems an authorization code (RFC 6749 §4.1.3). Every attempt ends the code, so that nobody
    /// can try verifiers.
    fn redeem_code(
        &self,
        client: &Client,
        parameters: &Parameters,
        now: UnixTime,
    ) -> Result<Response, RequestError> {
        let code = parameters
            .get("code")
            .ok_or(RequestError::InvalidRequest("expected the parameter code"))?;
        let lifetime = self.settings.token_lifetime;
        let token = TokenId {
            jti: random_text::<16>()?,
            expires_at: now.later_by(lifetime),
        };
        let jti = token.jti.clone();
        let request = match self.codes.redeem(code, token, now) {
            Some(Redemption::Granted(request)) => request,
            Some(Redemption::Repeated(first)) => {
                self.tokens.revoke_by_jti(&first.jti, first.expires_at, now);
                return Err(UNUSABLE_CODE);
            }
            None => return Err(UNUSABLE_CODE),
        };
        check_binding(&request, client, parameters)?;
        let resources = granted_resources(&request, parameters)?;
        let grant = Grant {
            subject: USER,
            client,
            scope: &request.scope,
            audience: Audience::of(resources.iter().map(String::as_str)),
            lifetime,
        };
        self.respond_with(grant, jti, now)
    }

    fn respond_with(
        &self,
        grant: Grant<'_>,
        jti: String,
        now: UnixTime,
    ) -> Result<Response, RequestError> {
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: grant.subject.to_owned(),
            client_id: grant.client.id.clone(),
            aud: grant
                .audience
                .unwrap_or_else(|| Audience::One(self.settings.audience.clone())),
            exp: now.later_by(grant.lifetime).as_seconds(),
            iat: now.as_seconds(),
            jti,
            scope: grant.scope.to_owned(),
        };
        let access_token = self.tokens.issue(&claims, now)?;
        tracing::debug!(
            client = grant.client.id,
            scope = grant.scope,
            "access token issued"
        );
        Ok(json_response(
            StatusCode::OK,
            &TokenResponse {
                access_token,
                token_type: "Bearer",
                expires_in: grant.lifetime.as_secs(),
                scope: grant.scope,
            },
        ))
    }
}

const UNUSABLE_CODE: RequestError =
    RequestError::InvalidGrant("expected a code that is at most a minute old and was not used");

/// A code is bound to the client, the redirect URI and the verifier (RFC 6749 §4.1.3, RFC 7636
/// §4.6).
fn check_binding(
    request: &AuthorizationRequest,
    client: &Client,
    parameters: &Parameters,
) -> Result<(), RequestError> {
    if request.client.id != client.id {
        return Err(RequestError::InvalidGrant(
            "expected a code that was issued to this client",
        ));
    }
    if parameters.get("redirect_uri") != Some(request.redirect_uri.as_str()) {
        return Err(RequestError::InvalidGrant(
            "expected the redirect_uri of the authorization request",
        ));
    }
    let verifier = parameters.get("code_verifier").unwrap_or_default();
    if !request.challenge.is_met_by(verifier) {
        return Err(RequestError::InvalidGrant(
            "expected the code_verifier of the code_challenge",
        ));
    }
    Ok(())
}

/// The requested resources, which must be granted ones; without any, all that are granted
/// (RFC 8707 §2.2).
fn granted_resources<'r>(
    request: &'r AuthorizationRequest,
    parameters: &'r Parameters,
) -> Result<&'r [String], RequestError> {
    match parameters.resources()? {
        [] => Ok(&request.resources),
        requested if requested.iter().all(|one| request.resources.contains(one)) => Ok(requested),
        _ => Err(RequestError::InvalidTarget(
            "expected resources of the authorization request",
        )),
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
pub(super) fn check_scope(requested: &str, allowed: &ScopeSet) -> Result<(), RequestError> {
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

//! The introspection endpoint: what a token says, as long as it is active (RFC 7662).
//!
//! Who asks is a client, or brings an access token that grants [`SCOPE`] (§2.1), as MobileFirst has it.

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::{AuthorizationServer, now};
use crate::dev::access_tokens::Claims;
use crate::dev::request::{Parameters, RequestError};
use crate::dev::{Answer, json};
use crate::oauth::bearer::{self, BearerError};
use crate::oauth::scope::{GrantedWildcards, ScopeSet};

const SCOPE: &str = "authorization.introspect";

/// The answer for an active token (RFC 7662 §2.2).
#[derive(Serialize)]
struct Introspection {
    active: bool,
    token_type: &'static str,
    #[serde(flatten)]
    claims: Claims,
}

impl AuthorizationServer {
    pub(super) fn introspect(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<Answer, RequestError> {
        self.check_may_introspect(headers, parameters)?;
        Ok(match self.tokens.find_active(parameters.token()?, now()) {
            Some(claims) => json(
                StatusCode::OK,
                &Introspection {
                    active: true,
                    token_type: "Bearer",
                    claims,
                },
            ),
            // Why it is not active is nobody's business (RFC 7662 §2.2).
            None => json(StatusCode::OK, &json!({ "active": false })),
        })
    }

    fn check_may_introspect(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<(), RequestError> {
        let token = match bearer::extract(headers) {
            Err(BearerError::Missing | BearerError::OtherScheme | BearerError::Repeated) => {
                return self.authenticate(headers, parameters).map(drop);
            }
            Err(error @ BearerError::Malformed) => return Err(error.into()),
            Ok(_) if parameters.get("client_secret").is_some() => {
                return Err(RequestError::TWO_WAYS);
            }
            Ok(token) => token,
        };
        let claims = self
            .tokens
            .find_active(token.as_str(), now())
            .ok_or(RequestError::InvalidToken)?;
        let granted = ScopeSet::parse(&claims.scope, GrantedWildcards::Honoured);
        // A token of more scopes than a set may hold is good for nothing at the gateway either.
        if granted.is_ok_and(|granted| granted.meets_literal(SCOPE)) {
            Ok(())
        } else {
            Err(RequestError::InsufficientScope(SCOPE))
        }
    }
}

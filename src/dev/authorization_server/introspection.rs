//! The introspection endpoint: the claims of a token, while it is active (RFC 7662).
//!
//! The caller authenticates as a client, or by an access token in `Authorization` that grants
//! [`SCOPE`] (§2.1), as in MobileFirst.

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::{AuthorizationServer, now};
use crate::dev::access_tokens::Claims;
use crate::dev::error::RequestError;
use crate::dev::parameters::Parameters;
use crate::dev::{Response, json_response};
use crate::oauth::bearer::{self, BearerError};
use crate::oauth::scope::{GrantedWildcards, ScopeSet};

const SCOPE: &str = "authorization.introspect";

/// The response for an active token (RFC 7662 §2.2).
#[derive(Serialize)]
struct IntrospectionResponse {
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
    ) -> Result<Response, RequestError> {
        self.authorize_introspection(headers, parameters)?;
        Ok(match self.tokens.find_active(parameters.token()?, now()) {
            Some(claims) => json_response(
                StatusCode::OK,
                &IntrospectionResponse {
                    active: true,
                    token_type: "Bearer",
                    claims,
                },
            ),
            // The response does not disclose why a token is inactive (RFC 7662 §2.2).
            None => json_response(StatusCode::OK, &json!({ "active": false })),
        })
    }

    // Everybody on this machine may register a client.
    fn authenticate_client_of_file(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<(), RequestError> {
        let client = self.authenticate(headers, parameters, now())?;
        client
            .is_of_file()
            .then_some(())
            .ok_or(RequestError::UnauthorizedClient(
                "expected a client of the configuration file",
            ))
    }

    fn authorize_introspection(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<(), RequestError> {
        let token = match bearer::extract(headers) {
            Err(BearerError::Missing | BearerError::OtherScheme | BearerError::Repeated) => {
                return self.authenticate_client_of_file(headers, parameters);
            }
            Err(error @ BearerError::Malformed) => return Err(error.into()),
            Ok(_) if parameters.get("client_secret").is_some() => {
                return Err(RequestError::SEVERAL_AUTHENTICATIONS);
            }
            Ok(token) => token,
        };
        let claims = self
            .tokens
            .find_active(token.as_str(), now())
            .ok_or(RequestError::InvalidToken)?;
        let granted = ScopeSet::parse(&claims.scope, GrantedWildcards::Honoured);
        // A token with more scopes than a set may hold is rejected by the gateway too.
        if granted.is_ok_and(|granted| granted.meets_literal(SCOPE)) {
            Ok(())
        } else {
            Err(RequestError::InsufficientScope(SCOPE))
        }
    }
}

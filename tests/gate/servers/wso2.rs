//! WSO2 Identity Server and API Manager.
//!
//! - Tokens are opaque UUIDs, or JWTs of type `at+jwt` whose `aud` is the client id.
//! - Scopes are a string or an array.
//! - `validity_period` sets the lifetime, which may be unlimited.
//! - The introspection response for any invalid token is `{"active":false}`.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::authorization_server::{AuthorizationServer, Grant, basic, error, form, uuid};
use super::{Kind, TokenRequest, post};
use harness::{Received, Reply};

const KID: &str = "OTg1ZmU3MmI4OWE4ZjU4YjJkN2Y2MDk1NjI2ZGI_RS256";

pub(super) fn reply(
    authorization_server: &AuthorizationServer,
    url: &str,
    request: &Received,
) -> Reply {
    match (&*request.method, &*request.target) {
        ("GET", "/oauth2/jwks") => {
            let mut key = authorization_server.key.jwk();
            key["kid"] = json!(KID);
            Reply::json(json!({ "keys": [key] }))
        }
        ("POST", "/oauth2/token") => token(authorization_server, url, request),
        ("POST", "/oauth2/introspect") => introspect(authorization_server, request),
        ("POST", "/oauth2/revoke") => {
            if !basic(request).is_some_and(|client| authorization_server.allows(&client, "")) {
                return error(401, &json!({ "error": "invalid_client" }));
            }
            authorization_server.revoke(&form(request)["token"]);
            Reply::status(200)
        }
        _ => Reply::status(404),
    }
}

fn token(authorization_server: &AuthorizationServer, url: &str, request: &Received) -> Reply {
    let (form, Some(client)) = (
        form(request),
        basic(request).filter(|client| authorization_server.allows(client, "")),
    ) else {
        return error(401, &json!({ "error": "invalid_client" }));
    };
    let period = form
        .get("validity_period")
        .map_or(3600, |period| period.parse().expect("a number"));
    let expires = if period < 0 {
        i64::MAX
    } else {
        authorization_server.now() + period
    };
    let scope = form
        .get("scope")
        .filter(|scope| !scope.is_empty())
        .cloned()
        .unwrap_or_else(|| "default".to_owned());
    // The audience of the example configuration, and another one.
    let audience = if client.0 == "stranger" {
        "stranger"
    } else {
        "mB8YfT2nQ0"
    };
    let (issued, audience) = (authorization_server.now(), Some(audience.to_owned()));
    let grant = Grant {
        client: client.0,
        scope: scope.clone(),
        audience,
        issued,
        expires,
    };
    let token = if form.contains_key("jwt") {
        let header = json!({ "x5t": "NmU3MmI4OWE4ZjU4YjJkN2Y2MDk1NjI2ZGI", "kid": KID, "typ": "at+jwt", "alg": "RS256" });
        let scopes = if form.contains_key("array") {
            json!(scope.split(' ').collect::<Vec<_>>())
        } else {
            json!(scope)
        };
        authorization_server.key.token_with(&header, &json!({
            "sub": grant.client, "aut": "APPLICATION", "iss": format!("{url}/oauth2/token"), "client_id": grant.client,
            "aud": grant.audience, "nbf": grant.issued, "azp": grant.client, "scope": scopes, "exp": grant.expires,
            "iat": grant.issued, "jti": uuid(authorization_server.next_number()),
        }))
    } else {
        uuid(authorization_server.next_number())
    };
    authorization_server.grant(&token, grant);
    let expires_in = if period < 0 {
        9_223_372_036_854_775
    } else {
        period
    };
    Reply::json(
        json!({ "access_token": token, "scope": scope, "token_type": "Bearer", "expires_in": expires_in }),
    )
}

fn introspect(authorization_server: &AuthorizationServer, request: &Received) -> Reply {
    if !basic(request).is_some_and(|client| authorization_server.allows(&client, "")) {
        return error(401, &json!({ "error": "invalid_client" }));
    }
    let token = &form(request)["token"];
    if token.trim().is_empty() {
        return error(400, &json!({ "error": "Invalid input" }));
    }
    Reply::json(match authorization_server.active(token) {
        None => json!({ "active": false }),
        Some(grant) => json!({
            "active": true, "token_type": "Bearer", "exp": grant.expires, "iat": grant.issued, "nbf": grant.issued,
            "client_id": grant.client, "username": "admin@carbon.super", "scope": grant.scope, "aut": "APPLICATION",
            "aud": [grant.audience], "act": "carbon.super",
        }),
    })
}

pub(super) fn ask(base: SocketAddr, token_request: &TokenRequest<'_>) -> String {
    ask_with(base, token_request, &[])
}

/// Requests a token with more parameters: `validity_period`, or settings of the application.
pub(super) fn ask_with(
    base: SocketAddr,
    token_request: &TokenRequest<'_>,
    more: &[(&str, &str)],
) -> String {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("scope", token_request.scope),
    ];
    if token_request.kind == Kind::Jwt {
        form.push(("jwt", "true"));
    }
    form.extend(more);
    let response = post(base, "/oauth2/token", Some(token_request.client()), &form);
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert!(body.get("refresh_token").is_none());
    super::access_token(&response, "Bearer")
}

pub(super) fn revoke(_: &AuthorizationServer, base: SocketAddr, token: &str) {
    let response = post(
        base,
        "/oauth2/revoke",
        Some(("app", "secret of app")),
        &[("token", token)],
    );
    assert_eq!(response.status, 200);
}

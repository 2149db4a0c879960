//! The Curity Identity Server.
//!
//! - Tokens are opaque; `token_type` is in lower case; `scope` is returned only if requested.
//! - Introspection responses are JSON.
//! - With `Accept: application/jwt` they are phantom tokens: a 200 with a JWT, or an empty 204.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::authorization_server::{AuthorizationServer, Grant, basic, error, form, uuid};
use super::{Kind, TokenRequest, post};
use harness::{Received, Reply};

pub(super) fn reply(
    authorization_server: &AuthorizationServer,
    url: &str,
    request: &Received,
) -> Reply {
    let issuer = format!("{url}/oauth/v2/oauth-anonymous");
    match (&*request.method, &*request.target) {
        (
            "GET",
            "/oauth/v2/oauth-anonymous/.well-known/openid-configuration"
            | "/oauth/v2/oauth-anonymous/.well-known/oauth-authorization-server",
        ) => Reply::json(json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/jwks"),
            "token_endpoint": format!("{url}/oauth/v2/oauth-token"),
            "introspection_endpoint": format!("{url}/oauth/v2/oauth-introspect"),
            "revocation_endpoint": format!("{url}/oauth/v2/oauth-revoke"),
        })),
        ("GET", "/oauth/v2/oauth-anonymous/jwks") => {
            Reply::json(json!({ "keys": [authorization_server.key.jwk()] }))
        }
        ("POST", "/oauth/v2/oauth-token") => token(authorization_server, &issuer, request),
        ("POST", "/oauth/v2/oauth-introspect") => {
            introspect(authorization_server, &issuer, request)
        }
        ("POST", "/oauth/v2/oauth-revoke") => {
            if client(authorization_server, request).is_none() {
                return error(401, &json!({ "error": "invalid_client" }));
            }
            authorization_server.revoke(&form(request)["token"]);
            Reply::status(200)
        }
        _ => Reply::status(404),
    }
}

fn client(
    authorization_server: &AuthorizationServer,
    request: &Received,
) -> Option<(String, String)> {
    let form = form(request);
    let in_form = || {
        Some((
            form.get("client_id")?.clone(),
            form.get("client_secret")?.clone(),
        ))
    };
    basic(request)
        .or_else(in_form)
        .filter(|client| authorization_server.allows(client, ""))
}

fn token(authorization_server: &AuthorizationServer, issuer: &str, request: &Received) -> Reply {
    let (form, Some(client)) = (form(request), client(authorization_server, request)) else {
        return error(401, &json!({ "error": "invalid_client" }));
    };
    let scope = form.get("scope").cloned().unwrap_or_default();
    let audience = if client.0 == "stranger" {
        "other.example.com"
    } else {
        "api.example.com"
    };
    let grant = Grant {
        client: client.0,
        scope: scope.clone(),
        audience: Some(audience.to_owned()),
        issued: authorization_server.now(),
        expires: authorization_server.now() + 300,
    };
    // There, a setting of the client decides between JWT and opaque.
    let token = if form.contains_key("jwt") {
        authorization_server
            .key
            .token_with(&header(), &claims(authorization_server, issuer, &grant))
    } else if authorization_server.next_number().is_multiple_of(2) {
        format!("_0XBPWQQ_{}", uuid(authorization_server.next_number()))
    } else {
        uuid(authorization_server.next_number())
    };
    authorization_server.grant(&token, grant);
    let mut body = json!({ "access_token": token, "token_type": "bearer", "expires_in": 299 });
    if !scope.is_empty() {
        body["scope"] = json!(scope);
    }
    Reply::json(body)
}

fn header() -> Value {
    json!({ "kid": "-1725417167", "x5t": "JgRqBFxyNSDjnKyeVp3hUpFOOdE", "alg": "PS256" })
}

fn claims(authorization_server: &AuthorizationServer, issuer: &str, grant: &Grant) -> Value {
    json!({
        "jti": uuid(authorization_server.next_number()), "delegationId": uuid(0), "exp": grant.expires, "nbf": grant.issued,
        "scope": grant.scope, "iss": issuer, "sub": grant.client, "aud": grant.audience, "iat": grant.issued,
        "purpose": "access_token",
    })
}

fn introspect(
    authorization_server: &AuthorizationServer,
    issuer: &str,
    request: &Received,
) -> Reply {
    if client(authorization_server, request).is_none() {
        return error(401, &json!({ "error": "invalid_client" }));
    }
    let grant = authorization_server.active(&form(request)["token"]);
    if request.header("accept") == ["application/jwt"] {
        return match grant {
            None => Reply::status(204),
            Some(grant) => {
                let cache_control =
                    format!("max-age={}", grant.expires - authorization_server.now());
                let headers = [
                    ("content-type", "application/jwt;charset=UTF-8"),
                    ("cache-control", &*cache_control),
                ];
                Reply::new(
                    200,
                    &headers,
                    authorization_server
                        .key
                        .token_with(&header(), &claims(authorization_server, issuer, &grant)),
                )
            }
        };
    }
    Reply::json(match grant {
        None => json!({ "active": false }),
        Some(grant) => {
            let mut body = claims(authorization_server, issuer, &grant);
            body["active"] = json!(true);
            body["token_type"] = json!("bearer");
            body["client_id"] = json!(grant.client);
            body
        }
    })
}

pub(super) fn ask(base: SocketAddr, token_request: &TokenRequest<'_>) -> String {
    let client = token_request.client();
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", client.0),
        ("client_secret", client.1),
        ("scope", token_request.scope),
    ];
    if token_request.kind == Kind::Jwt {
        form.push(("jwt", "true"));
    }
    super::access_token(&post(base, "/oauth/v2/oauth-token", None, &form), "bearer")
}

pub(super) fn revoke(_: &AuthorizationServer, base: SocketAddr, token: &str) {
    let form = [
        ("token", token),
        ("client_id", "app"),
        ("client_secret", "secret of app"),
    ];
    assert_eq!(
        post(base, "/oauth/v2/oauth-revoke", None, &form).status,
        200
    );
}

//! ForgeRock Access Management, now PingAM.
//!
//! - Opaque tokens have 27 characters.
//! - JWTs have `zip`, a base64 `kid` and scopes in an array.
//! - Introspection responses have scopes in a string and no audience.
//! - A client that may not introspect a token gets `active: false`.

use std::net::SocketAddr;

use serde_json::json;

use super::authorization_server::{AuthorizationServer, Grant, basic, error, form, uuid};
use super::{Kind, TokenRequest, post};
use harness::{Received, Reply};

const REALM: &str = "/am/oauth2/realms/root/realms/customers";
const KID: &str = "Fo+Ap2m8COtNootf1xMh4lg70YA=";

pub(super) fn reply(
    authorization_server: &AuthorizationServer,
    url: &str,
    request: &Received,
) -> Reply {
    let issuer = format!("{url}{REALM}");
    let Some(path) = request.target.strip_prefix(REALM) else {
        return Reply::status(404);
    };
    match (&*request.method, path) {
        ("GET", "/.well-known/openid-configuration") => Reply::json(json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/connect/jwk_uri"),
            "token_endpoint": format!("{issuer}/access_token"),
            "introspection_endpoint": format!("{issuer}/introspect"),
            "revocation_endpoint": format!("{issuer}/token/revoke"),
        })),
        ("GET", "/connect/jwk_uri") => {
            let mut key = authorization_server.key.jwk();
            key["kid"] = json!(KID);
            Reply::json(json!({ "keys": [key] }))
        }
        ("POST", "/access_token") => token(authorization_server, &issuer, request),
        ("POST", "/introspect") => introspect(authorization_server, &issuer, request),
        ("POST", "/token/revoke") => {
            if !basic(request).is_some_and(|client| authorization_server.allows(&client, "")) {
                return error(401, &json!({ "error": "invalid_client" }));
            }
            authorization_server.revoke(&form(request)["token"]);
            Reply::json(json!({}))
        }
        _ => Reply::status(404),
    }
}

fn token(authorization_server: &AuthorizationServer, issuer: &str, request: &Received) -> Reply {
    let (form, Some(client)) = (
        form(request),
        basic(request).filter(|client| authorization_server.allows(client, "")),
    ) else {
        let body = json!({ "error": "invalid_client", "error_description": "Client authentication failed" });
        return error(401, &body);
    };
    let scope = form.get("scope").cloned().unwrap_or_default();
    let audience = if client.0 == "stranger" {
        "stranger"
    } else {
        "MedicationsClient"
    };
    let grant = Grant {
        client: audience.to_owned(),
        scope: scope.clone(),
        audience: Some(audience.to_owned()),
        issued: authorization_server.now(),
        expires: authorization_server.now() + 3600,
    };
    let token = if form.contains_key("jwt") {
        let header = json!({ "typ": "JWT", "zip": "NONE", "kid": KID, "alg": "RS256" });
        authorization_server.key.token_with(&header, &json!({
            "sub": grant.client, "cts": "OAUTH2_STATELESS_GRANT", "iss": issuer, "tokenName": "access_token",
            "token_type": "Bearer", "authGrantId": "x", "aud": grant.audience, "nbf": grant.issued,
            "grant_type": "client_credentials", "scope": scope.split(' ').collect::<Vec<_>>(), "auth_time": grant.issued,
            "realm": "/customers", "exp": grant.expires, "iat": grant.issued, "expires_in": 3600,
            "jti": uuid(authorization_server.next_number()),
        }))
    } else {
        format!(
            "sbQZuveFumUDV5R1vVBl6QAG{:03}",
            authorization_server.next_number()
        )
    };
    authorization_server.grant(&token, grant);
    Reply::json(
        json!({ "access_token": token, "scope": scope, "token_type": "Bearer", "expires_in": 3599 }),
    )
}

fn introspect(
    authorization_server: &AuthorizationServer,
    issuer: &str,
    request: &Received,
) -> Reply {
    if !basic(request).is_some_and(|client| authorization_server.allows(&client, "")) {
        return error(401, &json!({ "error": "invalid_client" }));
    }
    // The gateway may introspect the tokens of one client, and not those of `stranger`.
    let grant = authorization_server
        .active(&form(request)["token"])
        .filter(|grant| grant.client == "MedicationsClient");
    Reply::json(match grant {
        None => json!({ "active": false }),
        Some(grant) => json!({
            "active": true, "scope": grant.scope, "realm": "/customers", "client_id": grant.client,
            "user_id": grant.client, "username": grant.client, "token_type": "Bearer", "exp": grant.expires,
            "sub": grant.client, "iss": issuer, "subname": grant.client, "auth_level": 0, "authGrantId": "x",
            "expires_in": grant.expires - authorization_server.now(),
        }),
    })
}

pub(super) fn ask(base: SocketAddr, token_request: &TokenRequest<'_>) -> String {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("scope", token_request.scope),
    ];
    if token_request.kind == Kind::Jwt {
        form.push(("jwt", "true"));
    }
    super::access_token(
        &post(
            base,
            &format!("{REALM}/access_token"),
            Some(token_request.client()),
            &form,
        ),
        "Bearer",
    )
}

pub(super) fn revoke(_: &AuthorizationServer, base: SocketAddr, token: &str) {
    let response = post(
        base,
        &format!("{REALM}/token/revoke"),
        Some(("app", "secret of app")),
        &[("token", token)],
    );
    assert_eq!(response.status, 200);
}

//! IBM MobileFirst Platform Foundation 8.0.
//!
//! - Tokens are JWTs with their key in the header, without `typ` and `kid`.
//! - Times are in milliseconds.
//! - Introspection requires an access token of the resource server.
//! - There is no metadata and no JWKS.
//! - Revocation is undocumented; an administrator may block a client.

use serde_json::json;

use super::authorization_server::{AuthorizationServer, Grant, basic, bearer, error, form};
use super::{Kind, TokenRequest};
use harness::{Received, Reply};

const ISSUER: &str = "com.ibm.mfp";

pub(super) fn reply(
    authorization_server: &AuthorizationServer,
    _: &str,
    request: &Received,
) -> Reply {
    match (&*request.method, &*request.target) {
        ("POST", "/mfp/api/az/v1/token") => token(authorization_server, request),
        ("POST", "/mfp/api/az/v1/introspection") => introspect(authorization_server, request),
        _ => Reply::status(404),
    }
}

fn token(authorization_server: &AuthorizationServer, request: &Received) -> Reply {
    let form = form(request);
    let scope = form.get("scope").cloned().unwrap_or_default();
    let Some(client) = basic(request).filter(|client| authorization_server.allows(client, ""))
    else {
        return error(
            401,
            &json!({ "errorCode": "INVALID_CLIENT", "errorMsg": "Invalid client credentials" }),
        );
    };
    if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
        return error(400, &json!({ "errorCode": "INVALID_REQUEST" }));
    }
    if !authorization_server.allows(&client, &scope) {
        return error(400, &json!({ "errorCode": "INVALID_SCOPE" }));
    }
    let (issued, lifetime) = (authorization_server.now(), 3599);
    // No client can request another audience there; the test needs such a token.
    let audience = if client.0 == "stranger" {
        "com.example.other"
    } else {
        ISSUER
    };
    let mut jwk = authorization_server.key.jwk();
    jwk["kid"] = json!("test");
    let claims = json!({
        "iss": ISSUER, "sub": client.0, "aud": audience, "exp": (issued + lifetime) * 1000 + 5, "scope": scope,
        "jti": authorization_server.next_number(),
    });
    let token = authorization_server
        .key
        .token_with(&json!({ "alg": "RS256", "jwk": jwk }), &claims);
    let grant = Grant {
        client: client.0,
        scope: scope.clone(),
        audience: None,
        issued,
        expires: issued + lifetime,
    };
    authorization_server.grant(&token, grant);
    Reply::json(
        json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime, "scope": scope }),
    )
}

fn introspect(authorization_server: &AuthorizationServer, request: &Received) -> Reply {
    let gateway_grant = bearer(request).and_then(|token| authorization_server.active(token));
    match gateway_grant.map(|grant| grant.scope) {
        None => return error(401, &json!({ "errorCode": "INVALID_TOKEN" })),
        Some(scope)
            if scope
                .split(' ')
                .all(|scope| scope != "authorization.introspect") =>
        {
            return error(403, &json!({ "errorCode": "INSUFFICIENT_SCOPE" }));
        }
        Some(_) => {}
    }
    let form = form(request);
    assert_eq!(
        form.get("token_type_hint").map(String::as_str),
        Some("access_token")
    );
    match authorization_server.active(&form["token"]) {
        None => Reply::json(json!({ "active": false })),
        Some(grant) => Reply::json(json!({
            "active": true, "scope": grant.scope, "username": "anonymous", "client_id": grant.client,
            "exp": grant.expires * 1000 + 76,
            "mfp-application": { "id": "com.demo.test", "clientPlatform": "android", "version": "1.0" },
            "mfp-device": { "id": "d", "status": "ACTIVE" }, "mfp-user": null, "mfp-checks": {},
        })),
    }
}

pub(super) fn ask(base: std::net::SocketAddr, token_request: &TokenRequest<'_>) -> String {
    assert_eq!(token_request.kind, Kind::Jwt);
    super::token_by_basic(base, "/mfp/api/az/v1/token", token_request, "Bearer")
}

pub(super) fn revoke(
    authorization_server: &AuthorizationServer,
    _: std::net::SocketAddr,
    token: &str,
) {
    authorization_server.revoke(token);
}

//! Aidbox.
//!
//! - Token requests are JSON; token responses have no `expires_in` and no `scope`.
//! - Tokens are JWTs without `kid`, or opaque: the base64 of a UUID.
//! - The JWKS has no `kid`; refresh tokens are signed with the same keys.
//! - `DELETE /Session` revokes.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::authorization_server::{AuthorizationServer, Grant, basic, bearer, error, form, uuid};
use super::{Kind, TokenRequest};
use harness::{Received, Reply, send};

pub(super) fn reply(
    authorization_server: &AuthorizationServer,
    url: &str,
    request: &Received,
) -> Reply {
    match (&*request.method, &*request.target) {
        ("GET", "/.well-known/smart-configuration") => Reply::json(json!({
            "token_endpoint": format!("{url}/auth/token"), "introspection_endpoint": format!("{url}/auth/introspect"),
        })),
        ("GET", "/.well-known/jwks.json") => {
            Reply::json(json!({ "keys": [authorization_server.key.jwk()] }))
        }
        ("POST", "/auth/token") => token(authorization_server, url, request),
        ("POST", "/auth/introspect") => introspect(authorization_server, url, request),
        ("DELETE", "/Session") => {
            let token =
                bearer(request).filter(|token| authorization_server.active(token).is_some());
            token.map_or(Reply::status(401), |token| {
                authorization_server.revoke(token);
                Reply::status(200)
            })
        }
        _ => Reply::status(404),
    }
}

fn token(authorization_server: &AuthorizationServer, url: &str, request: &Received) -> Reply {
    assert_eq!(request.header("content-type"), ["application/json"]);
    let body: Value = serde_json::from_slice(&request.body).expect("JSON");
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let client = (text("client_id"), text("client_secret"));
    if !authorization_server.allows(&client, &text("scope"))
        || body["grant_type"] != "client_credentials"
    {
        return error(
            401,
            &json!({ "error": "invalid_client", "error_description": "Wrong client credentials" }),
        );
    }
    let (issued, expires) = (
        authorization_server.now(),
        authorization_server.now() + 3000,
    );
    let audience = body["audience"].as_str().map(str::to_owned);
    let mut claims = json!({
        "iss": url, "sub": client.0, "iat": issued, "jti": uuid(authorization_server.next_number()), "exp": expires, "scope": text("scope"),
        "atv": 2,
    });
    if let Some(audience) = &audience {
        claims["aud"] = json!(audience);
    }
    let header = json!({ "alg": "RS256", "typ": "JWT" });
    let mut response = json!({ "token_type": "Bearer" });
    let token = if body["token_format"] == "jwt" {
        let mut refresh = claims.clone();
        refresh["typ"] = json!("refresh");
        refresh.as_object_mut().expect("an object").remove("exp");
        response["refresh_token"] = json!(authorization_server.key.token_with(&header, &refresh));
        authorization_server.key.token_with(&header, &claims)
    } else {
        STANDARD.encode(uuid(authorization_server.next_number()))
    };
    response["access_token"] = json!(token);
    authorization_server.grant(
        &token,
        Grant {
            client: client.0,
            scope: text("scope"),
            audience,
            issued,
            expires,
        },
    );
    Reply::json(response)
}

fn introspect(authorization_server: &AuthorizationServer, url: &str, request: &Received) -> Reply {
    if !basic(request).is_some_and(|client| authorization_server.allows(&client, "")) {
        return error(401, &json!({ "error": "invalid_client" }));
    }
    Reply::json(match authorization_server.active(&form(request)["token"]) {
        None => json!({ "active": false }),
        Some(grant) => {
            let mut body = json!({
                "active": true, "iss": url, "sub": grant.client, "client_id": grant.client, "scope": grant.scope,
                "exp": grant.expires, "iat": grant.issued,
            });
            if let Some(audience) = grant.audience {
                body["aud"] = json!(audience);
            }
            body
        }
    })
}

/// The JSON of the token response.
pub(super) fn session(base: SocketAddr, token_request: &TokenRequest<'_>) -> Value {
    let (id, secret) = token_request.client();
    let body = json!({
        "grant_type": "client_credentials", "client_id": id, "client_secret": secret, "scope": token_request.scope,
        "audience": if token_request.for_another { "https://other.example.com" } else { "https://api.example.com" },
        "token_format": if token_request.kind == Kind::Jwt { "jwt" } else { "opaque" },
    })
    .to_string();
    let response = send(
        base,
        format!(
            "POST /auth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let body: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert!(
        body.get("expires_in").is_none() && body.get("scope").is_none(),
        "{body}"
    );
    body
}

pub(super) fn ask(base: SocketAddr, token_request: &TokenRequest<'_>) -> String {
    session(base, token_request)["access_token"]
        .as_str()
        .expect("a token")
        .to_owned()
}

pub(super) fn revoke(_: &AuthorizationServer, base: SocketAddr, token: &str) {
    let request =
        format!("DELETE /Session HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert_eq!(send(base, request).status, 200);
}

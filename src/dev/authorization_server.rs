//! What the development authorization server answers.
//!
//! | target | answer |
//! |---|---|
//! | `POST /token`, `POST /{runtime}/api/az/v1/token` | an access token (RFC 6749 §4.4, RFC 9068) |
//! | `GET /jwks` | the key that verifies it (RFC 7517 §5) |
//! | `GET /.well-known/oauth-authorization-server`, `GET /.well-known/openid-configuration` | metadata (RFC 8414 §3) |

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};

use super::keys::SigningKey;
use super::listener::PATIENCE;
use super::token_request::{TokenError, TokenRequest};
use super::{Answer, Client, Settings, json};
use crate::oauth::UnixTime;
use crate::oauth::scope::{ScopeSet, check_scope_token};

const MAX_BODY: usize = 64 * 1024;

pub(super) struct AuthorizationServer {
    settings: Settings,
    issuer: String,
    mobile_first_path: String,
    key: SigningKey,
}

/// Makes the server whose issuer is `http://` and `address`, with a fresh key.
pub(super) fn new(settings: Settings, address: SocketAddr) -> io::Result<Arc<AuthorizationServer>> {
    Ok(Arc::new(AuthorizationServer {
        issuer: format!("http://{address}"),
        mobile_first_path: format!("/{}/api/az/v1/token", settings.runtime),
        key: SigningKey::generate(settings.algorithm)?,
        settings,
    }))
}

/// Answers one request.
pub(super) async fn answer(server: Arc<AuthorizationServer>, request: Request<Incoming>) -> Answer {
    let is_get = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/jwks" if is_get => json(StatusCode::OK, &server.key.jwks()),
        "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" if is_get => {
            json(StatusCode::OK, &server.metadata())
        }
        "/jwks" | "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
            method_not_allowed("GET, HEAD")
        }
        path if path == "/token" || path == server.mobile_first_path => match *request.method() {
            Method::POST => server.answer_token_request(request).await,
            _ => method_not_allowed("POST"),
        },
        _ => json(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
    }
}

fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = json(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": "method_not_allowed" }));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// The claims of an access token (RFC 9068 §2.2).
#[derive(Serialize)]
struct Claims<'t> {
    iss: &'t str,
    sub: &'t str,
    client_id: &'t str,
    aud: &'t str,
    exp: i64,
    iat: i64,
    jti: String,
    scope: &'t str,
}

/// A successful answer (RFC 6749 §5.1).
#[derive(Serialize)]
struct Issued {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
}

impl AuthorizationServer {
    async fn answer_token_request(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let issued = match read(body).await {
            Ok(body) => self.issue(&head.headers, &body),
            Err(error) => Err(error),
        };
        let mut answer = match issued {
            Ok(issued) => json(StatusCode::OK, &issued),
            Err(error) => refuse(error),
        };
        // Nothing on the way may keep a token (RFC 6749 §5.1).
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        answer.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
        answer
    }

    fn issue(&self, headers: &HeaderMap, body: &[u8]) -> Result<Issued, TokenError> {
        let request = TokenRequest::parse(headers, body)?;
        let client = self.authenticate(&request)?;
        check_scope(&request.scope, &client.allowed_scope)?;

        let now = now();
        let lifetime = request.lifetime.unwrap_or(self.settings.token_lifetime);
        let claims = Claims {
            iss: &self.issuer,
            sub: &client.id,
            client_id: &client.id,
            aud: request.audience.as_deref().unwrap_or(&self.settings.audience),
            exp: now.later_by(lifetime).as_seconds(),
            iat: now.as_seconds(),
            jti: random_id()?,
            scope: &request.scope,
        };
        let access_token = self.key.sign(&claims).map_err(|_| TokenError::ServerError)?;
        tracing::debug!(client = client.id, scope = request.scope, "access token issued");
        Ok(Issued { access_token, token_type: "Bearer", expires_in: lifetime.as_secs(), scope: request.scope })
    }

    fn authenticate(&self, request: &TokenRequest) -> Result<&Client, TokenError> {
        let known = self.settings.clients.iter().find(|client| client.id == request.client_id);
        known
            .filter(|client| is_same_secret(client.secret.expose_secret(), &request.client_secret))
            .ok_or(TokenError::InvalidClient("unknown client or wrong secret"))
    }

    fn metadata(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "token_endpoint": format!("{}/token", self.issuer),
            "jwks_uri": format!("{}/jwks", self.issuer),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        })
    }
}

async fn read(body: Incoming) -> Result<Bytes, TokenError> {
    match tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TokenError::BodyTooLarge),
        Ok(Err(_)) => Err(TokenError::InvalidRequest("expected a whole body")),
        Err(_) => Err(TokenError::TooSlow),
    }
}

// A requested `*` is a character like any other here. Only a wildcard can fit it, and a wildcard that does also fits
// whatever the requested one will stand for: no client is granted more than it is allowed.
fn check_scope(requested: &str, allowed: &ScopeSet) -> Result<(), TokenError> {
    for scope in requested.split(' ').filter(|_| !requested.is_empty()) {
        check_scope_token(scope)
            .map_err(|_| TokenError::InvalidScope("expected scope-tokens with one space between"))?;
        if !allowed.meets_literal(scope) {
            return Err(TokenError::InvalidScope("expected scopes that this client is allowed"));
        }
    }
    Ok(())
}

// Digests first, so that the time taken tells neither content nor length.
fn is_same_secret(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|secret| digest::digest(&digest::SHA256, secret.as_bytes()));
    verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

fn random_id() -> Result<String, TokenError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| TokenError::ServerError)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_seconds(0).later_by(since_epoch)
}

fn refuse(error: TokenError) -> Answer {
    tracing::debug!(error = error.code(), description = error.description(), "no access token issued");
    let mut answer = json(error.status(), &json!({ "error": error.code(), "error_description": error.description() }));
    if error.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static(r#"Basic realm="scopegate development""#);
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

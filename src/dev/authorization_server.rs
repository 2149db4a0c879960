//! What the development authorization server answers.
//!
//! | target | answer |
//! |---|---|
//! | `POST /token`, `POST /{runtime}/api/az/v1/token` | an access token (RFC 6749 §4.4, RFC 9068) |
//! | `POST /introspect`, `POST /{runtime}/api/az/v1/introspection` | what a token says while it is active (RFC 7662 §2) |
//! | `POST /revoke` | nothing: the token ends before its time (RFC 7009 §2) |
//! | `DELETE /Session` | nothing: the token that the request brings ends, as Aidbox has it |
//! | `GET /jwks` | the key that JWTs are verified with (RFC 7517 §5) |
//! | `GET /.well-known/oauth-authorization-server`, `GET /.well-known/openid-configuration` | metadata (RFC 8414 §3) |

mod introspection;
mod revocation;
mod token;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, ORIGIN, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::access_tokens::AccessTokens;
use super::listener::PATIENCE;
use super::request::{Credentials, Parameters, RequestError};
use super::{Answer, Client, Settings, json};
use crate::clock;
use crate::oauth::UnixTime;

const MAX_BODY: usize = 64 * 1024;

/// How clients may authenticate (RFC 8414 §2), at each endpoint where they do.
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

pub(super) struct AuthorizationServer {
    settings: Settings,
    issuer: String,
    /// Where the paths of MobileFirst begin.
    mobile_first: String,
    tokens: AccessTokens,
}

#[derive(Clone, Copy)]
enum Target {
    Keys,
    Metadata,
    Token,
    Introspection,
    Revocation,
    Session,
}

/// Makes the server whose issuer is `http://` and `address`, with a fresh key.
pub(super) fn new(settings: Settings, address: SocketAddr) -> io::Result<Arc<AuthorizationServer>> {
    Ok(Arc::new(AuthorizationServer {
        issuer: format!("http://{address}"),
        mobile_first: format!("/{}/api/az/v1", settings.runtime),
        tokens: AccessTokens::new(settings.token_format, settings.algorithm)?,
        settings,
    }))
}

/// Answers one request.
pub(super) async fn answer(server: Arc<AuthorizationServer>, request: Request<Incoming>) -> Answer {
    if is_of_another_site(request.headers()) {
        let hint = "this server is not for the pages of other sites";
        return json(
            StatusCode::FORBIDDEN,
            &json!({ "error": "cross_site_request", "hint": hint }),
        );
    }
    let Some(target) = server.target(request.uri().path()) else {
        return json(StatusCode::NOT_FOUND, &json!({ "error": "not_found" }));
    };
    match (target, request.method()) {
        (Target::Keys, &Method::GET | &Method::HEAD) => json(StatusCode::OK, &server.tokens.jwks()),
        (Target::Metadata, &Method::GET | &Method::HEAD) => {
            json(StatusCode::OK, &server.metadata())
        }
        (Target::Token, &Method::POST) => {
            server
                .answer_post(request, AuthorizationServer::issue)
                .await
        }
        (Target::Introspection, &Method::POST) => {
            server
                .answer_post(request, AuthorizationServer::introspect)
                .await
        }
        (Target::Revocation, &Method::POST) => {
            server
                .answer_post(request, AuthorizationServer::revoke)
                .await
        }
        (Target::Session, &Method::DELETE) => uncached(server.end_session(request.headers())),
        (Target::Keys | Target::Metadata, _) => method_not_allowed("GET, HEAD"),
        (Target::Token | Target::Introspection | Target::Revocation, _) => {
            method_not_allowed("POST")
        }
        (Target::Session, _) => method_not_allowed("DELETE"),
    }
}

impl AuthorizationServer {
    fn target(&self, path: &str) -> Option<Target> {
        match path.strip_prefix(&self.mobile_first) {
            Some("/token") => Some(Target::Token),
            Some("/introspection") => Some(Target::Introspection),
            Some(_) => None,
            None => match path {
                "/jwks" => Some(Target::Keys),
                "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
                    Some(Target::Metadata)
                }
                "/token" => Some(Target::Token),
                "/introspect" => Some(Target::Introspection),
                "/revoke" => Some(Target::Revocation),
                "/Session" => Some(Target::Session),
                _ => None,
            },
        }
    }

    async fn answer_post(
        &self,
        request: Request<Incoming>,
        answer: impl FnOnce(&Self, &HeaderMap, &Parameters) -> Result<Answer, RequestError>,
    ) -> Answer {
        let (head, body) = request.into_parts();
        let parameters = read(body)
            .await
            .and_then(|body| Parameters::parse(&head.headers, &body));
        uncached(parameters.and_then(|parameters| answer(self, &head.headers, &parameters)))
    }

    fn authenticate(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<&Client, RequestError> {
        let credentials = Credentials::read(headers, parameters)?;
        let known = self
            .settings
            .clients
            .iter()
            .find(|client| client.id == credentials.id);
        known
            .filter(|client| is_same_secret(client.secret.expose_secret(), &credentials.secret))
            .ok_or(RequestError::InvalidClient(
                "unknown client or wrong secret",
            ))
    }

    fn metadata(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "token_endpoint": format!("{}/token", self.issuer),
            "introspection_endpoint": format!("{}/introspect", self.issuer),
            "revocation_endpoint": format!("{}/revoke", self.issuer),
            "jwks_uri": format!("{}/jwks", self.issuer),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": AUTH_METHODS,
            "introspection_endpoint_auth_methods_supported": AUTH_METHODS,
            "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        })
    }
}

// A page anywhere may have a browser post a form here, and everybody knows the secrets. Browsers tell what they do (Fetch
// Metadata), older ones at least whose page it is.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site")
        || headers.contains_key(ORIGIN)
}

fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = json(
        StatusCode::METHOD_NOT_ALLOWED,
        &json!({ "error": "method_not_allowed" }),
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

// Nothing on the way may keep a token or what is said of one (RFC 6749 §5.1).
fn uncached(answer: Result<Answer, RequestError>) -> Answer {
    let mut answer = answer.unwrap_or_else(refuse);
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
        .headers_mut()
        .insert(PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}

async fn read(body: Incoming) -> Result<Bytes, RequestError> {
    match tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(RequestError::BodyTooLarge),
        Ok(Err(_)) => Err(RequestError::InvalidRequest("expected a whole body")),
        Err(_) => Err(RequestError::TooSlow),
    }
}

// Digests first, so that the time taken tells neither content nor length.
fn is_same_secret(one: &str, other: &str) -> bool {
    let [one, other] =
        [one, other].map(|secret| digest::digest(&digest::SHA256, secret.as_bytes()));
    verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

fn now() -> UnixTime {
    let since_epoch = clock::system_time()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_seconds(0).later_by(since_epoch)
}

fn refuse(error: RequestError) -> Answer {
    tracing::debug!(
        error = error.code(),
        description = error.description(),
        "request refused"
    );
    let mut answer = json(
        error.status(),
        &json!({ "error": error.code(), "error_description": error.description() }),
    );
    if let Some(challenge) = error.challenge() {
        answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    answer
}

//! The endpoints of the development authorization server.
//!
//! | request | response |
//! |---|---|
//! | `POST /token`, `POST /{runtime}/api/az/v1/token`, the paths in `token_paths` | an access token (RFC 6749 §4.4, RFC 9068) |
//! | `POST /introspect`, `POST /{runtime}/api/az/v1/introspection` | the claims of an active token (RFC 7662 §2) |
//! | `POST /revoke` | empty: the token is revoked (RFC 7009 §2) |
//! | `DELETE /Session` | empty: the bearer token of the request is revoked, as in Aidbox |
//! | `GET /jwks` | the key that verifies its JWTs (RFC 7517 §5) |
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
use super::credentials::Credentials;
use super::error::RequestError;
use super::listener::READ_TIMEOUT;
use super::parameters::Parameters;
use super::{ConfiguredClient, DevelopmentSettings, Response, json_response};
use crate::clock;
use crate::oauth::UnixTime;

const MAX_BODY: usize = 64 * 1024;

/// The client authentication methods of every endpoint that has them (RFC 8414 §2).
const AUTH_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

pub(super) struct AuthorizationServer {
    settings: DevelopmentSettings,
    issuer: String,
    /// The path prefix of MobileFirst's endpoints.
    mobile_first_prefix: String,
    tokens: AccessTokens,
}

#[derive(Clone, Copy)]
enum OAuthEndpoint {
    Jwks,
    Metadata,
    Authorization,
    Token,
    Introspection,
    Revocation,
    EndSession,
}

/// Creates the server with a new signing key. Its issuer is `http://` and `address`.
pub(super) fn new(
    settings: DevelopmentSettings,
    address: SocketAddr,
) -> io::Result<Arc<AuthorizationServer>> {
    Ok(Arc::new(AuthorizationServer {
        issuer: format!("http://{address}"),
        mobile_first_prefix: format!("/{}/api/az/v1", settings.runtime),
        tokens: AccessTokens::new(settings.token_format, settings.algorithm)?,
        settings,
    }))
}

/// Handles one request.
pub(super) async fn handle(
    server: Arc<AuthorizationServer>,
    request: Request<Incoming>,
) -> Response {
    if is_cross_site(request.headers()) {
        let hint = "this server accepts no requests from pages of other sites";
        return json_response(
            StatusCode::FORBIDDEN,
            &json!({ "error": "cross_site_request", "hint": hint }),
        );
    }
    let Some(endpoint) = server.endpoint(request.uri().path()) else {
        return json_response(StatusCode::NOT_FOUND, &json!({ "error": "not_found" }));
    };
    match (endpoint, request.method()) {
        (OAuthEndpoint::Jwks, &Method::GET | &Method::HEAD) => {
            json_response(StatusCode::OK, &server.tokens.jwks())
        }
        (OAuthEndpoint::Metadata, &Method::GET | &Method::HEAD) => {
            json_response(StatusCode::OK, &server.metadata())
        }
        // Libraries expect an authorization endpoint, so there is one. It has no grant yet.
        (OAuthEndpoint::Authorization, &Method::GET) => json_response(
            StatusCode::BAD_REQUEST,
            &json!({ "error": "unsupported_response_type" }),
        ),
        (OAuthEndpoint::Token, &Method::POST) => {
            server
                .handle_post(request, AuthorizationServer::issue)
                .await
        }
        (OAuthEndpoint::Introspection, &Method::POST) => {
            server
                .handle_post(request, AuthorizationServer::introspect)
                .await
        }
        (OAuthEndpoint::Revocation, &Method::POST) => {
            server
                .handle_post(request, AuthorizationServer::revoke)
                .await
        }
        (OAuthEndpoint::EndSession, &Method::DELETE) => {
            no_store(server.end_session(request.headers()))
        }
        (OAuthEndpoint::Jwks | OAuthEndpoint::Metadata, _) => method_not_allowed("GET, HEAD"),
        (OAuthEndpoint::Token | OAuthEndpoint::Introspection | OAuthEndpoint::Revocation, _) => {
            method_not_allowed("POST")
        }
        (OAuthEndpoint::Authorization, _) => method_not_allowed("GET"),
        (OAuthEndpoint::EndSession, _) => method_not_allowed("DELETE"),
    }
}

impl AuthorizationServer {
    fn endpoint(&self, path: &str) -> Option<OAuthEndpoint> {
        match path.strip_prefix(&self.mobile_first_prefix) {
            Some("/token") => Some(OAuthEndpoint::Token),
            Some("/introspection") => Some(OAuthEndpoint::Introspection),
            Some(_) => None,
            None => match path {
                "/jwks" => Some(OAuthEndpoint::Jwks),
                "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration" => {
                    Some(OAuthEndpoint::Metadata)
                }
                "/authorize" => Some(OAuthEndpoint::Authorization),
                "/token" => Some(OAuthEndpoint::Token),
                "/introspect" => Some(OAuthEndpoint::Introspection),
                "/revoke" => Some(OAuthEndpoint::Revocation),
                "/Session" => Some(OAuthEndpoint::EndSession),
                _ => {
                    let is_token_path = self.settings.token_paths.iter().any(|own| own == path);
                    is_token_path.then_some(OAuthEndpoint::Token)
                }
            },
        }
    }

    async fn handle_post(
        &self,
        request: Request<Incoming>,
        respond: impl FnOnce(&Self, &HeaderMap, &Parameters) -> Result<Response, RequestError>,
    ) -> Response {
        let (head, body) = request.into_parts();
        let parameters = read_body(body)
            .await
            .and_then(|body| Parameters::parse(&head.headers, &body));
        no_store(parameters.and_then(|parameters| respond(self, &head.headers, &parameters)))
    }

    fn authenticate(
        &self,
        headers: &HeaderMap,
        parameters: &Parameters,
    ) -> Result<&ConfiguredClient, RequestError> {
        let credentials = Credentials::read(headers, parameters)?;
        let registered = self
            .settings
            .clients
            .iter()
            .find(|client| credentials.has_id(&client.id));
        registered
            .filter(|client| {
                let secret = client.secret.expose_secret();
                let literal = credentials.literal.as_ref();
                is_same_secret(secret, &credentials.secret)
                    || literal.is_some_and(|(_, literal)| is_same_secret(secret, literal))
            })
            .ok_or(RequestError::InvalidClient(
                "unknown client or wrong secret",
            ))
    }

    fn metadata(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": format!("{}/authorize", self.issuer),
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

// Any web page can make a browser post a form to loopback, and the secrets are public. Browsers
// mark such requests with Fetch Metadata, older ones with `Origin`.
fn is_cross_site(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site")
        || headers.contains_key(ORIGIN)
}

fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = json_response(
        StatusCode::METHOD_NOT_ALLOWED,
        &json!({ "error": "method_not_allowed" }),
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

// No cache may store a token or its claims (RFC 6749 §5.1).
fn no_store(outcome: Result<Response, RequestError>) -> Response {
    let mut response = outcome.unwrap_or_else(error_response);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

async fn read_body(body: Incoming) -> Result<Bytes, RequestError> {
    match tokio::time::timeout(READ_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(RequestError::BodyTooLarge),
        Ok(Err(_)) => Err(RequestError::InvalidRequest("expected a whole body")),
        Err(_) => Err(RequestError::TooSlow),
    }
}

// Comparing digests leaks neither content nor length through timing.
fn is_same_secret(expected: &str, found: &str) -> bool {
    let [expected, found] =
        [expected, found].map(|secret| digest::digest(&digest::SHA256, secret.as_bytes()));
    verify_slices_are_equal(expected.as_ref(), found.as_ref()).is_ok()
}

fn now() -> UnixTime {
    let since_epoch = clock::system_time()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixTime::from_seconds(0).later_by(since_epoch)
}

fn error_response(error: RequestError) -> Response {
    tracing::debug!(
        error = error.code(),
        description = error.description(),
        "development request rejected"
    );
    let mut response = json_response(
        error.status(),
        &json!({ "error": error.code(), "error_description": error.description() }),
    );
    if let Some(challenge) = error.challenge() {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

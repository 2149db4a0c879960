//! The endpoints of the development authorization server.
//!
//! | request | response |
//! |---|---|
//! | `GET /authorize` | a page that asks for consent (RFC 6749 §4.1) |
//! | `POST /authorize`, by the button of that page | a redirect with a code |
//! | `POST /token`, `POST /{runtime}/api/az/v1/token`, the paths in `token_paths` | an access token (RFC 6749 §4.1.3 and §4.4, RFC 9068) |
//! | `POST /register` | the identifier of a new client (RFC 7591) |
//! | `POST /introspect`, `POST /{runtime}/api/az/v1/introspection` | the claims of an active token (RFC 7662 §2) |
//! | `POST /revoke` | empty: the token is revoked (RFC 7009 §2) |
//! | `DELETE /Session` | empty: the bearer token of the request is revoked, as in Aidbox |
//! | `GET /jwks` | the key that verifies its JWTs (RFC 7517 §5) |
//! | `GET /.well-known/oauth-authorization-server`, `GET /.well-known/openid-configuration` | metadata (RFC 8414 §3) |

mod authorization;
mod introspection;
mod page;
mod registration;
mod revocation;
mod token;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CACHE_CONTROL, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::access_tokens::AccessTokens;
use super::authorization_codes::AuthorizationCodes;
use super::callers::{Access, Caller, forbidden_response, preflight_response};
use super::clients::{Client, Clients};
use super::credentials::Credentials;
use super::error::RequestError;
use super::listener::READ_TIMEOUT;
use super::parameters::Parameters;
use super::{DevelopmentSettings, Response, json_response};
use crate::clock;
use crate::oauth::UnixTime;

const MAX_BODY: usize = 64 * 1024;

/// How clients authenticate at the token and revocation endpoints (RFC 8414 §2).
const AUTH_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];

/// The same at the introspection endpoint, which is for clients of the file.
const SECRET_METHODS: [&str; 2] = ["client_secret_basic", "client_secret_post"];

pub(super) struct AuthorizationServer {
    settings: DevelopmentSettings,
    issuer: String,
    /// The path prefix of MobileFirst's endpoints.
    mobile_first_prefix: String,
    clients: Clients,
    codes: AuthorizationCodes,
    tokens: AccessTokens,
}

#[derive(Clone, Copy)]
enum OAuthEndpoint {
    Jwks,
    Metadata,
    Authorization,
    Registration,
    Token,
    Introspection,
    Revocation,
    EndSession,
}

/// Creates the server with a new signing key. Its issuer is `http://` and `address`.
pub(super) fn new(
    mut settings: DevelopmentSettings,
    address: SocketAddr,
) -> io::Result<Arc<AuthorizationServer>> {
    Ok(Arc::new(AuthorizationServer {
        issuer: format!("http://{address}"),
        mobile_first_prefix: format!("/{}/api/az/v1", settings.runtime),
        clients: Clients::new(std::mem::take(&mut settings.clients)),
        codes: AuthorizationCodes::new(),
        tokens: AccessTokens::new(settings.token_format, settings.algorithm)?,
        settings,
    }))
}

/// Handles one request.
pub(super) async fn handle(
    server: Arc<AuthorizationServer>,
    request: Request<Incoming>,
) -> Response {
    let endpoint = server.endpoint(request.uri().path());
    let access = endpoint.map_or(Access::Programs, |endpoint| {
        endpoint.access(request.method())
    });
    let caller = Caller::of(request.headers());
    if !caller.may_use(access, request.headers()) {
        return forbidden_response();
    }
    let Some(endpoint) = endpoint else {
        return json_response(StatusCode::NOT_FOUND, &json!({ "error": "not_found" }));
    };
    if access != Access::LoopbackPages {
        return server.respond(endpoint, request).await;
    }
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    caller.share(if is_preflight {
        preflight_response()
    } else {
        server.respond(endpoint, request).await
    })
}

impl OAuthEndpoint {
    /// Who may send it a request. Browser clients need those that MCP's authorization uses.
    fn access(self, method: &Method) -> Access {
        match self {
            Self::Authorization if method == Method::POST => Access::OwnPage,
            Self::Authorization => Access::Navigation,
            Self::Jwks | Self::Metadata | Self::Registration | Self::Token | Self::Revocation => {
                Access::LoopbackPages
            }
            Self::Introspection | Self::EndSession => Access::Programs,
        }
    }

    fn allowed_methods(self) -> &'static str {
        match self {
            Self::Jwks | Self::Metadata => "GET, HEAD",
            Self::Authorization => "GET, POST",
            Self::Registration | Self::Token | Self::Introspection | Self::Revocation => "POST",
            Self::EndSession => "DELETE",
        }
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
                "/register" => Some(OAuthEndpoint::Registration),
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

    async fn respond(&self, endpoint: OAuthEndpoint, request: Request<Incoming>) -> Response {
        match (endpoint, request.method()) {
            (OAuthEndpoint::Jwks, &Method::GET | &Method::HEAD) => {
                json_response(StatusCode::OK, &self.tokens.jwks())
            }
            (OAuthEndpoint::Metadata, &Method::GET | &Method::HEAD) => {
                json_response(StatusCode::OK, &self.metadata())
            }
            (OAuthEndpoint::Authorization, &Method::GET) => {
                not_stored(self.show_page(request.uri().query().unwrap_or_default()))
            }
            (OAuthEndpoint::Authorization, &Method::POST) => {
                not_stored(self.press_button(request).await)
            }
            (OAuthEndpoint::Registration, &Method::POST) => {
                let (head, body) = request.into_parts();
                let body = read_body(body).await;
                no_store(body.and_then(|body| self.register(&head.headers, &body)))
            }
            (OAuthEndpoint::Token, &Method::POST) => self.handle_post(request, Self::issue).await,
            (OAuthEndpoint::Introspection, &Method::POST) => {
                self.handle_post(request, Self::introspect).await
            }
            (OAuthEndpoint::Revocation, &Method::POST) => {
                self.handle_post(request, Self::revoke).await
            }
            (OAuthEndpoint::EndSession, &Method::DELETE) => {
                no_store(self.end_session(request.headers()))
            }
            (_, _) => method_not_allowed(endpoint.allowed_methods()),
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
        now: UnixTime,
    ) -> Result<Arc<Client>, RequestError> {
        let credentials = Credentials::read(headers, parameters)?;
        self.clients.authenticate(&credentials, now)
    }

    fn metadata(&self) -> Value {
        let url = |path: &str| format!("{}{path}", self.issuer);
        json!({
            "issuer": self.issuer,
            "authorization_endpoint": url("/authorize"),
            "token_endpoint": url("/token"),
            "registration_endpoint": url("/register"),
            "introspection_endpoint": url("/introspect"),
            "revocation_endpoint": url("/revoke"),
            "jwks_uri": url("/jwks"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "token_endpoint_auth_methods_supported": AUTH_METHODS,
            "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
            "introspection_endpoint_auth_methods_supported": SECRET_METHODS,
        })
    }
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

fn no_store(outcome: Result<Response, RequestError>) -> Response {
    not_stored(outcome.unwrap_or_else(error_response))
}

// No cache may store a token, its claims or a code (RFC 6749 §5.1).
fn not_stored(mut response: Response) -> Response {
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

//! An authorization server and an echo upstream in this process, **for development and tests
//! only**.
//!
//! The signing key lives as long as the process, the clients' secrets are in the configuration
//! file, and every client of the file gets the tokens that it requests. A client that registers itself
//! gets them by one press of a button. Nobody else may reach that:
//!
//! 1. Both servers listen on loopback addresses only.
//! 2. Both require a loopback name in `Host`. Otherwise a web page could request tokens by DNS
//!    rebinding: its own name, resolved to 127.0.0.1 in the developer's browser.
//! 3. Of web pages, only those of loopback origins may call it, and only some endpoints. Only its own
//!    page may give consent.
//! 4. Authorization codes are sent to loopback only.
//!
//! - `authorization_server`: the endpoints: token, introspection, revocation, JWKS, metadata
//! - `parameters`, `credentials`: what requests carry
//! - `error`: why a request is rejected
//! - `clients`: those of the file and those that register themselves
//! - `redirect_uri`: loopback redirect URIs
//! - `pkce`: challenges and verifiers (RFC 7636)
//! - `authorization_codes`: codes and open consent pages
//! - `callers`: which web pages may call which endpoint
//! - `access_tokens`: issues, recognizes and revokes access tokens
//! - `expiring_map`: a bounded map whose entries expire
//! - `audience`: the `resource` parameter (RFC 8707) and the claim `aud`
//! - `keys`: the signing key, generated at each start
//! - `echo`: the upstream that responds with the request as it arrived
//! - `listener`: sockets, timeouts and the check of `Host`

mod access_tokens;
mod audience;
mod authorization_codes;
mod authorization_server;
mod callers;
mod clients;
mod credentials;
mod echo;
mod error;
mod expiring_map;
mod keys;
mod listener;
mod parameters;
mod pkce;
mod redirect_uri;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use http_body_util::Full;
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::oauth::scope::ScopeSet;
use crate::values::{SigningAlgorithm, TokenFormat};

/// Settings of both servers: `[development]`.
#[derive(Debug)]
pub struct DevelopmentSettings {
    /// The loopback address of the authorization server; port 0 picks a free port.
    pub listen: SocketAddr,
    /// The loopback address of the echo upstream; port 0 picks a free port.
    pub echo: SocketAddr,
    /// The first segment of the MobileFirst token endpoint, `/{runtime}/api/az/v1/token`.
    pub runtime: String,
    /// Further paths of the token endpoint.
    pub token_paths: Vec<String>,
    /// The lifetime of a token whose request has no `validity_period`.
    pub token_lifetime: Duration,
    /// The format of access tokens.
    pub token_format: TokenFormat,
    /// The audience of a token whose request names no audience and no resource.
    pub audience: String,
    /// The algorithm that tokens are signed with.
    pub algorithm: SigningAlgorithm,
    /// The clients that may request tokens.
    pub clients: Vec<ConfiguredClient>,
}

/// A confidential client in the file (RFC 6749 §2).
#[derive(Debug)]
pub struct ConfiguredClient {
    /// Its `client_id`.
    pub id: String,
    /// Its `client_secret`.
    pub secret: SecretString,
    /// The scopes that it may request. A `*` is a wildcard; alone it allows every scope.
    pub allowed_scope: ScopeSet,
}

/// The running servers. Dropping this closes their listeners and connections.
#[derive(Debug)]
pub struct DevelopmentServers {
    /// The address of the authorization server. Its issuer is `http://` and this.
    pub issuer_address: SocketAddr,
    /// The address of the echo upstream.
    pub echo_address: SocketAddr,
    _servers: JoinSet<()>,
}

/// Binds both servers and serves them on the current tokio runtime.
///
/// # Errors
/// An address is not loopback, or cannot be listened on.
pub async fn start(settings: DevelopmentSettings) -> io::Result<DevelopmentServers> {
    let (issuer_listener, issuer_address) = listener::bind(settings.listen).await?;
    let (echo_listener, echo_address) = listener::bind(settings.echo).await?;
    let authorization_server = authorization_server::new(settings, issuer_address)?;

    let mut servers = JoinSet::new();
    servers.spawn(listener::serve(
        issuer_listener,
        Some(issuer_address.port()),
        move |request| authorization_server::handle(authorization_server.clone(), request),
    ));
    // The gateway may pass on the Host of its client, so the echo upstream accepts any port.
    servers.spawn(listener::serve(echo_listener, None, echo::handle));
    Ok(DevelopmentServers {
        issuer_address,
        echo_address,
        _servers: servers,
    })
}

type Response = http::Response<Full<Bytes>>;

fn json_response(status: StatusCode, value: &impl serde::Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("the values of this module have string keys");
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

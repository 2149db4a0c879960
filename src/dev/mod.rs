//! An authorization server and an echoing upstream in this process, **for development and tests only**.
//!
//! Its keys live as long as the process, its clients' secrets stand in a file, and it grants what it is asked for. So
//! it listens on loopback alone, and it answers only who calls it by a loopback name: a page in the developer's browser
//! whose own name resolves to 127.0.0.1 (DNS rebinding) can ask for tokens as little as a neighbour on the network.
//!
//! - `authorization_server`: what it answers: tokens, their introspection and revocation, keys, metadata
//! - `request`: what clients' requests have in common, and what may be wrong with them
//! - `access_tokens`: the tokens that it issues, and how it knows them again
//! - `memory`: what is remembered of tokens until they expire
//! - `keys`: the signing key, made fresh at each start
//! - `echo`: the upstream that describes the request it got
//! - `listener`: the sockets, the time-outs and the check of the Host header

mod access_tokens;
mod authorization_server;
mod echo;
mod keys;
mod listener;
mod memory;
mod request;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use secrecy::SecretString;
use tokio::task::JoinSet;

use crate::oauth::scope::ScopeSet;
use crate::values::{SigningAlgorithm, TokenFormat};

/// What the development servers are to be.
#[derive(Debug)]
pub struct Settings {
    /// Where the authorization server listens, on loopback; port 0 picks one.
    pub listen: SocketAddr,
    /// Where the echo upstream listens, on loopback; port 0 picks one.
    pub echo: SocketAddr,
    /// The first segment of the MobileFirst token endpoint, `/{runtime}/api/az/v1/token`.
    pub runtime: String,
    /// How long a token lives when the client asks for no `validity_period`.
    pub token_lifetime: Duration,
    /// What a token looks like.
    pub token_format: TokenFormat,
    /// The audience of a token when the client asks for no other.
    pub audience: String,
    /// What tokens are signed with.
    pub algorithm: SigningAlgorithm,
    /// Who may ask for tokens.
    pub clients: Vec<Client>,
}

/// A confidential client (RFC 6749 §2.1).
#[derive(Debug)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// Its `client_secret`.
    pub secret: SecretString,
    /// What it may ask for. A `*` stands for many scopes; alone it stands for all.
    pub allowed_scope: ScopeSet,
}

/// The running servers. They stop, and their connections close, when this is dropped.
#[derive(Debug)]
pub struct Development {
    /// Where the authorization server listens; its issuer is `http://` and this.
    pub issuer_address: SocketAddr,
    /// Where the echo upstream listens.
    pub echo_address: SocketAddr,
    _servers: JoinSet<()>,
}

/// Binds both servers and serves them on the caller's tokio runtime.
///
/// # Errors
/// Names the address that is not loopback or cannot be listened on.
pub async fn start(settings: Settings) -> io::Result<Development> {
    let (issuer_listener, issuer_address) = listener::bind(settings.listen).await?;
    let (echo_listener, echo_address) = listener::bind(settings.echo).await?;
    let authorization_server = authorization_server::new(settings, issuer_address)?;

    let mut servers = JoinSet::new();
    servers.spawn(listener::serve(
        issuer_listener,
        Some(issuer_address.port()),
        move |request| authorization_server::answer(authorization_server.clone(), request),
    ));
    // A gateway passes on the Host that its own client sent, so the echo cannot insist on its own port.
    servers.spawn(listener::serve(echo_listener, None, echo::answer));
    Ok(Development {
        issuer_address,
        echo_address,
        _servers: servers,
    })
}

type Answer = Response<Full<Bytes>>;

fn json(status: StatusCode, value: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(value)
        .expect("our answers have string keys, so they can be written as JSON");
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

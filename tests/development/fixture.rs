//! Running development servers, and a client for them.

use std::net::SocketAddr;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use reqwest::redirect::Policy;
use reqwest::{Client as HttpClient, RequestBuilder, Response, StatusCode};
use scopegate::dev::{ConfiguredClient, DevelopmentServers, DevelopmentSettings};
use scopegate::oauth::scope::{GrantedWildcards, ScopeSet};
use scopegate::values::{SigningAlgorithm, TokenFormat};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) const FORMATS: [TokenFormat; 2] = [TokenFormat::Jwt, TokenFormat::Opaque];

/// Running servers and a client for them.
pub(crate) struct Fixture {
    pub(crate) servers: DevelopmentServers,
    pub(crate) http: HttpClient,
}

pub(crate) fn settings(algorithm: SigningAlgorithm) -> DevelopmentSettings {
    let client = |id: &str, secret: &str, scope: &str| ConfiguredClient {
        id: id.to_owned(),
        secret: secret.to_owned().into(),
        allowed_scope: ScopeSet::parse(scope, GrantedWildcards::Honoured).expect("few scopes"),
    };
    DevelopmentSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        echo: ([127, 0, 0, 1], 0).into(),
        runtime: "mfp".to_owned(),
        token_paths: vec!["/oauth2/token".to_owned()],
        token_lifetime: Duration::from_secs(3600),
        token_format: TokenFormat::Jwt,
        audience: "scopegate-development".to_owned(),
        algorithm,
        clients: vec![
            client("test", "test", "*"),
            client("narrow", "narrow", "messages.write push.application.*"),
            client("plain", "x+y%41", "read"),
            client("odd:id & co", "100% +s/e=cret:", "read"),
        ],
    }
}

impl Fixture {
    // The key that is fastest to generate; the algorithms have a test of their own.
    pub(crate) async fn new() -> Self {
        Self::with(SigningAlgorithm::EdDsa).await
    }

    pub(crate) async fn with(algorithm: SigningAlgorithm) -> Self {
        Self::start(settings(algorithm)).await
    }

    pub(crate) async fn with_format(token_format: TokenFormat) -> Self {
        Self::start(DevelopmentSettings {
            token_format,
            ..settings(SigningAlgorithm::EdDsa)
        })
        .await
    }

    pub(crate) async fn start(settings: DevelopmentSettings) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let servers = scopegate::dev::start(settings)
            .await
            .expect("both servers start");
        Self {
            servers,
            http: HttpClient::builder()
                .no_proxy()
                .redirect(Policy::none())
                .build()
                .expect("a client"),
        }
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.servers.issuer_address)
    }

    pub(crate) fn echo(&self) -> String {
        format!("http://{}", self.servers.echo_address)
    }

    pub(crate) fn token_request(&self, body: &str) -> RequestBuilder {
        let request = self.http.post(format!("{}/token", self.issuer()));
        request.header("content-type", FORM).body(body.to_owned())
    }

    /// A token for the client `test`.
    pub(crate) async fn token(&self, body: &str) -> String {
        let (_, response) = self
            .request_token(&format!("grant_type=client_credentials&{body}"))
            .await;
        response["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token: {response}"))
            .to_owned()
    }

    pub(crate) fn introspection_request(&self, token: &str) -> RequestBuilder {
        self.http
            .post(format!("{}/introspect", self.issuer()))
            .form(&[("token", token)])
    }

    pub(crate) fn revocation_request(&self, token: &str) -> RequestBuilder {
        self.http
            .post(format!("{}/revoke", self.issuer()))
            .form(&[("token", token)])
    }

    pub(crate) fn end_session_request(&self) -> RequestBuilder {
        self.http.delete(format!("{}/Session", self.issuer()))
    }

    /// The introspection response that the client `test` gets.
    pub(crate) async fn introspect(&self, token: &str) -> Value {
        let (status, response) = read(
            self.introspection_request(token)
                .basic_auth("test", Some("test")),
        )
        .await;
        assert_eq!(status, StatusCode::OK, "{response}");
        response
    }

    /// Sends a token request as the client `test`.
    pub(crate) async fn request_token(&self, body: &str) -> (StatusCode, Value) {
        read(self.token_request(body).basic_auth("test", Some("test"))).await
    }

    pub(crate) async fn claims(&self, body: &str) -> Value {
        let (_, response) = self.request_token(body).await;
        self.verify(&response, Algorithm::EdDSA).await
    }

    /// Verifies a token response with the published keys and jsonwebtoken's own rules.
    pub(crate) async fn verify(&self, response: &Value, algorithm: Algorithm) -> Value {
        let token = response["access_token"].as_str().expect("an access token");
        let header = decode_header(token).expect("a JOSE header");
        assert_eq!(
            (header.typ.as_deref(), header.alg),
            (Some("at+jwt"), algorithm)
        );
        let (_, keys) = read(self.http.get(format!("{}/jwks", self.issuer()))).await;
        assert_eq!(keys["keys"][0]["use"], "sig");
        assert!(keys["keys"][0]["alg"].is_string() && keys["keys"][0]["d"].is_null());
        let keys: JwkSet = serde_json::from_value(keys).expect("a JWKS");
        let key = keys
            .find(&header.kid.expect("a kid"))
            .expect("the key that the token names");
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&[self.issuer()]);
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(key).expect("a usable key");
        decode::<Value>(token, &key, &validation)
            .expect("a token that verifies")
            .claims
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("a response")
}

pub(crate) async fn read(request: RequestBuilder) -> (StatusCode, Value) {
    let response = send(request).await;
    let status = response.status();
    (status, response.json().await.expect("a JSON body"))
}

/// Sends bytes unchanged, and returns everything until the connection closes.
pub(crate) async fn send_raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("the request is sent");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("a response");
    response
}

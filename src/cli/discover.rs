//! `scopegate discover METHOD URL`: requests a token with the scope that an API asks for.
//!
//! 1. Requests an access token with an empty scope (client credentials, RFC 6749 §4.4).
//! 2. Sends the request with it. A 403 names the missing scope (RFC 6750 §3.1).
//! 3. Requests a token with that scope, and sends the request again.
//!
//! Each step is printed to standard error. The response or the token goes to standard output.

mod required_scope;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;
use url::form_urlencoded::Serializer;
use zeroize::Zeroizing;

use super::inputs::{HeaderFrom, TextFrom};
use crate::http_client::{HttpClient, HttpResponse};
use crate::oauth::bearer::BearerToken;
use crate::oauth::json;
use crate::oauth::scope::ScopePattern;
use crate::text::{quoted, truncated};
use crate::transport::tls;
use crate::values::BasicEncoding;
use crate::verify::introspection::basic_credentials;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The time for a whole response. The API may be slow.
const TIMEOUT: Duration = Duration::from_secs(60);
const MAX_TOKEN_RESPONSE: usize = 1024 * 1024;
const MAX_RESPONSE: usize = 64 * 1024 * 1024;

/// The arguments of `scopegate discover`.
#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The method of the request
    method: String,
    /// Its URL
    url: String,
    /// The token endpoint of the authorization server
    #[arg(long, value_name = "URL", env = "SCOPEGATE_TOKEN_ENDPOINT")]
    token_endpoint: String,
    /// The client that requests tokens
    #[arg(long, value_name = "ID", env = "SCOPEGATE_CLIENT_ID")]
    client_id: String,
    /// Its secret; @FILE reads a file, and - standard input, so that no process list shows it
    #[arg(
        long,
        value_name = "SECRET",
        env = "SCOPEGATE_CLIENT_SECRET",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    client_secret: TextFrom,
    /// A header of the request, such as 'Content-Type: application/json'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<HeaderFrom>,
    /// The body of the request; @FILE reads a file, and - standard input
    #[arg(long, value_name = "BODY", allow_hyphen_values = true)]
    body: Option<TextFrom>,
    /// Print the access token instead of the response
    #[arg(long)]
    print_token: bool,
}

/// Discovers the scope. The exit code is 0 if the API accepts the request, 1 if not, 2 if the input
/// is bad.
pub(super) fn discover(arguments: &Arguments) -> ExitCode {
    let session = match Session::new(arguments) {
        Ok(session) => session,
        Err(message) => return super::bad_input(message),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let found = runtime
        .map_err(|error| error.to_string())
        .and_then(|runtime| runtime.block_on(session.discover()));
    let (token, response) = match found {
        Ok(found) => found,
        Err(message) => {
            eprintln!("scopegate: {message}");
            return ExitCode::FAILURE;
        }
    };
    let is_accepted = !response.status.is_client_error() && !response.status.is_server_error();
    let printed = if arguments.print_token && is_accepted {
        super::print_output(format!("{}\n", token.as_str()).as_bytes())
    } else {
        super::print_output(&response.body)
    };
    if is_accepted {
        printed
    } else {
        ExitCode::FAILURE
    }
}

/// What the steps have in common.
struct Session {
    http: HttpClient,
    token_endpoint: Url,
    /// `Authorization` of token requests.
    client: HeaderValue,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

impl Session {
    fn new(arguments: &Arguments) -> Result<Self, String> {
        let method = Method::from_bytes(arguments.method.as_bytes()).map_err(|_| {
            format!(
                "METHOD: expected the name of a method such as GET, but found {:?}",
                arguments.method
            )
        })?;
        let secret = arguments
            .client_secret
            .read("--client-secret", "a secret")?;
        let secret = std::str::from_utf8(&secret)
            .map_err(|_| "--client-secret: expected UTF-8, but found other bytes")?;
        let secret = SecretString::from(secret);
        let client = basic_credentials(&arguments.client_id, &secret, BasicEncoding::Minimal);
        let mut headers = HeaderMap::new();
        for header in &arguments.headers {
            let (name, value) = header.parse()?;
            if name == header::AUTHORIZATION {
                return Err(
                    "--header: expected no Authorization, but found one (discover sets it)"
                        .to_owned(),
                );
            }
            headers.append(name, value);
        }
        let body = match &arguments.body {
            Some(body) => Bytes::copy_from_slice(&body.read("--body", "a body")?),
            None => Bytes::new(),
        };
        let http = tls::client(tls::system_roots(), None)
            .map_err(|error| error.to_string())
            .and_then(|tls| {
                HttpClient::new(tls, CONNECT_TIMEOUT, TIMEOUT).map_err(|error| error.to_string())
            })?;
        Ok(Self {
            http,
            token_endpoint: parse_url("--token-endpoint", &arguments.token_endpoint)?,
            client,
            method,
            url: parse_url("URL", &arguments.url)?,
            headers,
            body,
        })
    }

    /// The last token, and the response to the last request.
    async fn discover(&self) -> Result<(Zeroizing<String>, HttpResponse), String> {
        let token = self.request_token("").await?;
        let response = self.send(&token).await?;
        if response.status != StatusCode::FORBIDDEN {
            return Ok((token, response));
        }
        let challenges = response.headers.get_all(header::WWW_AUTHENTICATE);
        let scope = challenges
            .iter()
            .filter_map(|value| required_scope::parse(value.to_str().ok()?))
            .next();
        let Some(scope) = scope else {
            step("the 403 names no scope");
            return Ok((token, response));
        };
        // It goes into a request and onto a terminal.
        if !scope
            .split(' ')
            .all(|one| ScopePattern::literal(one).is_ok())
        {
            return Err(format!(
                "expected a scope in the 403, but found {:?}",
                truncated(&scope)
            ));
        }
        let token = self.request_token(&scope).await?;
        let response = self.send(&token).await?;
        Ok((token, response))
    }

    /// Requests a token by the client credentials grant (RFC 6749 §4.4.2).
    async fn request_token(&self, scope: &str) -> Result<Zeroizing<String>, String> {
        let endpoint = &self.token_endpoint;
        step(format!("POST {endpoint} with scope {scope:?}"));
        let headers = [
            (header::AUTHORIZATION, self.client.clone()),
            (header::ACCEPT, HeaderValue::from_static("application/json")),
        ];
        let form = Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", scope)
            .finish();
        let response = self
            .http
            .post_form(
                endpoint.as_str(),
                HeaderMap::from_iter(headers),
                form,
                MAX_TOKEN_RESPONSE,
            )
            .await
            .map_err(|error| format!("{endpoint}: {error}"))?;
        let status = response.status;
        let members = json::parse_object(&response.body).unwrap_or_default();
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if status != StatusCode::OK {
            return Err(format!(
                "{endpoint}: expected a token, but found status {status}, error {}, description {}",
                quoted(text("error").map(truncated).as_deref()),
                quoted(text("error_description").map(truncated).as_deref()),
            ));
        }
        let token = text("access_token")
            .filter(|_| text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")))
            .and_then(BearerToken::parse)
            .ok_or_else(|| format!("{endpoint}: expected a bearer token, but found none"))?;
        // A response without scope grants the requested one (RFC 6749 §5.1).
        let granted = quoted(text("scope").or(Some(scope)));
        step(format!("{status}, a token with scope {granted}"));
        Ok(Zeroizing::new(token.as_str().to_owned()))
    }

    /// Sends the request with a token.
    async fn send(&self, token: &str) -> Result<HttpResponse, String> {
        let url = &self.url;
        let error = |error: &dyn Display| format!("{}: {error}", without_query(url));
        step(format!("{} {}", self.method, without_query(url)));
        let mut authorization =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|invalid| error(&invalid))?;
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(&self.method)
            .uri(url.as_str())
            .body(self.body.clone())
            .map_err(|invalid| error(&invalid))?;
        request.headers_mut().extend(self.headers.clone());
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, authorization);
        let response = self.http.send(request, MAX_RESPONSE).await;
        let response = response.map_err(|failure| error(&failure))?;
        step(response.status);
        for challenge in response.headers.get_all(header::WWW_AUTHENTICATE) {
            let text = String::from_utf8_lossy(challenge.as_bytes());
            // A terminal obeys control characters.
            let text: String = text.chars().filter(|char| !char.is_control()).collect();
            step(format!("WWW-Authenticate: {text}"));
        }
        Ok(response)
    }
}

/// A query may hold a secret.
fn without_query(url: &Url) -> &str {
    &url[..url::Position::AfterPath]
}

fn step(text: impl Display) {
    eprintln!("{text}");
}

fn parse_url(place: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| format!("{place}: expected an http or https URL, but found another text"))?;
    if url.username().is_empty() && url.password().is_none() {
        Ok(url)
    } else {
        Err(format!(
            "{place}: expected a URL without user name, but found one"
        ))
    }
}

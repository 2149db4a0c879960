//! The registration endpoint: clients introduce themselves (RFC 7591).
//!
//! Everybody on this machine may register. A registered client can do one thing: receive codes on
//! loopback, after consent.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{AuthorizationServer, now};
use crate::dev::access_tokens::random_text;
use crate::dev::clients::{Client, ClientSource};
use crate::dev::error::RequestError;
use crate::dev::redirect_uri::RedirectUri;
use crate::dev::{Response, json_response};
use crate::oauth::scope::{GrantedWildcards, ScopeSet};

const MAX_REDIRECT_URIS: usize = 8;
const MAX_NAME: usize = 200;

/// What the server reads of the metadata (RFC 7591 §2). It ignores all other members.
#[derive(Deserialize)]
struct RequestedMetadata {
    redirect_uris: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    client_name: Option<String>,
}

/// The response (RFC 7591 §3.2.1).
#[derive(Serialize)]
struct RegistrationResponse<'r> {
    client_id: &'r str,
    client_id_issued_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'r str>,
    redirect_uris: &'r [String],
    token_endpoint_auth_method: &'r str,
    grant_types: [&'static str; 1],
    response_types: [&'static str; 1],
}

impl AuthorizationServer {
    pub(super) fn register(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Response, RequestError> {
        let requested = RequestedMetadata::parse(headers, body)?;
        let redirect_uris = requested.redirect_uris.as_deref().unwrap_or_default();
        let parsed = parse_redirect_uris(redirect_uris)?;
        let method = requested.check()?;

        let now = now();
        let id = random_text::<16>()?;
        let secret = match method {
            "none" => None,
            _ => Some(random_text::<32>()?),
        };
        let name = requested.client_name.as_deref();
        let response = json_response(
            StatusCode::CREATED,
            &RegistrationResponse {
                client_id: &id,
                client_id_issued_at: now.as_seconds(),
                client_secret: secret.as_deref(),
                // Never (RFC 7591 §3.2.1).
                client_secret_expires_at: secret.is_some().then_some(0),
                client_name: name,
                redirect_uris,
                token_endpoint_auth_method: method,
                grant_types: ["authorization_code"],
                response_types: ["code"],
            },
        );
        tracing::debug!(client = id, "client registered");
        let every_scope = ScopeSet::parse("*", GrantedWildcards::Honoured);
        let client = Client {
            name: name.unwrap_or("a client without a name").to_owned(),
            id,
            secret: secret.map(SecretString::from),
            allowed_scope: every_scope.unwrap_or(ScopeSet::empty()),
            source: ClientSource::Registration(parsed),
        };
        self.clients.register(client, now);
        Ok(response)
    }
}

impl RequestedMetadata {
    fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, RequestError> {
        let content_type = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = content_type.unwrap_or_default().split(';').next();
        // With any other type a page could send it without a preflight.
        let is_json = media_type
            .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"));
        let requested = is_json.then(|| serde_json::from_slice(body).ok()).flatten();
        requested.ok_or(RequestError::InvalidClientMetadata(
            "expected client metadata in JSON, with a matching Content-Type",
        ))
    }

    /// Refuses what the server cannot give. Returns the authentication method.
    fn check(&self) -> Result<&str, RequestError> {
        let offers = |list: &Option<Vec<String>>, only: &str| {
            list.as_ref()
                .is_none_or(|list| list.iter().any(|element| element == only))
        };
        if !offers(&self.grant_types, "authorization_code") {
            return Err(RequestError::InvalidClientMetadata(
                "expected authorization_code among grant_types",
            ));
        }
        if !offers(&self.response_types, "code") {
            return Err(RequestError::InvalidClientMetadata(
                "expected code among response_types",
            ));
        }
        let name = self.client_name.as_deref().unwrap_or_default();
        if name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(RequestError::InvalidClientMetadata(
                "expected a client_name of at most 200 characters, none of them a control character",
            ));
        }
        let method = self.token_endpoint_auth_method.as_deref();
        match method.unwrap_or("client_secret_basic") {
            method @ ("none" | "client_secret_basic" | "client_secret_post") => Ok(method),
            _ => Err(RequestError::InvalidClientMetadata(
                "expected token_endpoint_auth_method none, client_secret_basic or client_secret_post",
            )),
        }
    }
}

fn parse_redirect_uris(uris: &[String]) -> Result<Vec<RedirectUri>, RequestError> {
    if uris.is_empty() || uris.len() > MAX_REDIRECT_URIS {
        return Err(RequestError::InvalidRedirectUri);
    }
    uris.iter()
        .map(|uri| RedirectUri::parse(uri).ok_or(RequestError::InvalidRedirectUri))
        .collect()
}

//! The gateway's own access token, for servers that require one for introspection (RFC 7662 §2.1).
//!
//! 1. The client credentials grant (RFC 6749 §4.4) fetches it when it is first needed. Concurrent
//!    requests share the fetch.
//! 2. It is renewed [`RENEW_BEFORE_EXPIRY`] before it expires. If that fails, it stays in use until it
//!    expires, and the renewal is retried after [`FAILURE_TTL`].
//! 3. If the server refuses it, it is replaced, but at most once per [`MIN_DROP_INTERVAL`]. Some servers
//!    respond alike if they refuse the introspected token, and such tokens must not cause a new fetch
//!    each time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::Value;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;

use super::MAX_RESPONSE;
use super::client_authentication::ClientAuthentication;
use crate::clock;
use crate::http_client::{HttpClient, HttpError, HttpResponse};
use crate::oauth::UnixTime;
use crate::oauth::bearer::BearerToken;
use crate::oauth::json::{self, JsonError};
use crate::verify::discovery::{DiscoveryError, Endpoint};

/// So no request carries a token that expires on the way.
const RENEW_BEFORE_EXPIRY: Duration = Duration::from_secs(30);

/// For a server that sends no `expires_in`. If a token expires earlier, the server refuses it and a new
/// one is fetched.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);

/// A failure is remembered for this long, so that all waiting requests share it.
const FAILURE_TTL: Duration = Duration::from_secs(1);

const MIN_DROP_INTERVAL: Duration = Duration::from_secs(10);

/// The gateway's own access token, while it has one.
pub struct ClientCredentialsToken {
    endpoint: Endpoint,
    client: ClientAuthentication,
    scope: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<CachedToken>,
    failure: Option<(Instant, Arc<ClientCredentialsError>)>,
    dropped: Option<Instant>,
}

struct CachedToken {
    authorization: HeaderValue,
    renew_from: Instant,
    expires_at: Instant,
}

/// Why the gateway has no token of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientCredentialsError {
    /// The token endpoint is not known.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// No response.
    #[error("{url}: {source}")]
    Fetch {
        /// The token endpoint.
        url: String,
        /// Why.
        source: HttpError,
    },
    /// Not a 200.
    #[error("{url}: expected status 200, but found {status}{} (see client_id, its secret and scope)", described(.error.as_deref()))]
    Status {
        /// The token endpoint.
        url: String,
        /// The status.
        status: u16,
        /// `error` of the response (RFC 6749 §5.2).
        error: Option<String>,
    },
    /// Not JSON.
    #[error("{url}: {source}")]
    NotJson {
        /// The token endpoint.
        url: String,
        /// What is wrong with it.
        source: JsonError,
    },
    /// JSON without a bearer token.
    #[error("{url}: expected access_token and token_type Bearer, but found something else")]
    NoBearerToken {
        /// The token endpoint.
        url: String,
    },
}

impl ClientCredentialsToken {
    /// Fetches tokens of `scope` from `endpoint`.
    #[must_use]
    pub fn new(endpoint: Endpoint, client: ClientAuthentication, scope: String) -> Self {
        Self {
            endpoint,
            client,
            scope,
            state: Mutex::default(),
        }
    }

    /// The value of an `Authorization` header.
    ///
    /// # Errors
    /// [`ClientCredentialsError`]
    pub(super) async fn authorization(
        &self,
        http: &HttpClient,
        now: UnixTime,
    ) -> Result<HeaderValue, Arc<ClientCredentialsError>> {
        // Locked during the fetch: one request serves all who wait.
        let mut state = self.state.lock().await;
        if let Some(held) = state
            .held
            .as_ref()
            .filter(|held| clock::now() < held.renew_from)
        {
            return Ok(held.authorization.clone());
        }
        let failure = match &state.failure {
            Some((at, failure)) if clock::since(*at) < FAILURE_TTL => Arc::clone(failure),
            Some(_) | None => match self.fetch(http, now).await {
                Ok(held) => {
                    let authorization = held.authorization.clone();
                    *state = State {
                        held: Some(held),
                        failure: None,
                        dropped: state.dropped,
                    };
                    return Ok(authorization);
                }
                Err(error) => {
                    self.endpoint.forget().await;
                    let error = Arc::new(error);
                    state.failure = Some((clock::now(), Arc::clone(&error)));
                    error
                }
            },
        };
        match state
            .held
            .as_ref()
            .filter(|held| clock::now() < held.expires_at)
        {
            Some(held) => Ok(held.authorization.clone()),
            None => Err(failure),
        }
    }

    /// Drops the token that the server has refused, unless it was replaced already. Returns whether a
    /// retry is worthwhile.
    pub(super) async fn refused(&self, authorization: &HeaderValue) -> bool {
        let mut state = self.state.lock().await;
        if state
            .held
            .as_ref()
            .is_none_or(|held| held.authorization != authorization)
        {
            return true;
        }
        if state
            .dropped
            .is_some_and(|at| clock::since(at) < MIN_DROP_INTERVAL)
        {
            return false;
        }
        state.held = None;
        state.dropped = Some(clock::now());
        true
    }

    async fn fetch(
        &self,
        http: &HttpClient,
        now: UnixTime,
    ) -> Result<CachedToken, ClientCredentialsError> {
        let requested_at = clock::now();
        let url = self.endpoint.url(http).await?;
        let (headers, form) = self.request(now);
        match http.post_form(&url, headers, form, MAX_RESPONSE).await {
            Ok(response) => read(&response, &url, requested_at),
            Err(source) => Err(ClientCredentialsError::Fetch { url, source }),
        }
    }

    // RFC 6749 §4.4.2.
    fn request(&self, now: UnixTime) -> (HeaderMap, String) {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials")
            .append_pair("scope", &self.scope);
        self.client.authenticate(&mut headers, &mut form, now);
        (headers, form.finish())
    }
}

impl ClientCredentialsError {
    /// Whether this looks like an outage of the server.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Discovery(DiscoveryError::Fetch { source, .. }) | Self::Fetch { source, .. } => {
                source.is_outage()
            }
            Self::Status { status, .. } => *status >= 500,
            Self::Discovery(_) | Self::NotJson { .. } | Self::NoBearerToken { .. } => false,
        }
    }
}

fn read(
    response: &HttpResponse,
    url: &str,
    requested_at: Instant,
) -> Result<CachedToken, ClientCredentialsError> {
    let url = url.to_owned();
    let members = json::parse_object(&response.body);
    if response.status != StatusCode::OK {
        let error = members
            .ok()
            .and_then(|members| Some(members.get("error")?.as_str()?.to_owned()));
        return Err(ClientCredentialsError::Status {
            url,
            status: response.status.as_u16(),
            error,
        });
    }
    let members = match members {
        Ok(members) => members,
        Err(source) => return Err(ClientCredentialsError::NotJson { url, source }),
    };
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let is_bearer = text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer"));
    let token = text("access_token")
        .filter(|_| is_bearer)
        .and_then(BearerToken::parse);
    let value =
        token.and_then(|token| HeaderValue::try_from(format!("Bearer {}", token.as_str())).ok());
    let Some(mut authorization) = value else {
        return Err(ClientCredentialsError::NoBearerToken { url });
    };
    authorization.set_sensitive(true);
    let lifetime = members
        .get("expires_in")
        .and_then(Value::as_u64)
        .map_or(DEFAULT_LIFETIME, Duration::from_secs);
    // A day at most, whatever the server says: WSO2 says 292 million years.
    let lifetime = lifetime.min(Duration::from_secs(24 * 3600));
    let renewed_after = lifetime
        .checked_sub(RENEW_BEFORE_EXPIRY)
        .filter(|span| !span.is_zero())
        .unwrap_or(lifetime / 2);
    Ok(CachedToken {
        authorization,
        renew_from: requested_at + renewed_after,
        expires_at: requested_at + lifetime,
    })
}

// The server's error code, if it has the form of one.
fn described(error: Option<&str>) -> String {
    let is_word = |error: &&str| {
        error.len() <= 64
            && error
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    error
        .filter(is_word)
        .map(|error| format!(" ({error})"))
        .unwrap_or_default()
}

//! The HTTP client of the control plane. It limits the size and the time of responses, and follows
//! no redirects.
//!
//! It fetches metadata, JWKS and the gateway's own access token, sends introspection requests, and
//! exports spans to a collector.

mod egress_proxy;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use reqwest::redirect;

pub use egress_proxy::EgressProxy;

use crate::text::truncated;

/// How long reading credentials may take.
const MAX_READ: Duration = Duration::from_secs(5);

/// A client of one server.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    proxy: Option<Arc<EgressProxy>>,
    credentials: Option<Arc<dyn FetchCredentials>>,
}

/// The credentials that fetch documents.
pub(crate) trait FetchCredentials: std::fmt::Debug + Send + Sync {
    /// `Authorization` for a fetch of `url`; `None` if that origin must not see it. May block.
    ///
    /// # Errors
    /// Why there is none, without any of its content.
    fn authorization(&self, url: &str) -> Result<Option<HeaderValue>, String>;
}

/// A complete response of any status.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why a request failed. A client of the gateway is never the cause.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection was refused, reset or untrusted, or the server was too slow.
    #[error("no response{}: {}", through(proxy.as_deref()), root_cause(source))]
    NoResponse {
        /// Why.
        source: reqwest::Error,
        /// The proxy of the request, without its credentials.
        proxy: Option<Arc<str>>,
    },
    /// The proxy of a request over http wants credentials. Over https, it sends no response.
    #[error("no response{}: proxy authorization required", through(Some(proxy)))]
    ProxyCredentials {
        /// The proxy, without its credentials.
        proxy: Arc<str>,
    },
    /// A status other than 200, such as a redirect.
    #[error("expected status 200, but found {status}{}{}", redirection(.location.as_deref()), withheld(*.is_withheld))]
    Status {
        /// The status.
        status: u16,
        /// `Location`, truncated.
        location: Option<String>,
        /// Whether the server asks for credentials, and there are some that its origin must not see.
        is_withheld: bool,
    },
    /// The credentials of the fetch cannot be read.
    #[error("{0}")]
    NoCredentials(String),
    /// The body exceeds the caller's limit.
    #[error("expected at most {max} bytes, but found more")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl HttpError {
    /// Whether the connection failed, so that the server has received no request.
    pub(crate) fn is_connect(&self) -> bool {
        match self {
            Self::NoResponse { source, .. } => source.is_connect(),
            Self::ProxyCredentials { .. } => true,
            Self::Status { .. } | Self::NoCredentials(_) | Self::TooLarge { .. } => false,
        }
    }

    /// Whether the server seems to be down.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::NoResponse { .. } | Self::ProxyCredentials { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            Self::NoCredentials(_) | Self::TooLarge { .. } => false,
        }
    }
}

impl HttpClient {
    /// Creates a client. `timeout` covers each request and its response.
    ///
    /// # Errors
    /// If the TLS configuration is unusable.
    pub fn new(
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        let builder = builder(tls, connect_timeout, timeout).no_proxy();
        Self::built(builder, None)
    }

    /// Creates a client whose requests go through `proxy`. `connect_timeout` includes that it opens
    /// a tunnel.
    ///
    /// # Errors
    /// If the TLS configuration is unusable.
    pub fn with_proxy(
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
        timeout: Duration,
        proxy: Arc<EgressProxy>,
    ) -> Result<Self, reqwest::Error> {
        let proxies = Arc::clone(&proxy);
        let proxies = reqwest::Proxy::custom(move |url| proxies.url_for(url));
        let builder = builder(tls, connect_timeout, timeout).proxy(proxies);
        Self::built(builder, Some(proxy))
    }

    fn built(
        builder: reqwest::ClientBuilder,
        proxy: Option<Arc<EgressProxy>>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            client: builder.build()?,
            proxy,
            credentials: None,
        })
    }

    /// Fetches documents with these credentials. Other requests have their own.
    #[must_use]
    pub(crate) fn with_credentials(self, credentials: Arc<dyn FetchCredentials>) -> Self {
        Self {
            credentials: Some(credentials),
            ..self
        }
    }

    /// Fetches a JSON document of at most `max` bytes.
    ///
    /// # Errors
    /// [`HttpError`], also for any status other than 200.
    pub(crate) async fn get_json(&self, url: &str, max: usize) -> Result<HttpResponse, HttpError> {
        let mut request = self
            .client
            .get(url)
            .header(header::ACCEPT, "application/json, application/jwk-set+json");
        let authorization = self.authorization(url).await?;
        let is_withheld = self.credentials.is_some() && authorization.is_none();
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let response = self.received(request.send().await)?;
        if response.status() == StatusCode::OK {
            self.read(response, max).await
        } else {
            let location = response.headers().get(header::LOCATION);
            let location = location.and_then(|location| location.to_str().ok());
            let status = response.status();
            let asks = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
            Err(HttpError::Status {
                status: status.as_u16(),
                location: location.map(truncated),
                is_withheld: is_withheld && asks,
            })
        }
    }

    // On another thread, because a file system may block; no longer than a fetch may last at most.
    async fn authorization(&self, url: &str) -> Result<Option<HeaderValue>, HttpError> {
        let Some(credentials) = &self.credentials else {
            return Ok(None);
        };
        let (credentials, url) = (Arc::clone(credentials), url.to_owned());
        let read = tokio::task::spawn_blocking(move || credentials.authorization(&url));
        match tokio::time::timeout(MAX_READ, read).await {
            Ok(Ok(read)) => read.map_err(HttpError::NoCredentials),
            Ok(Err(_)) | Err(_) => {
                let cause = "expected a bearer token for the fetch, but reading it took too long";
                Err(HttpError::NoCredentials(cause.to_owned()))
            }
        }
    }

    /// Posts a form that is safe to send twice. The response may have `max` bytes.
    ///
    /// # Errors
    /// If there is no response, or a larger one. The caller checks the status.
    pub(crate) async fn post_form(
        &self,
        url: &str,
        headers: HeaderMap,
        form: String,
        max: usize,
    ) -> Result<HttpResponse, HttpError> {
        let send = || {
            let request = self.client.post(url).headers(headers.clone());
            request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone())
                .send()
        };
        let response = match send().await {
            // The server may have closed an idle connection while the request was written.
            Err(error) if !error.is_connect() && !error.is_timeout() => send().await,
            other => other,
        };
        self.read(self.received(response)?, max).await
    }

    /// Sends a request once. The response may have `max` bytes.
    ///
    /// # Errors
    /// As [`HttpClient::post_form`]. The caller checks the status.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        max: usize,
    ) -> Result<HttpResponse, HttpError> {
        let sent = match request.try_into() {
            Ok(request) => self.client.execute(request).await,
            Err(error) => Err(error),
        };
        self.read(self.received(sent)?, max).await
    }

    fn received(
        &self,
        sent: Result<reqwest::Response, reqwest::Error>,
    ) -> Result<reqwest::Response, HttpError> {
        let response = sent.map_err(|source| {
            let proxy = source.url().and_then(|url| self.proxy_for(url));
            HttpError::NoResponse { source, proxy }
        })?;
        // A server that is reached through a tunnel is no proxy, whatever it responds.
        let is_from_proxy = response.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED
            && response.url().scheme() == "http";
        match self.proxy_for(response.url()) {
            Some(proxy) if is_from_proxy => Err(HttpError::ProxyCredentials { proxy }),
            Some(_) | None => Ok(response),
        }
    }

    fn proxy_for(&self, url: &reqwest::Url) -> Option<Arc<str>> {
        self.proxy.as_ref()?.name_for(url)
    }

    async fn read(
        &self,
        mut response: reqwest::Response,
        max: usize,
    ) -> Result<HttpResponse, HttpError> {
        let mut body = Vec::new();
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(source) => {
                    let proxy = self.proxy_for(response.url());
                    return Err(HttpError::NoResponse { source, proxy });
                }
            };
            if body.len() + chunk.len() > max {
                return Err(HttpError::TooLarge { max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

fn builder(
    tls: rustls::ClientConfig,
    connect_timeout: Duration,
    timeout: Duration,
) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .connect_timeout(connect_timeout)
        .timeout(timeout)
        // The operator trusts a URL; a redirect could replace it by any other.
        .redirect(redirect::Policy::none())
        .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")))
}

impl HttpResponse {
    /// The media type without its parameters, in lower case.
    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next()?.trim().to_ascii_lowercase())
    }

    /// How long the response may be cached, if `Cache-Control` says so (RFC 9111 §5.2.2).
    pub(crate) fn freshness(&self) -> Option<Duration> {
        self.headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .filter_map(freshness_of)
            .min()
    }
}

// `no-cache` and `no-store` count as zero. The key ring applies its own minimum.
fn freshness_of(value: &HeaderValue) -> Option<Duration> {
    let directives = value
        .to_str()
        .ok()?
        .split(',')
        .map(|directive| directive.trim().to_ascii_lowercase());
    directives
        .filter_map(|directive| match directive.as_str() {
            "no-cache" | "no-store" => Some(Duration::ZERO),
            other => {
                let seconds = other
                    .strip_prefix("max-age=")?
                    .trim_matches('"')
                    .parse()
                    .ok()?;
                Some(Duration::from_secs(seconds))
            }
        })
        .min()
}

fn through(proxy: Option<&str>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"))
}

fn redirection(location: Option<&str>) -> String {
    location.map_or_else(String::new, |location| {
        format!(" with Location {location:?} (redirects are not followed: give the final URL)")
    })
}

fn withheld(is_withheld: bool) -> &'static str {
    if is_withheld {
        " (jwks_token is sent only to the origins of issuer, discovery and jwks_uri in the file: give jwks_uri)"
    } else {
        ""
    }
}

// reqwest's own message is only "error sending request". The last source names the cause.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let text = cause.to_string();
    let remedy = if text.contains("invalid peer certificate") {
        " (see tls_ca)"
    } else if text.contains("received corrupt message") {
        " (the server may not use TLS: check the URL)"
    } else if text == "Invalid Server Name" {
        // reqwest, behind a tunnel
        " (an IPv6 address in an https URL does not work through a proxy: use a name, or exempt it in no_proxy)"
    } else if text.contains("tunnel error: unsuccessful") {
        " (the proxy does not connect to this server: see http_proxy)"
    } else {
        ""
    };
    text + remedy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_the_shortest_in_cache_control() {
        for (value, expected) in [
            ("max-age=600", Some(600)),
            ("public, Max-Age=\"60\", must-revalidate", Some(60)),
            ("no-store", Some(0)),
            ("max-age=600, no-cache", Some(0)),
            ("public", None),
            ("max-age=soon", None),
            ("max-age=-1", None),
        ] {
            let found = freshness_of(&HeaderValue::from_static(value));
            assert_eq!(found, expected.map(Duration::from_secs), "{value}");
        }
    }
}

//! The HTTP client of the control plane: responses are bounded in size and time, and redirects are not followed.
//!
//! Everything that scopegate asks of other servers on its own behalf goes through it: metadata, JWKS, introspection, its
//! own access token, and spans on their way to a collector.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use reqwest::redirect;

/// A client of one server.
#[derive(Clone, Debug)]
pub struct HttpClient(reqwest::Client);

/// A response that was read to its end, whatever its status.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why there is no response. None of it is a client's fault.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection was refused, reset or untrusted, or the server was too slow.
    #[error("no response: {}", root_cause(.0))]
    NoResponse(#[source] reqwest::Error),
    /// Another status than 200; a redirect is one.
    #[error("expected status 200, but found {0}")]
    Status(u16),
    /// The body is larger than the caller takes.
    #[error("expected at most {max} bytes, but found more")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
}

impl HttpError {
    /// Whether no connection was made, so that the server has seen no request.
    pub(crate) fn is_connect(&self) -> bool {
        match self {
            Self::NoResponse(error) => error.is_connect(),
            Self::Status(_) | Self::TooLarge { .. } => false,
        }
    }

    /// Whether the server seems to be down.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::NoResponse(_) => true,
            Self::Status(status) => *status >= 500,
            Self::TooLarge { .. } => false,
        }
    }
}

impl HttpClient {
    /// Makes a client; `timeout` bounds each request with its response.
    ///
    /// # Errors
    /// When the TLS configuration is not usable.
    pub fn new(
        tls: rustls::ClientConfig,
        connect_timeout: Duration,
        timeout: Duration,
    ) -> Result<Self, reqwest::Error> {
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(connect_timeout)
            .timeout(timeout)
            // Keys are trusted because of the URL that they were fetched from.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
    }

    /// Fetches a JSON document of at most `max` bytes.
    ///
    /// # Errors
    /// [`HttpError`]; any status but 200 is one.
    pub(crate) async fn get_json(&self, url: &str, max: usize) -> Result<HttpResponse, HttpError> {
        let request = self
            .0
            .get(url)
            .header(header::ACCEPT, "application/json, application/jwk-set+json");
        let response = request.send().await.map_err(HttpError::NoResponse)?;
        if response.status() == StatusCode::OK {
            HttpResponse::read(response, max).await
        } else {
            Err(HttpError::Status(response.status().as_u16()))
        }
    }

    /// Posts a form that may safely be sent twice; the response has at most `max` bytes.
    ///
    /// # Errors
    /// [`HttpError::NoResponse`] or [`HttpError::TooLarge`]; the status is left to the caller.
    pub(crate) async fn post_form(
        &self,
        url: &str,
        headers: HeaderMap,
        form: String,
        max: usize,
    ) -> Result<HttpResponse, HttpError> {
        let send = || {
            let request = self.0.post(url).headers(headers.clone());
            request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone())
                .send()
        };
        let response = match send().await {
            // The server may have closed an idle connection just when the request was written to it.
            Err(error) if !error.is_connect() && !error.is_timeout() => send().await,
            other => other,
        }
        .map_err(HttpError::NoResponse)?;
        HttpResponse::read(response, max).await
    }

    /// Sends a request once; the response has at most `max` bytes.
    ///
    /// # Errors
    /// [`HttpError::NoResponse`] or [`HttpError::TooLarge`]; the status is left to the caller.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
        max: usize,
    ) -> Result<HttpResponse, HttpError> {
        let request = request.try_into().map_err(HttpError::NoResponse)?;
        let response = self.0.execute(request).await;
        HttpResponse::read(response.map_err(HttpError::NoResponse)?, max).await
    }
}

impl HttpResponse {
    async fn read(mut response: reqwest::Response, max: usize) -> Result<Self, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(HttpError::NoResponse)? {
            if body.len() + chunk.len() > max {
                return Err(HttpError::TooLarge { max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    /// The media type without its parameters, in lower case.
    pub(crate) fn media_type(&self) -> Option<String> {
        let value = self.headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Some(value.split(';').next()?.trim().to_ascii_lowercase())
    }

    /// How long the response may be kept, where `Cache-Control` says so (RFC 9111 §5.2.2).
    pub(crate) fn freshness(&self) -> Option<Duration> {
        self.headers
            .get_all(header::CACHE_CONTROL)
            .iter()
            .filter_map(freshness_of)
            .min()
    }
}

// `no-cache` and `no-store` mean zero here; the key ring has a minimum of its own.
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

// reqwest's own message is "error sending request"; what the operator needs is the last source.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let text = cause.to_string();
    let remedy = if text.contains("invalid peer certificate") {
        " (see tls_ca)"
    } else if text.contains("received corrupt message") {
        " (it may not speak TLS: see the URL)"
    } else {
        ""
    };
    text + remedy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortest_freshness_in_cache_control_counts() {
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

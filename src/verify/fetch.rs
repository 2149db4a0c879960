//! What comes from an authorization server: bounded in size and time, and never from where a redirect leads.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::redirect;

/// A metadata document or a key set of a megabyte is somebody's mistake or malice.
const MAX_DOCUMENT: usize = 1024 * 1024;

/// Answers to questions are kept by the hundred, so they are held to less.
const MAX_ANSWER: usize = 128 * 1024;

/// Asks one authorization server. Runs on the control plane.
#[derive(Debug, Clone)]
pub struct Fetcher(reqwest::Client);

/// A document as it came.
#[derive(Debug)]
pub(super) struct Document {
    /// The body.
    pub(super) bytes: Vec<u8>,
    /// How long it may be kept, where `Cache-Control` tells (RFC 9111 §5.2.2).
    pub(super) fresh_for: Option<Duration>,
}

/// An answer to a POST, whatever it may say.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The media type without its parameters, in lower case.
    pub(super) media_type: Option<String>,
    /// How long it may be kept, where `Cache-Control` tells.
    pub(super) fresh_for: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// Why there is no document. None of it is a client's fault.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer: refused, timed out, reset, untrusted.
    #[error("no answer: {}", innermost(.0))]
    NoAnswer(#[source] reqwest::Error),
    /// Another status than 200; a redirect is one.
    #[error("expected status 200, but found {0}")]
    Status(u16),
    /// More than the greatest size.
    #[error("expected at most {most} bytes, but found more")]
    TooLong {
        /// The greatest size.
        most: usize,
    },
}

impl FetchError {
    /// Whether there was no connection, so that nothing was said.
    pub(super) fn is_connect(&self) -> bool {
        match self {
            Self::NoAnswer(error) => error.is_connect(),
            Self::Status(_) | Self::TooLong { .. } => false,
        }
    }

    /// Whether the server is down, as far as one can tell.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Status(status) => *status >= 500,
            Self::TooLong { .. } => false,
        }
    }
}

impl Fetcher {
    /// A client of one authorization server.
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
            // Keys are believed because of where they were asked for.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("scopegate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
    }

    /// Fetches a JSON document.
    ///
    /// # Errors
    /// [`FetchError`] when there is none within the client's time-out.
    pub(super) async fn get(&self, url: &str) -> Result<Document, FetchError> {
        let request = self
            .0
            .get(url)
            .header(header::ACCEPT, "application/json, application/jwk-set+json");
        let mut answer = request.send().await.map_err(FetchError::NoAnswer)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let fresh_for = freshness(answer.headers());
        Ok(Document {
            bytes: read(&mut answer, MAX_DOCUMENT).await?,
            fresh_for,
        })
    }

    /// Posts a form; asking twice must do no harm. The status is left to the caller.
    ///
    /// # Errors
    /// [`FetchError::NoAnswer`] or [`FetchError::TooLong`]
    pub(super) async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        form: String,
    ) -> Result<Answer, FetchError> {
        let ask = || {
            let request = self.0.post(url).headers(headers.clone());
            request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.clone())
                .send()
        };
        let mut answer = match ask().await {
            // A kept connection that the server was just closing.
            Err(error) if !error.is_connect() && !error.is_timeout() => ask().await,
            other => other,
        }
        .map_err(FetchError::NoAnswer)?;
        let media_type = answer
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(media_type);
        let (status, fresh_for) = (answer.status(), freshness(answer.headers()));
        Ok(Answer {
            status,
            media_type,
            fresh_for,
            body: read(&mut answer, MAX_ANSWER).await?,
        })
    }
}

async fn read(answer: &mut reqwest::Response, most: usize) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(FetchError::NoAnswer)? {
        if bytes.len() + chunk.len() > most {
            return Err(FetchError::TooLong { most });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn media_type(value: &HeaderValue) -> Option<String> {
    let media_type = value.to_str().ok()?.split(';').next()?;
    Some(media_type.trim().to_ascii_lowercase())
}

fn freshness(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(freshness_of)
        .min()
}

// `no-cache` and `no-store` ask for a lifetime of nothing; the key ring's lower bound makes it one it can live with.
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

// reqwest says "error sending request" and leaves what the operator needs to the last of its causes.
fn innermost(error: &reqwest::Error) -> String {
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
    fn freshness_is_the_shortest_that_cache_control_tells() {
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

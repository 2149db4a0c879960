//! Documents from an authorization server: bounded in size and time, and never from where a redirect leads.

use std::time::Duration;

use http::header;
use reqwest::redirect;

/// A metadata document or a key set of a megabyte is somebody's mistake or malice.
const MAX_DOCUMENT: usize = 1024 * 1024;

/// Asks one authorization server. Runs on the control plane.
#[derive(Debug, Clone)]
pub struct Fetcher(reqwest::Client);

/// A document as it came.
#[derive(Debug)]
pub struct Document {
    /// The body.
    pub bytes: Vec<u8>,
    /// How long it may be kept, where `Cache-Control` tells (RFC 9111 §5.2.2).
    pub fresh_for: Option<Duration>,
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
    #[error("expected at most {MAX_DOCUMENT} bytes, but found more")]
    TooLong,
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
    pub async fn get(&self, url: &str) -> Result<Document, FetchError> {
        let request = self.0.get(url).header(header::ACCEPT, "application/json, application/jwk-set+json");
        let mut answer = request.send().await.map_err(FetchError::NoAnswer)?;
        if answer.status() != http::StatusCode::OK {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        let fresh_for = answer.headers().get_all(header::CACHE_CONTROL).iter().find_map(freshness);
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(FetchError::NoAnswer)? {
            if bytes.len() + chunk.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLong);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Document { bytes, fresh_for })
    }
}

// `no-cache` and `no-store` ask for a lifetime of nothing; the key ring's lower bound makes it one it can live with.
fn freshness(value: &http::HeaderValue) -> Option<Duration> {
    let directives = value.to_str().ok()?.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    directives
        .filter_map(|directive| match directive.as_str() {
            "no-cache" | "no-store" => Some(Duration::ZERO),
            other => {
                let seconds = other.strip_prefix("max-age=")?.trim_matches('"').parse().ok()?;
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
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

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
            let found = freshness(&HeaderValue::from_static(value));
            assert_eq!(found, expected.map(Duration::from_secs), "{value}");
        }
    }
}

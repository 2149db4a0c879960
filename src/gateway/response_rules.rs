//! What the configuration changes in the headers of responses, those of refusals included.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::policy::cors::{self, CorsPolicy};

/// The rules for the responses of one route, or of requests without one.
#[derive(Clone, Debug, Default)]
pub struct ResponseRules {
    /// Which pages of other origins may read the responses; none to leave CORS to the upstream.
    pub cors: Option<Arc<CorsPolicy>>,
    /// Whether shared caches must not keep the responses, because the token may be in a cookie.
    ///
    /// A shared cache keeps no response to a request with `Authorization` unless the response allows
    /// it (RFC 9111 §3.5). It knows of no such rule for cookies. The upstream relies on the rule: the
    /// token reaches it in `Authorization`, or not at all.
    pub is_private: bool,
    /// Headers that get a value, or are removed.
    pub headers: Box<[(HeaderName, Option<HeaderValue>)]>,
}

impl ResponseRules {
    /// Applies them to a response; `is_upstream_response` says that it is the upstream's.
    pub(super) fn apply(
        &self,
        origin: Option<&HeaderValue>,
        is_upstream_response: bool,
        response: &mut HeaderMap,
    ) {
        // The metadata of a resource allows every origin by itself.
        let has_own =
            !is_upstream_response && response.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        if let Some(policy) = self.cors.as_ref().filter(|_| !has_own) {
            if is_upstream_response {
                cors::remove_headers(response);
            }
            policy.add_headers(origin, response);
        }
        if self.is_private {
            keep_from_shared_caches(response);
        }
        for (name, value) in &self.headers {
            match value {
                Some(value) => _ = response.insert(name, value.clone()),
                None => _ = response.remove(name),
            }
        }
    }
}

// Where the response says nothing else, it is for this client alone.
#[cold]
fn keep_from_shared_caches(response: &mut HeaderMap) {
    let lines = response.get_all(header::CACHE_CONTROL).iter();
    if !lines
        .map(HeaderValue::as_bytes)
        .any(decides_on_shared_caches)
    {
        let private = HeaderValue::from_static("private");
        response.append(header::CACHE_CONTROL, private);
    }
}

/// Whether a line of `Cache-Control` forbids shared caches to keep the response, or allows it although
/// the request has `Authorization` (RFC 9111 §3.5).
fn decides_on_shared_caches(line: &[u8]) -> bool {
    // A quoted argument is a list of header names: no directive is in it.
    let mut is_quoted = false;
    let mut directives = line.split(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    });
    directives.any(|directive| {
        let directive = directive.trim_ascii();
        // With an argument, `private` is about some headers only.
        let is_alone = |name: &str| directive.eq_ignore_ascii_case(name.as_bytes());
        let has_seconds = |name: &str| {
            directive
                .split_at_checked(name.len())
                .is_some_and(|(start, seconds)| {
                    start.eq_ignore_ascii_case(name.as_bytes()) && seconds.starts_with(b"=")
                })
        };
        ["private", "no-store", "public", "must-revalidate"]
            .into_iter()
            .any(is_alone)
            || has_seconds("s-maxage")
    })
}

//! Which origins may use a route from a script of a page (Fetch standard, "CORS protocol").

use http::Method;
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::host::{HostError, normal_host};
use crate::text::truncated;

/// In a preflight: the page wants to reach a private network (Private Network Access).
pub const REQUEST_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
/// In the response: the page may do so.
pub const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// The headers by which a response allows an origin something.
const RESPONSE_HEADERS: [HeaderName; 7] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
    ALLOW_PRIVATE_NETWORK,
];

/// The origins of pages, as a `[cors]` table names them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OriginPattern {
    /// `null`: sandboxed frames, `file:` pages.
    Null,
    /// Scheme, host and port as browsers write them.
    Exact(Box<str>),
    /// `https://*.example.com:8443`: what precedes the subdomain, and what follows it.
    Subdomains { scheme: Box<str>, suffix: Box<str> },
}

/// Listed origins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginList(Vec<OriginPattern>);

/// Why a text names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Not a scheme, host and optional port.
    #[error("expected an origin such as \"https://app.example.com\", but found {0:?}")]
    Malformed(String),
    /// The host is not a host name or an address.
    #[error("{0}")]
    Host(#[from] HostError),
    /// `*` beside other origins would make them meaningless.
    #[error("expected \"*\" alone, but found it beside other origins")]
    AnyBesideOthers,
    /// Pages of every origin can have the origin `null`, and `*` is every origin.
    #[error(
        "expected an origin such as \"https://app.example.com\", but found {0:?}, which any page can have"
    )]
    AnyPage(String),
    /// `credentials = true` with `*` (Fetch standard: a browser refuses this pair).
    #[error("expected listed origins with credentials = true, but found \"*\"")]
    AnyWithCredentials,
}

/// The request headers that a preflight may request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHeaders {
    /// These, as they are sent.
    Listed(HeaderValue),
    /// All that the preflight requests.
    Requested,
}

/// A compiled `[cors]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorsPolicy {
    /// None for any origin.
    origins: Option<OriginList>,
    /// The request headers that a preflight may request.
    pub headers: AllowedHeaders,
    /// `Access-Control-Expose-Headers`, if any.
    pub expose: Option<HeaderValue>,
    /// Whether browsers send cookies and show the response to the script nevertheless.
    pub credentials: bool,
    /// `Access-Control-Max-Age`: how many seconds a browser may cache a preflight.
    pub max_age: HeaderValue,
}

impl CorsPolicy {
    /// Compiles the origins of a policy, which has no other members yet.
    ///
    /// # Errors
    /// The index of the origin concerned, and what is wrong with it.
    pub fn for_origins<'o>(
        origins: impl ExactSizeIterator<Item = &'o str>,
        credentials: bool,
    ) -> Result<Self, (usize, OriginError)> {
        let count = origins.len();
        let mut patterns = Vec::new();
        let mut is_any = false;
        for (index, origin) in origins.enumerate() {
            if origin != "*" {
                patterns.push(OriginPattern::parse(origin).map_err(|error| (index, error))?);
                continue;
            }
            if count > 1 {
                return Err((index, OriginError::AnyBesideOthers));
            }
            if credentials {
                return Err((index, OriginError::AnyWithCredentials));
            }
            is_any = true;
        }
        Ok(Self {
            origins: (!is_any).then_some(OriginList(patterns)),
            headers: AllowedHeaders::Requested,
            expose: None,
            credentials,
            max_age: HeaderValue::from(0_u32),
        })
    }

    /// Whether a page of this origin may use the route.
    #[must_use]
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins
            .as_ref()
            .is_none_or(|origins| origins.contains(origin))
    }

    /// Whether a preflight may request this header. A browser compares names without case.
    #[must_use]
    pub fn allows_header(&self, name: &str) -> bool {
        match &self.headers {
            AllowedHeaders::Requested => true,
            AllowedHeaders::Listed(listed) => {
                let listed = listed.to_str().unwrap_or_default();
                listed
                    .split(',')
                    .any(|one| one.trim().eq_ignore_ascii_case(name))
            }
        }
    }

    /// Whether every origin is allowed. Responses do not depend on the origin then.
    #[must_use]
    pub fn allows_any(&self) -> bool {
        self.origins.is_none()
    }

    /// Whether this origin is one that the policy lists by its name. A page of such an origin may
    /// reach a private network (Private Network Access).
    #[must_use]
    pub fn lists(&self, origin: &HeaderValue) -> bool {
        !self.allows_any() && origin != "null" && self.allows(origin)
    }

    /// Adds the CORS headers of a response to a request from this origin.
    pub fn add_headers(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        let allowed = if self.allows_any() {
            // Also without `Origin`: a cache may give the response to a page that sends one.
            HeaderValue::from_static("*")
        } else {
            add_vary_origin(response);
            let Some(origin) = origin.filter(|origin| self.allows(origin)) else {
                return;
            };
            origin.clone()
        };
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            let value = HeaderValue::from_static("true");
            response.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, value);
        }
        if let Some(expose) = &self.expose {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

impl OriginList {
    /// Parses origins, of which none is one that any page can have: neither `null` nor `*`.
    ///
    /// # Errors
    /// The index of the first one that cannot be listed, and what is wrong with it.
    pub fn parse<'o>(origins: impl Iterator<Item = &'o str>) -> Result<Self, (usize, OriginError)> {
        let parse = |(index, origin): (usize, &str)| {
            let pattern = match origin {
                "*" | "null" => Err(OriginError::AnyPage(origin.to_owned())),
                _ => OriginPattern::parse(origin),
            };
            pattern.map_err(|error| (index, error))
        };
        let patterns = origins.enumerate().map(parse);
        patterns.collect::<Result<_, _>>().map(Self)
    }

    /// Whether this origin is listed.
    #[must_use]
    pub fn contains(&self, origin: &HeaderValue) -> bool {
        let origin = origin.as_bytes();
        self.0.iter().any(|pattern| pattern.matches(origin))
    }
}

impl AllowedHeaders {
    /// The headers of a list; a `*` mirrors what a preflight asks for.
    ///
    /// # Errors
    /// The index of the first name that is not one of a header.
    pub fn parse<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Self, usize> {
        let mut listed = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            if name == "*" {
                return Ok(Self::Requested);
            }
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| index)?;
            listed.push(name);
        }
        Ok(Self::Listed(joined(&listed)))
    }
}

/// Whether a request asks, before another one, what a page of some origin may send (Fetch standard,
/// "CORS-preflight request").
#[must_use]
pub fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && request.contains_key(header::ORIGIN)
        && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The origin of a request; none if it has none, or several.
#[must_use]
pub fn origin(request: &HeaderMap) -> Option<&HeaderValue> {
    only_value(request, &header::ORIGIN)
}

/// What a request has as its origin, for messages: untrusted text, quoted and truncated.
#[must_use]
pub fn describe_origin(request: &HeaderMap) -> String {
    if !request.contains_key(header::ORIGIN) {
        return "missing".to_owned();
    }
    match origin(request) {
        Some(origin) => format!(
            "{:?}",
            truncated(&String::from_utf8_lossy(origin.as_bytes()))
        ),
        None => "several at once".to_owned(),
    }
}

/// The value of a header that occurs once.
pub(super) fn only_value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Removes the CORS headers of an upstream, which knows neither the policy nor the refusals.
pub fn remove_headers(response: &mut HeaderMap) {
    // They are rare: a look at each name costs less than a search for each of them.
    let is_cors_header = |name: &HeaderName| name.as_str().starts_with("access-control-");
    if !response.keys().any(is_cors_header) {
        return;
    }
    for name in &RESPONSE_HEADERS {
        response.remove(name);
    }
}

// Caches must not give the response for one origin to another (RFC 9110 §12.5.5).
fn add_vary_origin(response: &mut HeaderMap) {
    let value = HeaderValue::from_static("Origin");
    match response.entry(header::VARY) {
        Entry::Vacant(vary) => _ = vary.insert(value),
        Entry::Occupied(mut vary) => {
            if !vary.iter().any(names_origin) {
                vary.append(value);
            }
        }
    }
}

/// Whether a value of `Vary` names `Origin`, or everything.
fn names_origin(vary: &HeaderValue) -> bool {
    vary.as_bytes().split(|byte| *byte == b',').any(|name| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(b"origin")
    })
}

/// Several names as one value.
///
/// # Panics
/// If one of them is not a name of a header.
#[must_use]
pub fn joined(names: &[&str]) -> HeaderValue {
    HeaderValue::try_from(names.join(", ")).expect("names of headers are allowed in a header")
}

impl OriginPattern {
    fn parse(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Ok(Self::Null);
        }
        let malformed = || OriginError::Malformed(text.to_owned());
        let (scheme, authority) = text.split_once("://").ok_or_else(malformed)?;
        if authority.contains(['/', '?', '#', '@']) {
            return Err(malformed());
        }
        let parent = authority.strip_prefix("*.");
        let host = parent.unwrap_or(authority);
        normal_host(host)?;
        // The parser writes hosts in lower case and in punycode, and omits default ports, as
        // browsers do.
        let url = Url::parse(&format!("{scheme}://{host}/")).map_err(|_| malformed())?;
        let is_origin = url.origin().is_tuple() && !scheme.is_empty();
        let is_name = parent.is_none() || url.domain().is_some();
        if !is_origin || !is_name {
            return Err(malformed());
        }
        let origin = url.origin().ascii_serialization();
        let (scheme, host) = origin.split_once("://").ok_or_else(malformed)?;
        Ok(match parent {
            None => Self::Exact(origin.into()),
            Some(_) => Self::Subdomains {
                scheme: format!("{scheme}://").into(),
                suffix: format!(".{host}").into(),
            },
        })
    }

    fn matches(&self, origin: &[u8]) -> bool {
        match self {
            Self::Null => origin == b"null",
            Self::Exact(exact) => origin == exact.as_bytes(),
            Self::Subdomains { scheme, suffix } => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|host| host.strip_suffix(suffix.as_bytes()))
                .is_some_and(is_labels),
        }
    }
}

/// One or more labels of a host name, as browsers write them.
fn is_labels(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'.').all(|label| {
        !label.is_empty()
            && label.iter().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(origins: &[&str]) -> CorsPolicy {
        CorsPolicy::for_origins(origins.iter().copied(), false).expect("origins")
    }

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        for (pattern, origin, is_allowed) in [
            ("https://app.example.com", "https://app.example.com", true),
            ("https://APP.example.com", "https://app.example.com", true),
            (
                "https://app.example.com:443",
                "https://app.example.com",
                true,
            ),
            (
                "https://app.example.com",
                "https://app.example.com:8443",
                false,
            ),
            ("https://app.example.com", "http://app.example.com", false),
            (
                "https://app.example.com",
                "https://app.example.com.evil.test",
                false,
            ),
            ("https://app.example.com", "null", false),
            ("http://localhost:5173", "http://localhost:5173", true),
            ("http://[::1]:5173", "http://[::1]:5173", true),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://a..example.com", false),
            ("https://*.example.com", "http://a.example.com", false),
            ("https://*.example.com", "https://a.example.com:8443", false),
            (
                "https://*.example.com",
                "https://evil.test/.example.com",
                false,
            ),
            (
                "https://*.example.com",
                "https://evil.test:1@a.example.com",
                false,
            ),
            (
                "https://*.example.com:8443",
                "https://a.example.com:8443",
                true,
            ),
            ("null", "null", true),
            ("null", "https://null", false),
            ("*", "null", true),
            ("*", "https://anything.test", true),
        ] {
            let origin = HeaderValue::from_static(origin);
            assert_eq!(
                policy(&[pattern]).allows(&origin),
                is_allowed,
                "{pattern} {origin:?}"
            );
        }
    }

    #[test]
    fn only_origins_that_are_named_reach_private_networks() {
        let app = HeaderValue::from_static("https://app.example.com");
        let null = HeaderValue::from_static("null");
        assert!(policy(&["https://app.example.com"]).lists(&app));
        assert!(!policy(&["*"]).lists(&app));
        assert!(!policy(&["null"]).lists(&null));
    }

    #[test]
    fn text_that_is_no_origin_is_refused() {
        for text in [
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://user@app.example.com",
            "https://*",
            "https://a.*.example.com",
            "https://*.10.0.0.1",
            "file:///",
            "https://app.example.com?x",
            "",
        ] {
            let outcome = CorsPolicy::for_origins([text].into_iter(), false);
            assert!(outcome.is_err(), "{text}");
        }
        let beside = CorsPolicy::for_origins(["https://a.test", "*"].into_iter(), false);
        assert_eq!(beside, Err((1, OriginError::AnyBesideOthers)));
        let any = CorsPolicy::for_origins(["*"].into_iter(), true);
        assert_eq!(any, Err((0, OriginError::AnyWithCredentials)));
    }

    #[test]
    fn list_takes_no_origin_that_any_page_can_have() {
        for origin in ["*", "null"] {
            assert_eq!(
                OriginList::parse(["https://a.test", origin].into_iter()),
                Err((1, OriginError::AnyPage(origin.to_owned())))
            );
        }
        let list = OriginList::parse(["https://*.a.test"].into_iter()).expect("origins");
        assert!(list.contains(&HeaderValue::from_static("https://x.a.test")));
        assert!(!list.contains(&HeaderValue::from_static("null")));
        assert!(!OriginList::default().contains(&HeaderValue::from_static("https://a.test")));
    }

    #[test]
    fn listed_headers_are_sent_as_they_are_written() {
        assert_eq!(
            AllowedHeaders::parse(["Authorization", "Content-Type"]),
            Ok(AllowedHeaders::Listed(HeaderValue::from_static(
                "Authorization, Content-Type"
            )))
        );
        assert_eq!(
            AllowedHeaders::parse(["X-A", "*"]),
            Ok(AllowedHeaders::Requested)
        );
        assert_eq!(AllowedHeaders::parse(["X-A", "X B"]), Err(1));
    }
}

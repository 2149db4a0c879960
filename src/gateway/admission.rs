//! What a request must be before it is looked at any further.
//!
//! hyper refuses most of what is malformed, and hides some of the rest: a Content-Length beside chunks is dropped, and
//! the connection closed after the answer; the same Content-Length twice counts once (RFC 9112 §6.3); a line may end with
//! a bare LF (§2.2). In each case the upstream gets a message that was written anew from what was read. What is left to refuse here is what hyper reads in one way and
//! others may read in another.

use std::borrow::Cow;

use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::policy::host::{HostError, normal_host};

/// Why a request is turned away at the door.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    /// None at all (RFC 9112 §3.2).
    #[error("expected one Host header, but found none")]
    NoHost,
    /// Two servers may believe one of them each.
    #[error("expected one Host header, but found several")]
    SeveralHosts,
    /// Not a host with an optional port.
    #[error("Host: {0}")]
    BadHost(#[from] HostError),
    /// Bytes outside ASCII.
    #[error("expected a Host of visible ASCII characters, but found others")]
    UnprintableHost,
    /// An absolute-form target that names another host (RFC 9112 §3.2.2).
    #[error("expected the target's host to be the Host header's, but found another")]
    OtherTarget,
    /// An absolute-form target of `ftp` or the like.
    #[error("expected a target of http or https, but found another scheme")]
    OtherScheme,
    /// A `#`: what stands behind it is for the client only (RFC 9112 §3.2).
    #[error("expected a target without a fragment, but found a #")]
    Fragment,
    /// Control characters or bytes outside ASCII in the query (RFC 3986 §3.4).
    #[error("expected a query of visible ASCII characters, but found others")]
    UnprintableQuery,
    /// More than one way to tell where the body ends, or one that only some can read (RFC 9112 §6.1, §6.3).
    #[error("expected Transfer-Encoding to be \"chunked\", once, but found something else")]
    BadTransferEncoding,
    /// HTTP/1's library takes equal ones for one; over HTTP/2 they are left to us (RFC 9110 §8.6).
    #[error("expected one Content-Length, but found several")]
    SeveralLengths,
    /// What follows the head would be a body to one server and another protocol to the next (RFC 9110 §7.8).
    #[error("expected no body beside Upgrade, but found one")]
    UpgradeWithBody,
}

impl Inadmissible {
    /// Whether nobody can tell where the next request begins.
    pub(super) fn is_framing_error(&self) -> bool {
        match self {
            Self::BadTransferEncoding | Self::SeveralLengths | Self::UpgradeWithBody => true,
            Self::NoHost
            | Self::SeveralHosts
            | Self::BadHost(_)
            | Self::UnprintableHost
            | Self::OtherTarget
            | Self::OtherScheme
            | Self::Fragment
            | Self::UnprintableQuery => false,
        }
    }
}

/// What `Allow` tells whoever tries another one, before any route is known.
pub(super) const FORWARDABLE_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Whether a method is one that goes through: CONNECT asks for a tunnel past every rule, and TRACE tells back what the
/// upstream got, our own headers and all (RFC 9110 §9.3.6, §9.3.8).
pub(super) fn is_forwardable(method: &Method) -> bool {
    *method != Method::CONNECT && *method != Method::TRACE
}

/// Makes an `:authority` the Host that everything else goes by (RFC 9113 §8.3.1), and says that a body follows whose
/// length is not told.
///
/// # Errors
/// As [`host`], where a Host stands beside it that is another one.
pub(super) fn add_http1_fields(parts: &mut Parts, has_body: bool) -> Result<(), Inadmissible> {
    if let Some(authority) = parts.uri.authority() {
        if !parts.headers.contains_key(header::HOST) {
            let host = HeaderValue::from_str(authority.as_str())
                .map_err(|_| Inadmissible::UnprintableHost)?;
            parts.headers.insert(header::HOST, host);
        }
        host(parts)?;
    }
    if has_body && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        parts.headers.insert(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
    }
    Ok(())
}

/// Refuses what can be framed in two ways, and a target that is none for a gateway.
pub(super) fn check(parts: &Parts) -> Result<(), Inadmissible> {
    let headers = &parts.headers;
    let is_chunked = is_chunked(headers)?;
    let has_body = || {
        is_chunked
            || headers
                .get(header::CONTENT_LENGTH)
                .is_some_and(|length| length != "0")
    };
    if headers
        .get_all(header::CONTENT_LENGTH)
        .iter()
        .nth(1)
        .is_some()
    {
        return Err(Inadmissible::SeveralLengths);
    }
    if headers.contains_key(header::UPGRADE) && has_body() {
        return Err(Inadmissible::UpgradeWithBody);
    }
    if parts
        .uri
        .scheme()
        .is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS)
    {
        return Err(Inadmissible::OtherScheme);
    }
    let is_printable = |query: &str| query.bytes().all(|byte| byte.is_ascii_graphic());
    if parts.uri.query().is_some_and(|query| !is_printable(query)) {
        return Err(Inadmissible::UnprintableQuery);
    }
    Ok(())
}

/// Refuses a target that has a fragment, which is found behind so many bytes of the request line.
///
/// The line is looked at as it is read, before anybody knows for certain where requests begin: what stands before the `#`
/// must be as long as what was made of the line.
pub(super) fn check_fragment(parts: &Parts, bytes_before: usize) -> Result<(), Inadmissible> {
    let target = parts
        .uri
        .path_and_query()
        .map_or("", |target| target.as_str());
    if parts.uri.authority().is_some()
        || bytes_before == parts.method.as_str().len() + " ".len() + target.len()
    {
        return Err(Inadmissible::Fragment);
    }
    Ok(())
}

// hyper takes any list that ends with `chunked` (RFC 9112 §6.1), and other servers may not.
fn is_chunked(headers: &HeaderMap) -> Result<bool, Inadmissible> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        (Some(_), _) => Err(Inadmissible::BadTransferEncoding),
    }
}

/// The one host that a request names, in lower case, without port or trailing dot.
///
/// # Errors
/// Where it names none, or several, or one that is none.
pub fn host(parts: &Parts) -> Result<Cow<'_, str>, Inadmissible> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next().ok_or(Inadmissible::NoHost)?;
    if hosts.next().is_some() {
        return Err(Inadmissible::SeveralHosts);
    }
    let text = HeaderValue::to_str(host).map_err(|_| Inadmissible::UnprintableHost)?;
    if parts
        .uri
        .authority()
        .is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(text))
    {
        return Err(Inadmissible::OtherTarget);
    }
    Ok(normal_host(text)?)
}

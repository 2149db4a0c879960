//! What a request must be before anything else is read of it.
//!
//! hyper refuses most malformed requests, and hides some: it drops a Content-Length beside chunked
//! coding and closes the connection after the response; it accepts equal Content-Lengths as one
//! (RFC 9112 §6.3); it accepts a bare LF at the end of a line (§2.2). None of these reaches the
//! upstream, because the request is written anew from what was parsed. This module refuses what
//! hyper reads in one way and other servers may read in another.

use std::borrow::Cow;

use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::policy::host::{HostError, normal_host};

/// Why a request is refused before its path is read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Inadmissible {
    /// No Host (RFC 9112 §3.2).
    #[error("expected one Host header, but found none")]
    NoHost,
    /// Several Hosts: two servers may each believe another one.
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
    /// A `#`: a client keeps what follows it to itself (RFC 9112 §3.2).
    #[error("expected a target without a fragment, but found a #")]
    Fragment,
    /// Control characters or bytes outside ASCII in the query (RFC 3986 §3.4).
    #[error("expected a query of visible ASCII characters, but found others")]
    UnprintableQuery,
    /// The end of the body is stated twice, or in a form that only some servers read (RFC 9112
    /// §6.1, §6.3).
    #[error("expected Transfer-Encoding to be \"chunked\", once, but found something else")]
    BadTransferEncoding,
    /// hyper merges equal ones over HTTP/1; over HTTP/2 they are left to us (RFC 9110 §8.6).
    #[error("expected one Content-Length, but found several")]
    SeveralLengths,
    /// One server would read a body after the head, the next one another protocol (RFC 9110 §7.8).
    #[error("expected no body beside Upgrade, but found one")]
    UpgradeWithBody,
}

impl Inadmissible {
    /// Whether it is unknown where the next request begins.
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

/// The value of `Allow` in a refusal before the route is known.
pub(super) const FORWARDABLE_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Whether the gateway forwards this method. CONNECT asks for a tunnel past every rule. TRACE
/// returns the request as the upstream got it, with the headers that the gateway adds (RFC 9110
/// §9.3.6, §9.3.8).
pub(super) fn is_forwardable(method: &Method) -> bool {
    *method != Method::CONNECT && *method != Method::TRACE
}

/// Adds the fields that HTTP/1 would have: `:authority` as Host (RFC 9113 §8.3.1), and chunked
/// coding for a body of unknown length. All later steps read only those.
///
/// # Errors
/// As [`host`], if a different Host accompanies `:authority`.
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

/// Refuses ambiguous framing, and targets that a gateway does not serve. Returns the host, as [`host`]
/// does.
pub(super) fn check(parts: &Parts) -> Result<Cow<'_, str>, Inadmissible> {
    let fields = RoutingFields::of(&parts.headers);
    fields.check_framing()?;
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
    fields.host(parts)
}

/// Refuses a target with a fragment. `bytes_before` is how much of the request line precedes the
/// `#`.
///
/// The line is scanned as it is read, before it is certain where a request begins. So the position
/// counts only if it is the end of the parsed target.
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

/// The fields of a request that say where it goes and what follows its head. One pass over all fields
/// finds them: a lookup of each in the map would cost a hash, and most requests have only a host.
#[derive(Default)]
struct RoutingFields<'h> {
    host: Option<&'h HeaderValue>,
    has_several_hosts: bool,
    coding: Option<&'h HeaderValue>,
    has_several_codings: bool,
    length: Option<&'h HeaderValue>,
    has_several_lengths: bool,
    has_upgrade: bool,
}

impl<'h> RoutingFields<'h> {
    fn of(headers: &'h HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            if *name == header::HOST {
                found.has_several_hosts |= found.host.replace(value).is_some();
            } else if *name == header::CONTENT_LENGTH {
                found.has_several_lengths |= found.length.replace(value).is_some();
            } else if *name == header::TRANSFER_ENCODING {
                found.has_several_codings |= found.coding.replace(value).is_some();
            } else if *name == header::UPGRADE {
                found.has_upgrade = true;
            }
        }
        found
    }

    fn host(&self, parts: &Parts) -> Result<Cow<'h, str>, Inadmissible> {
        let host = self.host.ok_or(Inadmissible::NoHost)?;
        if self.has_several_hosts {
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

    fn check_framing(&self) -> Result<(), Inadmissible> {
        // hyper accepts any list that ends with `chunked` (RFC 9112 §6.1), and other servers may not.
        let is_chunked = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        if self.has_several_codings || !self.coding.is_none_or(is_chunked) {
            return Err(Inadmissible::BadTransferEncoding);
        }
        if self.has_several_lengths {
            return Err(Inadmissible::SeveralLengths);
        }
        let has_body = self.coding.is_some() || self.length.is_some_and(|length| length != "0");
        if self.has_upgrade && has_body {
            return Err(Inadmissible::UpgradeWithBody);
        }
        Ok(())
    }
}

/// The one host that a request names, in lower case, without port or trailing dot.
///
/// # Errors
/// It names no host, several, or a malformed one.
pub fn host(parts: &Parts) -> Result<Cow<'_, str>, Inadmissible> {
    RoutingFields::of(&parts.headers).host(parts)
}

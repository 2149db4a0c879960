//! What a request must be before it is looked at any further.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderValue, header};

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
}

/// The one host that a request names, in lower case, without port or trailing dot.
pub(super) fn host(parts: &Parts) -> Result<Cow<'_, str>, Inadmissible> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next().ok_or(Inadmissible::NoHost)?;
    if hosts.next().is_some() {
        return Err(Inadmissible::SeveralHosts);
    }
    let text = HeaderValue::to_str(host).map_err(|_| Inadmissible::UnprintableHost)?;
    if parts.uri.authority().is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(text)) {
        return Err(Inadmissible::OtherTarget);
    }
    Ok(normal_host(text)?)
}

//! A request as HTTP/2 frames it (RFC 9113 §8.3.1).

use std::mem;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Uri, header};

use crate::upstream::connection::exchange::UpstreamRequest;
use crate::upstream::headers::AddedHeaders;

/// Where a request goes: its `:scheme` and `:authority`.
pub(in crate::upstream) struct RequestTarget {
    pub(in crate::upstream) scheme: Scheme,
    /// The `Host` that replaces the client's, if any.
    pub(in crate::upstream) host: Option<HeaderValue>,
}

/// Takes URI and headers out of `head`, for a request that HTTP/2 can send. `Host` becomes
/// `:authority`.
pub(super) fn take_head(
    head: &mut Parts,
    added: &AddedHeaders,
    target: RequestTarget,
) -> Request<()> {
    let mut headers = mem::take(&mut head.headers);
    let host = headers
        .remove(header::HOST)
        .map(|passed| target.host.unwrap_or(passed));
    added.append_to(&mut headers);
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = absolute_uri(mem::take(&mut head.uri), target.scheme, host.as_ref());
    *request.headers_mut() = headers;
    request
}

/// A URI with a scheme and an authority.
///
/// An admitted `Host` is always an authority. Should it not be, the URI gets none rather than
/// another one.
pub(in crate::upstream) fn absolute_uri(
    uri: Uri,
    scheme: Scheme,
    host: Option<&HeaderValue>,
) -> Uri {
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = uri.into_parts();
    parts
        .path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    if authority.is_some() {
        parts.scheme = Some(scheme);
        parts.authority = authority;
    }
    Uri::from_parts(parts).unwrap_or_default()
}

/// Copies the URI and the headers of a request that may be sent twice. It has no body.
pub(super) fn copy_if_repeatable(request: &UpstreamRequest<'_>) -> Option<(Uri, HeaderMap)> {
    request
        .is_repeatable()
        .then(|| (request.head.uri.clone(), request.head.headers.clone()))
}

//! A request as HTTP/2 frames it (RFC 9113 §8.3.1).

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Uri, header};

use crate::upstream::connection::exchange::UpstreamRequest;
use crate::upstream::headers::AddedHeaders;
use crate::upstream::request_body::RequestBody;

/// Where a request goes: its `:scheme` and `:authority`.
pub(in crate::upstream) struct RequestTarget {
    pub(in crate::upstream) scheme: Scheme,
    /// The `Host` that replaces the client's, if any.
    pub(in crate::upstream) host: Option<HeaderValue>,
}

/// Splits a request into a head that HTTP/2 can send and its body. `Host` becomes `:authority`.
pub(super) fn into_parts(
    request: Request<RequestBody>,
    added: &AddedHeaders,
    target: RequestTarget,
) -> (Request<()>, RequestBody) {
    let (mut parts, body) = request.into_parts();
    let host = parts
        .headers
        .remove(header::HOST)
        .map(|passed| target.host.unwrap_or(passed));
    parts.uri = absolute_uri(parts.uri, target.scheme, host.as_ref());
    parts.extensions.clear();
    added.append_to(&mut parts.headers);
    (Request::from_parts(parts, ()), body)
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

/// A copy of a request that may be sent twice. It has no body, so its head is all of it.
pub(super) fn copy_if_repeatable(request: &UpstreamRequest<'_>) -> Option<Request<RequestBody>> {
    if !request.is_repeatable() {
        return None;
    }
    let request = &request.request;
    let mut copy = Request::new(RequestBody::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

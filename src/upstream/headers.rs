//! Which headers are forwarded, and which ones the gateway sets.
//!
//! 1. Hop-by-hop fields are removed in both directions, with those that `Connection` names (RFC
//!    9110 §7.6.1). An element of `Connection` that is not a token names no field. The elements
//!    beside it count all the same: garbage in the list must not keep a field in the message.
//! 2. `Connection` must not name a field that the gateway sets or needs. Such a request is refused.
//! 3. Every field name that any route sets from a claim, or that the gateway sets, is removed from
//!    every request first. So is, on a route, each name that its `request_headers` sets or removes,
//!    and each name that a route to the same upstream sets from a secret. All of them are removed in
//!    each spelling that an upstream may read as the same name: upper case, and any character but
//!    letters and digits for `-`.
//!    The same holds for fields that ask for another method or path than the one that was judged
//!    (`X-HTTP-Method-Override`, `X-Original-URL` and their kind), for `Proxy`, which CGI programs
//!    read as `HTTP_PROXY` (httpoxy, CVE-2016-5385), and for other spellings of hop-by-hop and
//!    framing fields, such as `Transfer_Encoding`.
//! 4. Trailers follow rule 3 too, because some upstreams merge them into the headers. Trailers that
//!    control how a message is read are never forwarded (RFC 9110 §6.5.1).
//! 5. The client is described by its connection. Its own `Forwarded` and `X-Forwarded-*` count only
//!    if it is a trusted proxy, and then only as far as they are well-formed.
//!
//! - `connection`: the options of `Connection`. `reserved`: the names of rule 3.
//! - `forwarded`: the headers that describe the client. `proxy_fields`: those of a trusted proxy.
//! - `upgrade`: the protocols that a connection may switch to.

mod connection;
mod forwarded;
mod proxy_fields;
mod reserved;
mod upgrade;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};

pub use forwarded::{AddedHeaders, ClientInfo, UnknownClient, X_REQUEST_ID};
pub use reserved::ReservedHeaders;
pub use upgrade::{is_websocket_handshake, requested_protocols, set_upgrade};

use connection::named_fields;
use forwarded::ProxyFields;
pub(super) use forwarded::write_field;
use reserved::normal_spelling;
pub(super) use upgrade::is_accepted_upgrade;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The element of `Via` for a message that was received in HTTP/1.1 (RFC 9110 §7.6.3).
const VIA: HeaderValue = HeaderValue::from_static("1.1 scopegate");
const VIA_HTTP10: HeaderValue = HeaderValue::from_static("1.0 scopegate");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 scopegate");

/// The fields that are not forwarded. Content-Length and `Trailer` are not among them: they
/// describe the message, and the writer frames it by what was read.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    // Part of an upgrade to `h2c`, which is never forwarded. RFC 9113 §3.1 has withdrawn both.
    HTTP2_SETTINGS,
];

/// A connection option that names a field which the gateway sets or needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Connection names {0}, which is no hop-by-hop field")]
pub struct ForbiddenConnectionOption(String);

/// Rewrites the headers of a request for an upstream by rules 1 to 3 and 5, and returns the headers
/// to send after them.
///
/// # Errors
/// [`ForbiddenConnectionOption`] by rule 2.
pub fn rewrite_request(
    headers: &mut HeaderMap,
    version: Version,
    reserved: &ReservedHeaders,
    client: &ClientInfo,
) -> Result<AddedHeaders, ForbiddenConnectionOption> {
    let special = Special::of(headers);
    if special.has_connection() {
        for name in named_fields(headers) {
            if is_needed(name.as_str()) || reserved.contains(&normal_spelling(name.as_str())) {
                return Err(ForbiddenConnectionOption(crate::text::truncated(
                    name.as_str(),
                )));
            }
            headers.remove(name);
        }
    }
    if special.hop_by_hop != 0 {
        let accepts_trailers = headers.get_all(header::TE).iter().any(names_trailers);
        special.strip_hop_by_hop(headers);
        if accepts_trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
    if special.is_rewritten {
        // hyper sends the 100 itself, when the body is read.
        headers.remove(header::EXPECT);
        strip_leading_zeros(headers);
        join_cookies(headers);
    }
    let proxy_fields = if client.is_trusted {
        ProxyFields::of(headers)
    } else {
        ProxyFields::default()
    };
    reserved.strip(headers);
    Ok(AddedHeaders::of(client, headers, version, proxy_fields))
}

/// The fields of a message that are not forwarded as they are. One pass over all names finds them;
/// a lookup of each in the map would cost a hash.
#[derive(Default)]
struct Special {
    /// A bit for each of [`HOP_BY_HOP`].
    hop_by_hop: u16,
    /// Whether there is one that [`rewrite_request`] changes or removes.
    is_rewritten: bool,
}

impl Special {
    fn of(headers: &HeaderMap) -> Self {
        let mut special = Self::default();
        for name in headers.keys() {
            let bit = match name.as_str() {
                "connection" => 0,
                "keep-alive" => 1,
                "proxy-connection" => 2,
                "proxy-authenticate" => 3,
                "proxy-authorization" => 4,
                "te" => 5,
                "transfer-encoding" => 6,
                "upgrade" => 7,
                "http2-settings" => 8,
                "content-length" | "cookie" | "expect" => {
                    special.is_rewritten = true;
                    continue;
                }
                _ => continue,
            };
            special.hop_by_hop |= 1 << bit;
        }
        special
    }

    fn has_connection(&self) -> bool {
        self.hop_by_hop & 1 != 0
    }

    fn strip_hop_by_hop(&self, headers: &mut HeaderMap) {
        for (bit, name) in HOP_BY_HOP.iter().enumerate() {
            if self.hop_by_hop & 1 << bit != 0 {
                headers.remove(name);
            }
        }
    }
}

/// Rewrites the trailers of a request for an upstream by rule 4.
pub(super) fn rewrite_request_trailers(trailers: &mut HeaderMap, reserved: &ReservedHeaders) {
    Special::of(trailers).strip_hop_by_hop(trailers);
    reserved.strip(trailers);
    let needed: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_needed(name.as_str()))
        .cloned()
        .collect();
    for name in needed {
        trailers.remove(name);
    }
}

/// Rewrites the headers of a response for a client by rule 1.
///
/// It removes the Content-Length of a 1xx or 204, which must not have one (RFC 9110 §8.6). A client
/// that honours it would read the next response head as a body.
pub fn rewrite_response(headers: &mut HeaderMap, version: Version, status: StatusCode) {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    let special = Special::of(headers);
    if special.has_connection() {
        for name in named_fields(headers) {
            if !is_needed(name.as_str()) {
                headers.remove(name);
            }
        }
    }
    special.strip_hop_by_hop(headers);
    headers.append(header::VIA, via(version));
}

fn is_needed(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "content-length"
            | "content-type"
            | "content-encoding"
            | "cookie"
            | "date"
            | "host"
            | "mcp-method"
            | "mcp-name"
            | "mcp-protocol-version"
            | "set-cookie"
            | "trailer"
            | "via"
            | "www-authenticate"
    )
}

// `03` is three by RFC 9110 §8.6, but some servers read it as octal or reject it.
fn strip_leading_zeros(headers: &mut HeaderMap) {
    let Some(length) = headers.get_mut(header::CONTENT_LENGTH) else {
        return;
    };
    let digits = length.as_bytes();
    let zeros = digits
        .iter()
        .take_while(|digit| **digit == b'0')
        .count()
        .min(digits.len().saturating_sub(1));
    if zeros > 0
        && let Ok(shorter) = HeaderValue::from_bytes(&digits[zeros..])
    {
        *length = shorter;
    }
}

// HTTP/2 may split the cookies; HTTP/1 has one field for all (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if pieces.len() > 1
        && let Ok(cookies) = HeaderValue::from_bytes(&pieces.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookies);
    }
}

fn names_trailers(value: &HeaderValue) -> bool {
    let Ok(value) = value.to_str() else {
        return false;
    };
    value.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("trailers") && weight.is_empty()
    })
}

fn via(version: Version) -> HeaderValue {
    match version {
        Version::HTTP_10 => VIA_HTTP10,
        Version::HTTP_2 => VIA_HTTP2,
        _ => VIA,
    }
}

#[cfg(test)]
mod tests;

//! Which headers go through, and which ones the gateway sets.
//!
//! 1. Hop-by-hop fields end here, in both directions, with those that `Connection` names (RFC 9110 §7.6.1). An element of
//!    `Connection` that is not a token names no field; the elements beside it count all the same, so that garbage in the
//!    list never keeps a field in the message.
//! 2. `Connection` may not name a field that the gateway sets or needs: such a request is refused.
//! 3. Every field name that any route or the gateway sets is removed from every request first, in every spelling that an
//!    upstream might read as the same name: upper case, `_` and `.` for `-`.
//!    So is what asks an upstream for another method or path than the one that was judged: `X-HTTP-Method-Override`,
//!    `X-Original-URL` and their kind; `Proxy`, which CGI programs read as `HTTP_PROXY` (httpoxy, CVE-2016-5385); and
//!    every other spelling of the names that frame a message or end here, such as `Transfer_Encoding`.
//! 4. The same holds for trailers, which some upstreams read as headers; of those that say how a message is to be read,
//!    none goes through (RFC 9110 §6.5.1).
//! 5. What the client's connection told is believed, what its headers told is not, unless it is a trusted proxy. What a
//!    trusted proxy passes on without having checked it is believed only as far as it can be read.
//!
//! - `connection`: the options of `Connection`; `reserved`: the names of rule 3; `forwarded`: what rule 5 makes of a
//!   client, `proxy_fields`: what it reads in a trusted proxy's fields; `upgrade`: the protocols that a connection may go
//!   on in.

mod connection;
mod forwarded;
mod proxy_fields;
mod reserved;
mod upgrade;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};

pub use forwarded::{AddedHeaders, ClientInfo, X_REQUEST_ID};
pub use reserved::ReservedHeaders;
pub use upgrade::{requested_protocols, set_upgrade};

use connection::named_fields;
use forwarded::ProxyFields;
pub(super) use forwarded::write_field;
use reserved::normal_spelling;
pub(super) use upgrade::is_accepted_upgrade;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Ours on `Via`, after the version that a message came by (RFC 9110 §7.6.3).
const VIA: HeaderValue = HeaderValue::from_static("1.1 scopegate");
const VIA_HTTP10: HeaderValue = HeaderValue::from_static("1.0 scopegate");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 scopegate");

/// What ends here. Content-Length and `Trailer` do not: they describe the message, and whoever writes it frames it again by
/// what was read.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    // Belongs to an upgrade to `h2c`, which never goes through (RFC 9113 §3.1 has withdrawn both).
    HTTP2_SETTINGS,
];

/// `Connection` names a field that the gateway sets or needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Connection names {0}, which is no hop-by-hop field")]
pub struct ForbiddenConnectionOption(String);

/// Makes a client's headers an upstream's: rules 1 to 3 and 5.
///
/// Returns what goes out behind them.
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
            if is_needed(name.as_str()) || reserved.holds(&normal_spelling(name.as_str())) {
                return Err(ForbiddenConnectionOption(crate::text::truncated(
                    name.as_str(),
                )));
            }
            headers.remove(name);
        }
    }
    if special.ends_here != 0 {
        let trailers_welcome = headers.get_all(header::TE).iter().any(names_trailers);
        special.strip_hop_by_hop(headers);
        if trailers_welcome {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
    if special.rewritten {
        // Answered here: the client is told to go on when its body is read.
        headers.remove(header::EXPECT);
        shorten_length(headers);
        join_cookies(headers);
    }
    let told = if client.trusted {
        ProxyFields::by_proxy(headers)
    } else {
        ProxyFields::default()
    };
    reserved.strip(headers);
    Ok(AddedHeaders::of(client, headers, version, told))
}

/// Which fields a message has that something is to be done about, found in one pass over their names: a look for each of
/// them would cost a hash.
#[derive(Default)]
struct Special {
    /// Those that end here: a bit for each of [`HOP_BY_HOP`].
    ends_here: u16,
    /// One of a request that goes on in another form, or not at all.
    rewritten: bool,
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
                    special.rewritten = true;
                    continue;
                }
                _ => continue,
            };
            special.ends_here |= 1 << bit;
        }
        special
    }

    fn has_connection(&self) -> bool {
        self.ends_here & 1 != 0
    }

    fn strip_hop_by_hop(&self, headers: &mut HeaderMap) {
        for (bit, name) in HOP_BY_HOP.iter().enumerate() {
            if self.ends_here & 1 << bit != 0 {
                headers.remove(name);
            }
        }
    }
}

/// Makes a client's trailers an upstream's: rule 4.
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

/// Makes the headers of an upstream's response a client's: rule 1.
///
/// A 1xx or 204 loses its Content-Length, which it must not have (RFC 9110 §8.6): a reader that believes it takes the head
/// of the next response for a body.
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
            | "set-cookie"
            | "trailer"
            | "via"
            | "www-authenticate"
    )
}

// `03` is three (RFC 9110 §8.6), but not to everybody.
fn shorten_length(headers: &mut HeaderMap) {
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

// HTTP/2 may send cookies in pieces, and HTTP/1 has them in one (RFC 9113 §8.2.3).
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

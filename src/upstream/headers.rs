//! Which headers go through, and which ones the gateway sets.
//!
//! 1. Hop-by-hop fields end here, in both directions, with those that `Connection` names (RFC 9110 §7.6.1).
//! 2. `Connection` may not name a field that the gateway sets or needs: such a request is refused.
//! 3. Every field name that any route or the gateway sets is removed from every request first, in every spelling that an
//!    upstream might read as the same name: upper case, `_` and `.` for `-`.
//!    So is what asks an upstream for another method or path than the one that was judged: `X-HTTP-Method-Override`,
//!    `X-Original-URL` and their kind.
//! 4. The same holds for trailers, which some upstreams read as headers; of those that say how a message is to be read,
//!    none goes through (RFC 9110 §6.5.1).
//! 5. What the client's connection told is believed, what its headers told is not, unless it is a trusted proxy.
//!
//! - `reserved`: the names of rule 3; `forwarded`: what rule 5 makes of a client.

mod forwarded;
mod reserved;

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

pub use forwarded::{Added, Client, X_REQUEST_ID};
pub use reserved::Reserved;

use forwarded::Told;
pub(super) use forwarded::write_field;
use reserved::usual_spelling;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Ours on `Via`, after the version that a message came by (RFC 9110 §7.6.3).
const VIA: HeaderValue = HeaderValue::from_static("1.1 scopegate");
const VIA_HTTP10: HeaderValue = HeaderValue::from_static("1.0 scopegate");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 scopegate");

/// What ends here. Content-Length and `Trailer` do not: they describe the message, and whoever writes it frames it again by
/// what was read.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// `Connection` names a field that the gateway sets or needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Connection names {0}, which is no hop-by-hop field")]
pub struct Nominated(String);

/// Makes a client's headers an upstream's: rules 1 to 3 and 5.
///
/// Returns what goes out behind them.
///
/// # Errors
/// [`Nominated`] by rule 2.
pub fn to_upstream(
    headers: &mut HeaderMap,
    version: Version,
    reserved: &Reserved,
    client: &Client,
) -> Result<Added, Nominated> {
    let special = Special::of(headers);
    if special.has_connection() {
        for name in nominated(headers) {
            if is_needed(&name) || reserved.holds(&usual_spelling(&name)) {
                return Err(Nominated(crate::oauth::shortened(&name)));
            }
            headers.remove(name.as_str());
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
    let told = if client.trusted { Told::by_proxy(headers) } else { Told::default() };
    reserved.strip(headers);
    Ok(Added::of(client, headers, version, told))
}

/// Which fields a message has that something is to be done about, found in one pass over their names: a look for each of
/// them would cost a hash.
#[derive(Default)]
struct Special {
    /// Those that end here: a bit for each of [`HOP_BY_HOP`].
    ends_here: u8,
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

/// The protocol that a request asks to go on in (RFC 9110 §7.8), where it is one that may go through.
///
/// `h2c` may not: what is said in it after the 101 would pass the rules by (RFC 9113 dropped it anyway).
#[must_use]
pub fn wanted_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut wanted = headers.get_all(header::UPGRADE).iter();
    let (Some(protocol), None) = (wanted.next(), wanted.next()) else { return None };
    let names_upgrade = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")))
    };
    let is_http = protocol.to_str().ok()?.split(',').any(|name| {
        let name = name.trim().to_ascii_lowercase();
        name.starts_with("h2") || name.starts_with("h3") || name.starts_with("http") || name.starts_with("tls")
    });
    let is_asked_for = headers.get_all(header::CONNECTION).iter().any(names_upgrade);
    (is_asked_for && !is_http).then(|| protocol.clone())
}

/// Names the protocol that a connection goes on in.
pub fn set_protocol(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Makes a client's trailers an upstream's: rule 4.
pub(super) fn trailers_to_upstream(trailers: &mut HeaderMap, reserved: &Reserved) {
    Special::of(trailers).strip_hop_by_hop(trailers);
    reserved.strip(trailers);
    let needed: Vec<HeaderName> = trailers.keys().filter(|name| is_needed(name.as_str())).cloned().collect();
    for name in needed {
        trailers.remove(name);
    }
}

/// Makes an upstream's headers a client's: rule 1.
pub fn to_client(headers: &mut HeaderMap, version: Version) {
    let special = Special::of(headers);
    if special.has_connection() {
        for name in nominated(headers) {
            if !is_needed(&name) {
                headers.remove(name.as_str());
            }
        }
    }
    special.strip_hop_by_hop(headers);
    headers.append(header::VIA, via(version));
}

fn nominated(headers: &HeaderMap) -> Vec<String> {
    // What most connections say, and it names no field.
    let is_usual = |value: &HeaderValue| {
        ["keep-alive", "close"].iter().any(|usual| value.as_bytes().eq_ignore_ascii_case(usual.as_bytes()))
    };
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter(|value| !is_usual(value))
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !matches!(name.as_str(), "" | "close" | "keep-alive" | "te" | "transfer-encoding" | "upgrade"))
        .collect()
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
    let Some(length) = headers.get_mut(header::CONTENT_LENGTH) else { return };
    let digits = length.as_bytes();
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count().min(digits.len().saturating_sub(1));
    if zeros > 0
        && let Ok(shorter) = HeaderValue::from_bytes(&digits[zeros..])
    {
        *length = shorter;
    }
}

// HTTP/2 may send cookies in pieces, and HTTP/1 has them in one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let pieces: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if pieces.len() > 1
        && let Ok(cookies) = HeaderValue::from_bytes(&pieces.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, cookies);
    }
}

fn names_trailers(value: &HeaderValue) -> bool {
    let Ok(value) = value.to_str() else { return false };
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

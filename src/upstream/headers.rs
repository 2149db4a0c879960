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

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use http::Version;
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// What some frameworks take for the method or the path of a request, whatever its first line says.
const OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// Ours on `Via`, after the version that a message came by (RFC 9110 §7.6.3).
const VIA: HeaderValue = HeaderValue::from_static("1.1 scopegate");
const VIA_HTTP2: HeaderValue = HeaderValue::from_static("2.0 scopegate");

/// What ends here. Content-Length and `Trailer` do not: they describe the message, and hyper frames it again by what it reads.
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

/// The names that no client may set.
#[derive(Debug)]
pub struct Reserved {
    /// In their usual spelling: what is set as `x_user` may not come as `x-user` either.
    names: Vec<String>,
    /// The letters that they begin with, one bit each: most names of a request need no second look.
    initials: u64,
}

impl Default for Reserved {
    fn default() -> Self {
        Self::new([])
    }
}

impl Reserved {
    /// The gateway's own names, those that override what was judged, and those that routes set from claims.
    #[must_use]
    pub fn new(set_by_routes: impl IntoIterator<Item = HeaderName>) -> Self {
        let mut names = vec![header::FORWARDED, X_REAL_IP];
        names.extend(OVERRIDES);
        names.extend(set_by_routes);
        let mut names: Vec<_> = names.iter().map(|name| usual_spelling(name.as_str()).into_owned()).collect();
        names.sort();
        names.dedup();
        let initials = names.iter().fold(initial("x-forwarded-"), |initials, name| initials | initial(name));
        Self { names, initials }
    }

    fn holds(&self, name: &str) -> bool {
        name.starts_with("x-forwarded-") || self.names.iter().any(|reserved| reserved == name)
    }

    /// Whether a field is of a reserved name, in whatever spelling.
    fn holds_spelt(&self, name: &str) -> bool {
        initial(name) & self.initials != 0 && self.holds(&usual_spelling(name))
    }

    /// Removes every reserved name, in every spelling.
    fn strip(&self, headers: &mut HeaderMap) {
        let forged: Vec<HeaderName> = headers.keys().filter(|name| self.holds_spelt(name.as_str())).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
    }
}

// `_` and `.` count as the `-` that they may stand for; two letters may share a bit.
fn initial(name: &str) -> u64 {
    match name.bytes().next() {
        Some(b'_' | b'.') => 1 << (b'-' & 63),
        Some(byte) => 1 << (byte & 63),
        None => 0,
    }
}

// Header names are in lower case already: `HeaderName` sees to that.
fn usual_spelling(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| matches!(byte, b'_' | b'.')) {
        Cow::Owned(name.replace(['_', '.'], "-"))
    } else {
        Cow::Borrowed(name)
    }
}

/// `Connection` names a field that the gateway sets or needs.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("Connection names {0}, which is no hop-by-hop field")]
pub struct Nominated(String);

/// What is known of a client by its connection.
#[derive(Debug)]
pub struct Client {
    /// The peer's address.
    pub address: IpAddr,
    /// The same as a header value.
    pub address_text: HeaderValue,
    /// Whether what it says of clients behind it is believed.
    pub trusted: bool,
    /// `http` or `https`, as the client sees it.
    pub scheme: HeaderValue,
    /// The last host that it named, and what was made of that for `Forwarded`: most connections name one only.
    pub last_forwarded: RefCell<Option<(HeaderValue, HeaderValue)>>,
}

impl Client {
    /// Whose the request is, as far as it can be believed: the address nearest to us that is no trusted proxy's.
    #[must_use]
    pub fn origin(&self, headers: &HeaderMap, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
        let mut origin = self.address;
        if !self.trusted {
            return origin;
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let told = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for address in told.map(address) {
            // What is no address says nothing, and neither does what stands before it.
            let Some(address) = address else { break };
            origin = address;
            if !is_trusted(address) {
                break;
            }
        }
        origin
    }
}

// Some proxies tell the port as well.
fn address(told: &[u8]) -> Option<IpAddr> {
    let told = str::from_utf8(told).ok()?.trim();
    let address = told.parse().ok().or_else(|| told.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

/// Makes a client's headers an upstream's: rules 1 to 3 and 5.
///
/// # Errors
/// [`Nominated`] by rule 2.
pub fn to_upstream(
    headers: &mut HeaderMap,
    version: Version,
    reserved: &Reserved,
    client: &Client,
) -> Result<(), Nominated> {
    let special = Special::of(headers);
    if special.connection {
        for name in nominated(headers) {
            if is_needed(&name) || reserved.holds(&usual_spelling(&name)) {
                return Err(Nominated(crate::oauth::shortened(&name)));
            }
            headers.remove(name.as_str());
        }
    }
    if special.ends_here != 0 {
        let trailers_welcome = headers.get_all(header::TE).iter().any(names_trailers);
        let is_chunked = headers.contains_key(header::TRANSFER_ENCODING);
        special.strip_hop_by_hop(headers);
        // Chunks are written anew; without this hyper would send a GET without its body.
        if is_chunked {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
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
    set_forwarded(headers, client, told);
    add_via(headers, version);
    Ok(())
}

/// Which fields a message has that something is to be done about, found in one pass over their names: a look for each of
/// them would cost a hash.
#[derive(Default)]
struct Special {
    connection: bool,
    /// Those that end here, that one among them: a bit for each of [`HOP_BY_HOP`].
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
        special.connection = special.ends_here & 1 != 0;
        special
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
    if special.connection {
        for name in nominated(headers) {
            if !is_needed(&name) {
                headers.remove(name.as_str());
            }
        }
    }
    special.strip_hop_by_hop(headers);
    add_via(headers, version);
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
        .filter(|name| !matches!(name.as_str(), "" | "close" | "keep-alive" | "te" | "upgrade"))
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

/// What a trusted proxy says of its client.
#[derive(Default)]
struct Told {
    forwarded_for: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
    proto: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl Told {
    fn by_proxy(headers: &HeaderMap) -> Self {
        Self {
            forwarded_for: joined(headers, &X_FORWARDED_FOR),
            forwarded: joined(headers, &header::FORWARDED),
            proto: headers.get(X_FORWARDED_PROTO).cloned(),
            host: headers.get(X_FORWARDED_HOST).cloned(),
        }
    }
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let values: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&values.join(&b", "[..])).ok().filter(|value| !value.is_empty())
}

fn set_forwarded(headers: &mut HeaderMap, client: &Client, told: Told) {
    let host = told.host.or_else(|| headers.get(header::HOST).cloned());
    let proto = told.proto.unwrap_or_else(|| client.scheme.clone());
    let forwarded = if client.trusted {
        forwarded(client, told.forwarded, host.as_ref(), &proto)
    } else {
        forwarded_as_before(client, host.as_ref())
    };
    if let Some(forwarded) = forwarded {
        headers.insert(header::FORWARDED, forwarded);
    }
    headers.insert(X_FORWARDED_FOR, appended(told.forwarded_for, &client.address_text));
    headers.insert(X_FORWARDED_PROTO, proto);
    if let Some(host) = host {
        headers.insert(X_FORWARDED_HOST, host);
    }
}

// The same as for the last request of the connection, if that named the same host.
fn forwarded_as_before(client: &Client, host: Option<&HeaderValue>) -> Option<HeaderValue> {
    let mut last = client.last_forwarded.borrow_mut();
    if let (Some((of, forwarded)), Some(host)) = (&*last, host)
        && of == host
    {
        return Some(forwarded.clone());
    }
    let forwarded = forwarded(client, None, host, &client.scheme)?;
    *last = host.map(|host| (host.clone(), forwarded.clone()));
    Some(forwarded)
}

// RFC 7239 §4: an IPv6 address is bracketed and quoted, a host with a port quoted.
fn forwarded(
    client: &Client,
    told: Option<HeaderValue>,
    host: Option<&HeaderValue>,
    proto: &HeaderValue,
) -> Option<HeaderValue> {
    let mut element = match client.address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    // A host that was admitted holds neither quote nor backslash; a trusted proxy's might.
    if let Some(host) = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\'])) {
        element.push_str(&format!(";host=\"{host}\""));
    }
    if let Some(proto) = proto.to_str().ok().filter(|proto| proto.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        element.push_str(&format!(";proto={proto}"));
    }
    HeaderValue::from_str(&element).ok().map(|element| appended(told, &element))
}

fn appended(list: Option<HeaderValue>, element: &HeaderValue) -> HeaderValue {
    let Some(list) = list else { return element.clone() };
    let longer = [list.as_bytes(), element.as_bytes()].join(&b", "[..]);
    // Two header values and a comma make one.
    HeaderValue::from_bytes(&longer).unwrap_or(list)
}

fn add_via(headers: &mut HeaderMap, version: Version) {
    let ours = if version == Version::HTTP_2 { VIA_HTTP2 } else { VIA };
    match headers.entry(header::VIA) {
        Entry::Vacant(vacant) => {
            vacant.insert(ours);
        }
        Entry::Occupied(mut earlier) => {
            earlier.append(ours);
        }
    }
}

#[cfg(test)]
mod tests;

//! Whose a request is, and how its upstream is told: `Forwarded` (RFC 7239) and the names before it.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

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

/// What a trusted proxy says of its client.
#[derive(Default)]
pub(super) struct Told {
    forwarded_for: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
    proto: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl Told {
    pub(super) fn by_proxy(headers: &HeaderMap) -> Self {
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

pub(super) fn set_forwarded(headers: &mut HeaderMap, client: &Client, told: Told) {
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

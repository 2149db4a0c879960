//! The headers that describe the client: `Forwarded` (RFC 7239) and its older equivalents.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::{proxy_fields, via};
use crate::client_limits::ClientAddress;

/// The header with the identifier of a request.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// An address that cannot be stated (RFC 7239 §6.2).
const UNKNOWN: &str = "unknown";
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is known of a client by its connection.
#[derive(Debug)]
pub struct ClientInfo {
    address: ClientAddress,
    /// The address as a header value; `unknown` for a client of a Unix socket (RFC 7239 §6.2).
    address_text: HeaderValue,
    /// Whether it is a trusted proxy, whose description of the clients behind it counts.
    pub is_trusted: bool,
    /// `http` or `https`, as the client sees it.
    pub scheme: HeaderValue,
    /// The headers for the last `Host`: most connections use one only.
    last_added: RefCell<Option<(HeaderValue, Version, Rc<ClientFields>)>>,
}

/// A client whose address its proxy does not know, or does not state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownClient {
    /// The trusted proxy that is nearest to the client.
    pub proxy: ClientAddress,
}

/// Headers that are sent after those of a request. They are in no map: it would grow and hash each
/// of them.
#[derive(Clone, Debug, Default)]
pub struct AddedHeaders {
    of_client: Rc<ClientFields>,
    /// The identifier of the request (`X-Request-Id`).
    pub request_id: Option<HeaderValue>,
}

/// The headers for every request of a client to one host.
#[derive(Debug, Default)]
struct ClientFields {
    fields: Vec<(HeaderName, HeaderValue)>,
    /// The same as lines of HTTP/1.1.
    lines: Vec<u8>,
}

impl ClientInfo {
    /// A client that connected from `address`, by `scheme` as it sees it.
    #[must_use]
    pub fn new(address: ClientAddress, is_trusted: bool, scheme: HeaderValue) -> Self {
        let text = match address {
            ClientAddress::Ip(address) => HeaderValue::from_str(&address.to_string()).ok(),
            // Without a value, an upstream would take the gateway for the client.
            ClientAddress::Unix => None,
        };
        let address_text = text.unwrap_or(HeaderValue::from_static(UNKNOWN));
        Self {
            address,
            address_text,
            is_trusted,
            scheme,
            last_added: RefCell::default(),
        }
    }

    /// The client address of a request: the nearest address that is no trusted proxy's.
    #[must_use]
    pub fn client_address(
        &self,
        headers: &HeaderMap,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> ClientAddress {
        match self.reported_address(headers, is_trusted) {
            Ok(address) | Err(UnknownClient { proxy: address }) => address,
        }
    }

    /// The same, unless a trusted proxy states something else than an address for its client. The
    /// address of that proxy must not count as the client's then: it may be allowed more.
    ///
    /// # Errors
    /// [`UnknownClient`]
    pub fn reported_address(
        &self,
        headers: &HeaderMap,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Result<ClientAddress, UnknownClient> {
        let mut nearest = self.address;
        if !self.is_trusted {
            return Ok(nearest);
        }
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let elements = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for address in elements.map(proxy_fields::address) {
            // Anybody may have written what is to the left of a malformed element.
            let Some(address) = address else {
                return Err(UnknownClient { proxy: nearest });
            };
            nearest = address.into();
            if !is_trusted(address) {
                break;
            }
        }
        Ok(nearest)
    }
}

/// How a trusted proxy describes its client: the well-formed parts of its [headers](proxy_fields).
#[derive(Default)]
pub(super) struct ProxyFields {
    forwarded_for: Option<HeaderValue>,
    forwarded: Option<HeaderValue>,
    proto: Option<HeaderValue>,
    host: Option<HeaderValue>,
}

impl ProxyFields {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            forwarded_for: proxy_fields::addresses(headers.get_all(X_FORWARDED_FOR)),
            forwarded: proxy_fields::elements(headers.get_all(header::FORWARDED)),
            proto: proxy_fields::scheme(headers.get_all(X_FORWARDED_PROTO)),
            host: proxy_fields::hosts(headers.get_all(X_FORWARDED_HOST)),
        }
    }
}

impl AddedHeaders {
    /// The headers to add to a request.
    ///
    /// They are reused from the last request of the connection, if that had the same host and
    /// version. Those of a trusted proxy differ from request to request, and are never reused.
    pub(super) fn of(
        client: &ClientInfo,
        headers: &HeaderMap,
        version: Version,
        proxy_fields: ProxyFields,
    ) -> Self {
        let host = proxy_fields
            .host
            .as_ref()
            // Not `get`: it is nearly always the first, and a lookup would cost a hash.
            .or_else(|| {
                headers
                    .iter()
                    .find(|(name, _)| **name == header::HOST)
                    .map(|(_, host)| host)
            });
        if client.is_trusted {
            return Self {
                of_client: Rc::new(ClientFields::new(client, host, version, &proxy_fields)),
                request_id: None,
            };
        }
        let mut last = client.last_added.borrow_mut();
        if let (Some((of, at, of_client)), Some(host)) = (&*last, host)
            && (of, *at) == (host, version)
        {
            return Self {
                of_client: Rc::clone(of_client),
                request_id: None,
            };
        }
        let of_client = Rc::new(ClientFields::new(client, host, version, &proxy_fields));
        *last = host.map(|host| (host.clone(), version, Rc::clone(&of_client)));
        Self {
            of_client,
            request_id: None,
        }
    }

    /// Appends them to a map.
    pub fn append_to(&self, headers: &mut HeaderMap) {
        for (name, value) in self.of_client.fields.iter().cloned() {
            headers.append(name, value);
        }
        if let Some(id) = &self.request_id {
            headers.insert(X_REQUEST_ID, id.clone());
        }
    }

    /// Writes them as lines of HTTP/1.1 (RFC 9112 §5).
    pub(in crate::upstream) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.of_client.lines);
        if let Some(id) = &self.request_id {
            write_field(out, X_REQUEST_ID.as_str(), id);
        }
    }
}

impl ClientFields {
    fn new(
        client: &ClientInfo,
        host: Option<&HeaderValue>,
        version: Version,
        proxy_fields: &ProxyFields,
    ) -> Self {
        let proto = proxy_fields.proto.as_ref().unwrap_or(&client.scheme);
        let mut fields = Vec::with_capacity(5);
        if let Some(forwarded) = forwarded(client, proxy_fields.forwarded.as_ref(), host, proto) {
            fields.push((header::FORWARDED, forwarded));
        }
        fields.push((
            X_FORWARDED_FOR,
            appended(proxy_fields.forwarded_for.as_ref(), &client.address_text),
        ));
        fields.push((X_FORWARDED_PROTO, proto.clone()));
        fields.extend(host.map(|host| (X_FORWARDED_HOST, host.clone())));
        fields.push((header::VIA, via(version)));
        let mut lines = Vec::new();
        fields
            .iter()
            .for_each(|(name, value)| write_field(&mut lines, name.as_str(), value));
        Self { fields, lines }
    }
}

/// Writes a field as a line of HTTP/1.1 (RFC 9112 §5).
pub(in crate::upstream) fn write_field(out: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

// RFC 7239 §4: an IPv6 address is bracketed and quoted, a host with a port quoted.
fn forwarded(
    client: &ClientInfo,
    previous: Option<&HeaderValue>,
    host: Option<&HeaderValue>,
    proto: &HeaderValue,
) -> Option<HeaderValue> {
    let mut element = match client.address {
        ClientAddress::Ip(IpAddr::V4(address)) => format!("for={address}"),
        ClientAddress::Ip(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        ClientAddress::Unix => format!("for={UNKNOWN}"),
    };
    // An admitted host has neither quote nor backslash. That of a trusted proxy might.
    if let Some(host) = host
        .and_then(|host| host.to_str().ok())
        .filter(|host| !host.contains(['"', '\\']))
    {
        element.push_str(&format!(";host=\"{host}\""));
    }
    if let Some(proto) = proto
        .to_str()
        .ok()
        .filter(|proto| proto.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    {
        element.push_str(&format!(";proto={proto}"));
    }
    HeaderValue::from_str(&element)
        .ok()
        .map(|element| appended(previous, &element))
}

fn appended(list: Option<&HeaderValue>, element: &HeaderValue) -> HeaderValue {
    let Some(list) = list else {
        return element.clone();
    };
    let longer = [list.as_bytes(), element.as_bytes()].join(&b", "[..]);
    // Cannot fail: two header values and a comma are a header value.
    HeaderValue::from_bytes(&longer).unwrap_or_else(|_| list.clone())
}

//! The headers that describe the client: `Forwarded` (RFC 7239) and its older equivalents.

use std::cell::{OnceCell, RefCell};
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
const NAME_END: &[u8] = b": ";
const LINE_END: &[u8] = b"\r\n";
/// Room for the lines of a client, unless a host is long or a proxy has named others.
const USUAL_BYTES: usize = 256;

/// What is known of a client by its connection.
#[derive(Debug)]
pub struct ClientInfo {
    address: ClientAddress,
    /// The same as text; `unknown` for a client of a Unix socket (RFC 7239 §6.2).
    address_text: String,
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
    /// Lines of HTTP/1.1.
    lines: Vec<u8>,
    /// The same for a map, once an upstream needs that.
    fields: OnceCell<Vec<(HeaderName, HeaderValue)>>,
}

impl ClientInfo {
    /// A client that connected from `address`, by `scheme` as it sees it.
    #[must_use]
    pub fn new(address: ClientAddress, is_trusted: bool, scheme: HeaderValue) -> Self {
        let address_text = match address {
            ClientAddress::Ip(address) => text_of(address),
            // Without a value, an upstream would take the gateway for the client.
            ClientAddress::Unix => UNKNOWN.to_owned(),
        };
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
        // Copied: the value is a part of the buffer that the whole head was read into.
        let host = host.and_then(|host| HeaderValue::from_bytes(host.as_bytes()).ok());
        *last = host.map(|host| (host, version, Rc::clone(&of_client)));
        Self {
            of_client,
            request_id: None,
        }
    }

    /// Appends them to a map.
    pub fn append_to(&self, headers: &mut HeaderMap) {
        for (name, value) in self.of_client.fields().iter().cloned() {
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
        let mut lines = Vec::with_capacity(USUAL_BYTES);
        begin_list(
            &mut lines,
            header::FORWARDED,
            proxy_fields.forwarded.as_ref(),
        );
        write_forwarded(&mut lines, client, host, proto);
        begin_list(
            &mut lines,
            X_FORWARDED_FOR,
            proxy_fields.forwarded_for.as_ref(),
        );
        lines.extend_from_slice(client.address_text.as_bytes());
        lines.extend_from_slice(LINE_END);
        write_field(&mut lines, X_FORWARDED_PROTO.as_str(), proto);
        if let Some(host) = host {
            write_field(&mut lines, X_FORWARDED_HOST.as_str(), host);
        }
        write_field(&mut lines, header::VIA.as_str(), &via(version));
        Self {
            lines,
            fields: OnceCell::new(),
        }
    }

    fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        self.fields.get_or_init(|| {
            let mut rest = self.lines.as_slice();
            let fields = std::iter::from_fn(|| read_field(&mut rest)).collect();
            debug_assert!(rest.is_empty(), "every line is a field");
            fields
        })
    }
}

// Every connection needs this text, and std's formatter takes ten times as long for IPv4.
pub(super) fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let (mut text, mut digits) = (String::with_capacity(15), itoa::Buffer::new());
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push('.');
        }
        text.push_str(digits.format(octet));
    }
    text
}

/// Writes a field as a line of HTTP/1.1 (RFC 9112 §5).
pub(in crate::upstream) fn write_field(out: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(NAME_END);
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(LINE_END);
}

/// Reads a line as [`write_field`] writes it. No name has a colon, and no value a line break.
fn read_field(lines: &mut &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name_end = memchr::memmem::find(lines, NAME_END)?;
    let line_end = memchr::memmem::find(lines, LINE_END)?;
    let name = HeaderName::from_bytes(&lines[..name_end]).ok()?;
    let value = HeaderValue::from_bytes(&lines[name_end + NAME_END.len()..line_end]).ok()?;
    *lines = &lines[line_end + LINE_END.len()..];
    Some((name, value))
}

/// Begins a line whose value continues a list.
fn begin_list(out: &mut Vec<u8>, name: HeaderName, list: Option<&HeaderValue>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(NAME_END);
    if let Some(list) = list {
        out.extend_from_slice(list.as_bytes());
        out.extend_from_slice(b", ");
    }
}

// RFC 7239 §4: an IPv6 address is bracketed and quoted, a host with a port quoted.
fn write_forwarded(
    out: &mut Vec<u8>,
    client: &ClientInfo,
    host: Option<&HeaderValue>,
    proto: &HeaderValue,
) {
    let (before, after): (&[u8], &[u8]) = match client.address {
        ClientAddress::Ip(IpAddr::V6(_)) => (b"for=\"[", b"]\""),
        ClientAddress::Ip(IpAddr::V4(_)) | ClientAddress::Unix => (b"for=", b""),
    };
    out.extend_from_slice(before);
    out.extend_from_slice(client.address_text.as_bytes());
    out.extend_from_slice(after);
    // An admitted host has neither quote nor backslash. That of a trusted proxy might.
    if let Some(host) = host.filter(|host| host.as_bytes().iter().all(is_quotable)) {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host.as_bytes());
        out.push(b'"');
    }
    if proto.as_bytes().iter().all(u8::is_ascii_alphanumeric) {
        out.extend_from_slice(b";proto=");
        out.extend_from_slice(proto.as_bytes());
    }
    out.extend_from_slice(LINE_END);
}

/// Whether a quoted string may have this byte as it is. Bytes outside ASCII are left out.
fn is_quotable(byte: &u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

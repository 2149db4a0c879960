//! Types of values: socket addresses, networks, hosts, URLs and files.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use toml::de::DeValue;
use url::Url;

use super::hints;
use super::mismatch::{Mismatch, expected};
use super::reference::Description;
use super::scalars::read_text;
use super::unix_path::{UNIX_PATH, read_unix_path, unix_text, with_unix_hint};
use super::value_type::{ValueType, value_type};

const SOCKET_ADDRESS: &str = r"^(\[[0-9A-Fa-f:.%]+\]|[0-9.]+):[0-9]{1,5}$";
const NETWORK: &str = "^([0-9A-Fa-f:.]+(/[0-9]{1,3})?|unix)$";
const HOST_NAME: &str = "^[A-Za-z0-9._:-]+$";
const ORIGIN: &str =
    r#"^[Hh][Tt][Tt][Pp][Ss]?://(\[[0-9A-Fa-f:.]+\]|[^/?:\s\\#@<>{}|^`"$\[\]]+)(:[0-9]*)?/?$"#;
pub(super) const URL: &str = r#"^[Hh][Tt][Tt][Pp][Ss]?://(\[[0-9A-Fa-f:.]+\]|[^/?:\s\\#@<>{}|^`"$\[\]]+)(:[0-9]*)?([/?][^\s\\#<>{}|^`"]*)?$"#;
/// As [`URL`]; a segment of the path may be a parameter.
pub(super) const URL_OF_TENANTS: &str = r#"^[Hh][Tt][Tt][Pp][Ss]?://(\[[0-9A-Fa-f:.]+\]|[^/?:\s\\#@<>{}|^`"$\[\]]+)(:[0-9]*)?(/(\{[A-Za-z0-9_-]+\}|[^/?\s\\#<>{}|^`"]*))*(\?[^\s\\#<>{}|^`"]*)?$"#;

/// An IP address and a port.
pub(super) fn socket_address() -> impl ValueType<SocketAddr> {
    value_type(read_socket_address, || {
        Description::pattern("IP address and port", SOCKET_ADDRESS)
    })
}

fn read_socket_address(value: &DeValue<'_>) -> Result<SocketAddr, Mismatch> {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| {
            let usual = || {
                "such as \"127.0.0.1:8080\" or \"[::1]:8080\"; names are not resolved".to_owned()
            };
            expected("an IP address and a port")
                .with_help(hints::socket_address(value).unwrap_or_else(usual))
        })
}

/// Clients that a list of networks may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientNetwork {
    /// A network, or one address as a network of its own.
    Ip(IpNet),
    /// Clients of Unix sockets.
    Unix,
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(network) => network.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// Where a listener accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// IP address and port; none for a Unix socket.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An IP address and a port, or `unix:` and a path; a relative one starts in `folder`.
pub(super) fn listen_address(folder: &Path) -> impl ValueType<ListenAddress> {
    let read = move |value: &DeValue<'_>| match value.as_str().and_then(unix_text) {
        Some(path) => read_unix_path(path, folder).map(ListenAddress::Unix),
        None => read_socket_address(value)
            .map(ListenAddress::Ip)
            .map_err(|mismatch| with_unix_hint(mismatch, value, folder)),
    };
    value_type(read, || {
        Description::pattern(
            "IP address and port, or Unix socket",
            &format!("{SOCKET_ADDRESS}|{UNIX_PATH}"),
        )
    })
}

/// A network, one address as a network of its own, or `unix`.
pub(super) fn network() -> impl ValueType<ClientNetwork> {
    value_type(read_network, || Description::pattern("network", NETWORK))
}

fn read_network(value: &DeValue<'_>) -> Result<ClientNetwork, Mismatch> {
    if value.as_str() == Some("unix") {
        return Ok(ClientNetwork::Unix);
    }
    let parse = |text: &str| {
        text.parse()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
    };
    let hint = || value.as_str().and_then(hints::network);
    value
        .as_str()
        .and_then(parse)
        .map(ClientNetwork::Ip)
        .ok_or_else(|| expected("a network such as \"10.0.0.0/8\"").or_help(hint()))
}

/// The path of a file; a relative one starts in `folder`.
pub(super) fn path(folder: &Path) -> impl ValueType<PathBuf> {
    value_type(
        move |value| {
            let mismatch = || expected("the path of a file");
            let path = read_text(value).map_err(|_| mismatch())?;
            if path.contains("://") {
                Err(mismatch().with_help("a URL is not a path"))
            } else {
                Ok(folder.join(path))
            }
        },
        || Description::text("file"),
    )
}

/// An `http` or `https` URL with a host, without credentials or fragment.
pub(super) fn url() -> impl ValueType<Url> {
    value_type(read_url, || Description::pattern("URL", URL))
}

pub(super) fn read_url(value: &DeValue<'_>) -> Result<Url, Mismatch> {
    url_that(value, "an http or https URL", |_| true)
}

/// As [`url`]; a segment of the path may be a parameter, such as `{tenant}`. Its braces are
/// percent-encoded in the result.
pub(super) fn read_url_of_tenants(value: &DeValue<'_>) -> Result<Url, Mismatch> {
    let encoded = value.as_str().map(encode_parameters);
    let url = encoded.and_then(|text| read_url(&DeValue::String(text.into())).ok());
    url.map_or_else(|| read_url(value), Ok)
}

fn encode_parameters(text: &str) -> String {
    let path_end = text.find(['?', '#']).unwrap_or(text.len());
    let (before, after) = text.split_at(path_end);
    let encoded = |segment: &str| {
        let inner = segment
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        match inner.filter(|name| !name.is_empty() && !name.contains(['{', '}'])) {
            Some(name) => format!("%7B{name}%7D"),
            None => segment.to_owned(),
        }
    };
    // Scheme, nothing, host.
    let segments = before
        .split('/')
        .enumerate()
        .map(|(index, segment)| match index {
            0..=2 => segment.to_owned(),
            _ => encoded(segment),
        });
    segments.collect::<Vec<_>>().join("/") + after
}

/// A URL of only scheme, host and port.
pub(super) fn origin() -> impl ValueType<Url> {
    value_type(read_origin, || Description::pattern("URL", ORIGIN))
}

fn read_origin(value: &DeValue<'_>) -> Result<Url, Mismatch> {
    let bare = |url: &Url| url.path() == "/" && url.query().is_none() && url.port() != Some(0);
    url_that(
        value,
        "an http or https URL of only scheme, host and port",
        bare,
    )
}

pub(super) fn url_that(
    value: &DeValue<'_>,
    what: &str,
    is_valid: impl Fn(&Url) -> bool,
) -> Result<Url, Mismatch> {
    let mismatch = || expected(what);
    let text = value.as_str().ok_or_else(mismatch)?;
    let read = |text: &str| parse_url(text).filter(&is_valid);
    read(text).ok_or_else(|| {
        // Credentials are secrets, so a URL that may have some is not printed.
        let mismatch = if text.contains('@') {
            mismatch().but_found("one with credentials")
        } else {
            mismatch()
        };
        mismatch.or_help(hints::url(text, |proposed| read(proposed).is_some()))
    })
}

/// `Url` repairs what browsers repair: missing or extra slashes, tabs, backslashes, and characters
/// that RFC 3986 §2 forbids. These are refused: a gateway must not guess where it sends tokens.
fn parse_url(text: &str) -> Option<Url> {
    let written_plainly = text
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.starts_with('/'))
        && !text.contains(|character: char| {
            character.is_whitespace() || character.is_control() || "\\<>{}|^`\"".contains(character)
        });
    let url = Url::parse(text).ok().filter(|_| written_plainly)?;
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let has_host = url
        .host_str()
        .is_some_and(|host| host.starts_with('[') || host.bytes().all(is_of_name));
    let is_valid = has_host
        && matches!(url.scheme(), "http" | "https")
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    is_valid.then_some(url)
}

/// The name of a host: letters, digits and `-._:`.
pub(super) fn host_name() -> impl ValueType<String> {
    value_type(read_host_name, || {
        Description::pattern("host name", HOST_NAME)
    })
}

fn read_host_name(value: &DeValue<'_>) -> Result<String, Mismatch> {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let is_valid = |text: &str| !text.is_empty() && text.bytes().all(is_of_name);
    let hint = || value.as_str().and_then(|text| hints::host(text, is_valid));
    let name = value
        .as_str()
        .filter(|text| is_valid(text))
        .map(str::to_owned);
    name.ok_or_else(|| expected("the name of a host").or_help(hint()))
}

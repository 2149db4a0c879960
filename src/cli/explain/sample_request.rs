//! The request that the command line describes.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Method, header};
use zeroize::Zeroizing;

use super::arguments::Arguments;
use crate::client_limits::ClientAddress;
use crate::config::{Config, Listener};
use crate::oauth::bearer;

/// The ports of URLs that name none (RFC 9110 §4.2.1 and §4.2.2).
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// The request that the command line describes. Nobody has sent it.
pub(super) struct SampleRequest {
    pub(super) method: Method,
    /// Path and query, as in the request line.
    pub(super) target: String,
    /// Whether the client would speak TLS.
    pub(super) is_tls: bool,
    /// The index of the plain listener that a request over http would reach, as far as the file
    /// shows.
    pub(super) listener: Option<usize>,
    /// With `Host`.
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Zeroizing<Vec<u8>>>,
    pub(super) offline: bool,
    /// The address that the client has connected from.
    pub(super) from: ClientAddress,
}

impl SampleRequest {
    pub(super) fn new(arguments: &Arguments, config: &Config) -> Result<Self, String> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let method = Method::from_bytes(arguments.method.as_bytes()).ok();
        let method = method
            .filter(|method| method.as_str().bytes().all(is_token))
            .ok_or_else(|| {
                format!(
                    "METHOD: expected the name of a method such as GET, but found {:?}",
                    arguments.method
                )
            })?;
        let Target {
            is_tls,
            host,
            target,
        } = Target::parse(&arguments.url, config)?;

        if arguments.from == ClientAddress::Unix {
            let is_path = !arguments.url.contains("://");
            check_unix_client(is_tls, (!is_path).then_some(&host), config)?;
        }
        let listener = (!is_tls)
            .then(|| plain_listener(&host, arguments.from, config))
            .flatten();
        let mut headers = HeaderMap::new();
        for header in &arguments.headers {
            let (name, value) = header.parse()?;
            headers.append(name, value);
        }
        if !headers.contains_key(header::HOST) {
            let value = HeaderValue::from_str(&host)
                .map_err(|_| "URL: expected a host, but found something else")?;
            headers.insert(header::HOST, value);
        }
        if let Some(token) = &arguments.token {
            let mut text = Zeroizing::new(b"Bearer ".to_vec());
            let token = token.read("--token", "a token")?;
            if token
                .get(..7)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"Bearer "))
            {
                return Err("--token: expected a token, but found \"Bearer\" before it".to_owned());
            }
            text.extend_from_slice(&token);
            let mut value = HeaderValue::from_bytes(&text).map_err(
                |_| "--token: expected a token on one line, but found control characters within it",
            )?;
            value.set_sensitive(true);
            headers.append(header::AUTHORIZATION, value);
        }
        let body = body(arguments, &mut headers)?;
        Ok(Self {
            method,
            target,
            is_tls,
            listener,
            headers,
            body,
            offline: arguments.offline,
            from: arguments.from,
        })
    }

    /// Its access token, if it has one.
    pub(super) fn token(&self) -> Option<&str> {
        bearer::extract(&self.headers)
            .ok()
            .map(|token| token.as_str())
    }

    /// The request as an HTTP/1.1 client sends it.
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut head =
            Zeroizing::new(format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes());
        for (name, value) in &self.headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head.extend_from_slice(self.body.as_deref().map_or(&[], Vec::as_slice));
        head
    }

    /// `Host` as it would be sent.
    pub(super) fn host(&self) -> String {
        let host = self.headers.get(header::HOST).map(HeaderValue::as_bytes);
        String::from_utf8_lossy(host.unwrap_or_default()).into_owned()
    }

    /// The target without its query, which may hold a secret.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

// The body, and the headers that describe it.
fn body(
    arguments: &Arguments,
    headers: &mut HeaderMap,
) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
    let Some(body) = &arguments.body else {
        return Ok(None);
    };
    let body = body.read("--body", "a body")?;
    let json = HeaderValue::from_static("application/json");
    headers.entry(header::CONTENT_TYPE).or_insert(json);
    let length = HeaderValue::from(body.len());
    headers.entry(header::CONTENT_LENGTH).or_insert(length);
    Ok(Some(body))
}

/// A URL, split but not normalized: the gateway normalizes or refuses it.
struct Target {
    is_tls: bool,
    host: String,
    target: String,
}

impl Target {
    fn parse(url: &str, config: &Config) -> Result<Self, String> {
        // A query or fragment may hold a secret.
        let printable = url.split(['?', '#']).next().unwrap_or_default();
        if url.is_empty()
            || url.contains(|character: char| character.is_whitespace() || character.is_control())
        {
            return Err(format!(
                "URL: expected no spaces (a client writes %20), but found {printable:?}"
            ));
        }
        // Clients do not send the fragment.
        let url = url.split('#').next().unwrap_or_default();
        let absolute = [("https://", true), ("http://", false)]
            .into_iter()
            .find_map(|(scheme, is_tls)| Some((strip_scheme(url, scheme)?, is_tls)));
        if let Some((rest, is_tls)) = absolute {
            let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            let target = if target.starts_with('/') {
                target.to_owned()
            } else {
                format!("/{target}")
            };
            return match host {
                "" => Err(format!(
                    "URL: expected a host after the scheme, but found none in {printable:?}"
                )),
                host => Ok(Self {
                    is_tls,
                    host: host.to_owned(),
                    target,
                }),
            };
        }
        if !url.starts_with('/') && url != "*" {
            return Err(format!(
                "URL: expected a path that starts with / or an http or https URL, but found {printable:?}"
            ));
        }
        let (is_tls, host) = default_host(config);
        Ok(Self {
            is_tls,
            host,
            target: url.to_owned(),
        })
    }
}

fn strip_scheme<'u>(url: &'u str, scheme: &str) -> Option<&'u str> {
    let (start, rest) = url.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Refuses a client of a Unix socket where the file has none, or the URL is that of a TCP listener.
fn check_unix_client(is_tls: bool, host: Option<&String>, config: &Config) -> Result<(), String> {
    if !config.has_unix_listener() {
        return Err(
            "--from: expected an address, because no listener is a Unix socket, but found \"unix\""
                .to_owned(),
        );
    }
    let Some(host) = host else {
        return Ok(());
    };
    let port = port(host, is_tls);
    let mut listeners = config.listeners.iter();
    let is_reached = |one: &&Listener| one.tls.is_some() == is_tls && has_port(one, port);
    match listeners.find(is_reached) {
        Some(listener) => Err(format!(
            "--from: expected an address, because the URL is that of {}, but found \"unix\" \
             (write the path alone for a client of the Unix socket)",
            listener.address.key()
        )),
        None => Ok(()),
    }
}

fn port(host: &str, is_tls: bool) -> u16 {
    let written = host
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    written.unwrap_or(if is_tls { HTTPS_PORT } else { HTTP_PORT })
}

fn has_port(listener: &Listener, port: u16) -> bool {
    let address = listener.address.value.ip();
    address.is_some_and(|address| address.port() == port)
}

// The listener with the port of the URL, else the first one that serves routes: a load balancer may
// be in front of it. A client of a Unix socket reaches only such a listener.
fn plain_listener(host: &str, from: ClientAddress, config: &Config) -> Option<usize> {
    let port = port(host, false);
    let is_reached = |listener: &Listener| {
        let is_unix = listener.address.value.ip().is_none();
        listener.tls.is_none() && (from != ClientAddress::Unix || is_unix)
    };
    let plain = || {
        let listeners = config.listeners.iter().enumerate();
        listeners.filter(|(_, listener)| is_reached(listener))
    };
    plain()
        .find(|(_, listener)| has_port(listener, port))
        .or_else(|| plain().find(|(_, listener)| !listener.redirects_to_https()))
        .or_else(|| plain().next())
        .map(|(index, _)| index)
}

// The scheme and host that clients use for the gateway, according to the file.
fn default_host(config: &Config) -> (bool, String) {
    if let Some(url) = &config.server.external_url {
        let port = url
            .value
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        return (
            url.value.scheme() == "https",
            format!("{}{port}", url.value.host_str().unwrap_or_default()),
        );
    }
    let serves = |listener: &&Listener| !listener.redirects_to_https();
    let first = config.listeners.iter().find(serves);
    let Some(first) = first.or(config.listeners.first()) else {
        return (false, "localhost".to_owned());
    };
    let Some(mut address) = first.address.value.ip() else {
        return (first.tls.is_some(), "localhost".to_owned());
    };
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    (first.tls.is_some(), address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(server: &str) -> Config {
        let text =
            format!("[server]\n{server}\n[upstreams.up]\ntargets = \"http://127.0.0.1:1\"\n");
        crate::config::parse("gateway.toml", &text)
            .unwrap_or_else(|report| panic!("{report}"))
            .0
    }

    #[test]
    fn url_is_split_but_not_normalized() {
        let plain = config("listen = \"0.0.0.0:8080\"");
        for (url, expected) in [
            ("/a/../b?c=d", (false, "127.0.0.1:8080", "/a/../b?c=d")),
            ("/a#b", (false, "127.0.0.1:8080", "/a")),
            ("*", (false, "127.0.0.1:8080", "*")),
            ("http://API.test:81/%41", (false, "API.test:81", "/%41")),
            ("HTTPS://api.test", (true, "api.test", "/")),
            ("https://api.test?x", (true, "api.test", "/?x")),
        ] {
            let Target {
                is_tls,
                host,
                target,
            } = Target::parse(url, &plain).expect("a URL");
            assert_eq!((is_tls, &*host, &*target), expected, "{url}");
        }
        let named = config("listen = \"[::]:8080\"\nexternal_url = \"https://api.test\"");
        let Target { is_tls, host, .. } = Target::parse("/a", &named).expect("a URL");
        assert_eq!((is_tls, &*host), (true, "api.test"));
        let unix = config("listen = [\"unix:s\", \"127.0.0.1:80\"]");
        assert_eq!(Target::parse("/a", &unix).expect("a URL").host, "localhost");
        let unspecified = config("listen = \"[::]:8080\"");
        assert_eq!(
            Target::parse("/a", &unspecified).expect("a URL").host,
            "[::1]:8080"
        );
    }

    #[test]
    fn client_of_a_unix_socket_needs_a_socket_that_the_url_is_not_beside() {
        let tls = "tls = { certificates = [{ certificate = \"a\", key = \"b\" }] }";
        let listeners = format!(
            "listen = [\"unix:/run/a.sock\", \"127.0.0.1:8080\"]\n\
             [[listeners]]\naddress = \"0.0.0.0:443\"\n{tls}"
        );
        let config = config(&listeners);
        let check = |url: &str| {
            let target = Target::parse(url, &config).expect("a URL");
            let host = url.contains("://").then_some(&target.host);
            check_unix_client(target.is_tls, host, &config)
        };
        for url in ["/a", "http://localhost/a", "https://api.test:8443/a"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for (url, listener) in [
            ("https://api.test/a", "listeners[0].address"),
            ("http://localhost:8080/a", "server.listen[1]"),
        ] {
            let expected = format!("because the URL is that of {listener}, but found");
            assert!(
                check(url).is_err_and(|error| error.contains(&expected)),
                "{url}"
            );
        }
        let config = super::tests::config("listen = \"127.0.0.1:8080\"");
        assert!(check_unix_client(false, None, &config).is_err());
    }
}

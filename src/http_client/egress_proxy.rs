//! Which requests go through a proxy, and through which one.
//!
//! `NO_PROXY` has no standard, and each tool reads it in its own way. reqwest's reading ignores
//! entries with a port and leaves addresses behind the proxy despite `*`, without saying so. This
//! one accepts whatever curl, Go and Python accept: an entry that somebody wrote has its effect.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

/// The proxies for requests to servers by their scheme, and the servers that are reached without.
pub struct EgressProxy {
    http: Option<Proxy>,
    https: Option<Proxy>,
    direct: Vec<Direct>,
}

/// One proxy.
#[derive(Clone)]
struct Proxy {
    /// May have credentials.
    url: Url,
    /// The URL without them.
    name: Arc<str>,
}

/// One entry of `NO_PROXY`: servers that are reached without a proxy.
#[derive(Debug, PartialEq)]
struct Direct {
    servers: Servers,
    /// All ports, if there is none.
    port: Option<u16>,
}

#[derive(Debug, PartialEq)]
enum Servers {
    All,
    /// URLs with an address in this network. Names are not resolved.
    Network(IpNet),
    /// This domain and those below it.
    Domain(String),
}

impl EgressProxy {
    /// The proxies for `http` and `https` URLs, which may have credentials. `no_proxy` is a list as
    /// in the variable `NO_PROXY`.
    #[must_use]
    pub fn new(http: Option<Url>, https: Option<Url>, no_proxy: &str) -> Self {
        let entries =
            no_proxy.split(|character: char| character == ',' || character.is_whitespace());
        Self {
            http: http.map(Proxy::new),
            https: https.map(Proxy::new),
            direct: entries.filter_map(Direct::parse).collect(),
        }
    }

    /// The proxy for requests to `url`, without its credentials.
    #[must_use]
    pub fn name_for(&self, url: &Url) -> Option<Arc<str>> {
        self.proxy_for(url).map(|proxy| Arc::clone(&proxy.name))
    }

    /// The proxy for requests to `url`, with its credentials.
    pub(super) fn url_for(&self, url: &Url) -> Option<Url> {
        self.proxy_for(url).map(|proxy| proxy.url.clone())
    }

    fn proxy_for(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "http" => self.http.as_ref(),
            "https" => self.https.as_ref(),
            _ => None,
        }?;
        let host = url.host()?;
        // A proxy would reach its own loopback, and so another server.
        let is_direct = is_loopback(&host)
            || self
                .direct
                .iter()
                .any(|direct| direct.includes(&host, url.port_or_known_default()));
        (!is_direct).then_some(proxy)
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |proxy: &Option<Proxy>| proxy.as_ref().map(|proxy| Arc::clone(&proxy.name));
        f.debug_struct("EgressProxy")
            .field("http", &name(&self.http))
            .field("https", &name(&self.https))
            .field("direct", &self.direct)
            .finish()
    }
}

impl Proxy {
    fn new(url: Url) -> Self {
        let mut bare = url.clone();
        // They fail for URLs without a host only, which have no credentials.
        let _ = (bare.set_username(""), bare.set_password(None));
        Self {
            url,
            name: bare.as_str().trim_end_matches('/').into(),
        }
    }
}

impl Direct {
    /// `*`, an address, a network or a domain, each with a port or without; `None` for anything
    /// else, which can match nothing.
    fn parse(entry: &str) -> Option<Self> {
        // An IPv6 address has colons, too, so a port is looked for last.
        if let Some(servers) = Servers::parse(entry) {
            let port = None;
            return Some(Self { servers, port });
        }
        let (servers, port) = entry.rsplit_once(':')?;
        Some(Self {
            servers: Servers::parse(servers)?,
            port: Some(port.parse().ok()?),
        })
    }

    fn includes(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        (self.port.is_none() || self.port == port) && self.servers.includes(host)
    }
}

impl Servers {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        let bare = text.trim_start_matches('[').trim_end_matches(']');
        let network = bare.parse().ok();
        let address = || bare.parse::<IpAddr>().ok().map(IpNet::from);
        if let Some(network) = network.or_else(address) {
            return Some(Self::Network(network));
        }
        // `example.com`, `.example.com` and `*.example.com` mean the same, as for curl.
        let domain = text.strip_prefix('*').unwrap_or(text);
        let domain = domain.trim_start_matches('.').trim_end_matches('.');
        match Host::parse(domain).ok()? {
            Host::Domain(domain) => Some(Self::Domain(domain)),
            // Already read above, if it is written as addresses are.
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    fn includes(&self, host: &Host<&str>) -> bool {
        match (self, host) {
            (Self::All, _) => true,
            (Self::Network(network), host) => {
                address(host).is_some_and(|address| network.contains(&address))
            }
            (Self::Domain(domain), Host::Domain(name)) => is_within(name, domain),
            (Self::Domain(_), Host::Ipv4(_) | Host::Ipv6(_)) => false,
        }
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        // RFC 6761 §6.3
        Host::Domain(name) => is_within(name, "localhost"),
        Host::Ipv4(_) | Host::Ipv6(_) => address(host).is_some_and(|address| address.is_loopback()),
    }
}

// An IPv4 address in IPv6 form is the same server.
fn address(host: &Host<&str>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some(IpAddr::V6(*address).to_canonical()),
    }
}

// Hosts of URLs are in lower case.
fn is_within(name: &str, domain: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "http://proxy.test:3128";

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    fn is_proxied(no_proxy: &str, server: &str) -> bool {
        let proxy = EgressProxy::new(Some(url(PROXY)), Some(url(PROXY)), no_proxy);
        proxy.name_for(&url(server)).is_some()
    }

    #[test]
    fn loopback_is_never_proxied() {
        for direct in [
            "http://127.0.0.1:9080",
            "http://127.9.9.9",
            "http://0x7f.1",
            "https://[::1]",
            "http://[::ffff:127.0.0.1]:80",
            "http://localhost",
            "https://LOCALHOST.:8443",
            "http://as.localhost:9080",
        ] {
            assert!(!is_proxied("", direct), "{direct}");
        }
        for proxied in [
            "http://128.0.0.1",
            "https://localhost.test",
            "https://notlocalhost",
            "https://[::2]",
        ] {
            assert!(is_proxied("", proxied), "{proxied}");
        }
    }

    #[test]
    fn no_proxy_is_read_as_other_tools_read_it() {
        for (no_proxy, direct) in [
            ("*", "https://id.test"),
            ("a.test,*", "https://10.0.0.7"),
            ("id.test", "https://id.test:8443"),
            ("ID.Test.", "https://id.test."),
            ("id.test", "https://a.id.test"),
            (".id.test", "https://a.b.id.test"),
            (".id.test", "https://id.test"),
            ("*.id.test", "https://a.id.test"),
            ("a.test, id.test", "https://id.test"),
            ("a.test id.test", "https://id.test"),
            ("id.test:8443", "https://id.test:8443"),
            ("id.test:443", "https://id.test"),
            ("10.0.0.7", "https://10.0.0.7"),
            ("10.0.0.0/8", "https://10.9.9.9"),
            ("10.0.0.0/8", "https://[::ffff:10.0.0.7]"),
            ("10.0.0.7:8443", "https://10.0.0.7:8443"),
            ("fd00::/8", "https://[fd00::7]"),
            ("fd00::7", "https://[fd00::7]"),
            ("[fd00::7]:443", "https://[fd00::7]"),
            ("bücher.test", "https://xn--bcher-kva.test"),
        ] {
            assert!(!is_proxied(no_proxy, direct), "{no_proxy} {direct}");
        }
        for (no_proxy, proxied) in [
            ("", "https://id.test"),
            (" , ,", "https://id.test"),
            ("id.test", "https://notid.test"),
            ("id.test", "https://id.test.evil.test"),
            (".id.test", "https://notid.test"),
            ("id.test:8443", "https://id.test"),
            ("id.test:port", "https://id.test"),
            ("10.0.0.0/8", "https://11.0.0.1"),
            // Names are not resolved.
            ("10.0.0.0/8", "https://id.test"),
            ("10", "https://10.0.0.7"),
            ("i*.test", "https://id.test"),
            ("http://id.test", "https://id.test"),
        ] {
            assert!(is_proxied(no_proxy, proxied), "{no_proxy} {proxied}");
        }
    }

    #[test]
    fn each_scheme_has_its_own_proxy() {
        let proxy = EgressProxy::new(None, Some(url(PROXY)), "");
        assert!(proxy.name_for(&url("http://id.test")).is_none());
        assert_eq!(
            proxy.name_for(&url("https://id.test")).as_deref(),
            Some(PROXY)
        );
        assert!(proxy.name_for(&url("ftp://id.test")).is_none());
    }

    #[test]
    fn credentials_of_a_proxy_are_not_in_its_name() {
        let secret = url("http://gateway:s3cret@proxy.test:3128");
        let proxy = EgressProxy::new(None, Some(secret.clone()), "");
        let server = url("https://id.test");
        assert_eq!(proxy.url_for(&server), Some(secret));
        assert_eq!(proxy.name_for(&server).as_deref(), Some(PROXY));
        let debug = format!("{proxy:?}");
        assert!(debug.contains(PROXY) && !debug.contains("s3cret") && !debug.contains("gateway"));
    }
}

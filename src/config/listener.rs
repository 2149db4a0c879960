//! `[[listeners]]` and `server.listen`: where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use url::Url;

use super::addresses::{ClientNetwork, ListenAddress, listen_address, path};
use super::declare::table;
use super::read::Table;
use super::report::Spanned;
use super::scalars::boolean;

table! {
    /// One address that clients connect to.
    pub struct Listener {
        fn read(table) -> Option<Self>;

        /// IP address and port, or `unix:` and the path of a socket. Port 0 picks a free port. The
        /// gateway creates the socket, for its own user and group.
        /// Example: `address = "0.0.0.0:8443"`
        pub address: Spanned<ListenAddress> =
            required(listen_address(table.folder()), "an IP address and a port"),
        /// TLS with clients. Without it, clients connect without TLS.
        /// Example: `tls = { certificates = [{ certificate = "server.crt", key = "server.key" }] }`
        pub tls: Option<ListenerTls> = optional_table(ListenerTls::read),
        /// Whether each connection must begin with a PROXY protocol header, version 1 or 2. Its
        /// address is the client address. Only `server.trusted_proxies` may connect. Without it,
        /// there is no such header.
        /// Example: `proxy_protocol = true`
        pub proxy_protocol: Option<Spanned<bool>> = optional(boolean()),
        /// Whether each request is redirected to https with a 308. No route is served here. The
        /// target is `server.external_url`, else the host of the request and the port of the only
        /// TLS listener. Without it, the routes are served.
        /// Example: `redirect_to_https = true`
        pub redirect_to_https: Option<Spanned<bool>> = optional(boolean()),
    }
}

table! {
    /// TLS of a listener.
    pub struct ListenerTls {
        fn read(table) -> Option<Self>;

        /// Certificates with their private keys. A client gets the first one that matches its server
        /// name (SNI). If none matches, it gets the first one of the list. Changed files are used for
        /// new connections within two seconds.
        /// Example: `certificates = [{ certificate = "a.crt", key = "a.key" }, { certificate = "b.crt", key = "b.key" }]`
        pub certificates: Vec<Certificate> = required_tables(
            Certificate::read,
            "at least one certificate with its key",
            "certificates = [{ certificate = \"a.crt\", key = \"a.key\" }]",
        ),
        /// CA certificates for client certificates, in PEM. The gateway requests a certificate from
        /// clients; a client may send none, but not an invalid one. Without it, none is requested.
        /// Example: `client_ca = "clients.pem"`
        pub client_ca: Option<Spanned<PathBuf>> = optional(path(table.folder())),
    }
}

table! {
    /// A certificate with its key.
    pub struct Certificate {
        fn read(table) -> Option<Self>;

        /// Certificate chain in PEM, leaf first.
        /// Example: `certificate = "server.crt"`
        pub certificate: Spanned<PathBuf> =
            required(path(table.folder()), "the path of a certificate"),
        /// Its private key in PEM.
        /// Example: `key = "server.key"`
        pub key: Spanned<PathBuf> = required(path(table.folder()), "the path of its private key"),
    }
}

impl Listener {
    pub(super) fn plain(address: Spanned<ListenAddress>) -> Self {
        Self {
            address,
            tls: None,
            proxy_protocol: None,
            redirect_to_https: None,
        }
    }

    /// Whether it redirects every request to https.
    #[must_use]
    pub fn redirects_to_https(&self) -> bool {
        self.redirect_to_https.as_ref().is_some_and(|on| on.value)
    }
}

impl ListenerTls {
    /// The files that the table names.
    pub fn files(&self) -> impl Iterator<Item = &Spanned<PathBuf>> {
        self.certificates
            .iter()
            .flat_map(|pair| [&pair.certificate, &pair.key])
            .chain(&self.client_ca)
    }
}

/// Nobody could connect: a PROXY header is accepted only from trusted proxies.
pub(super) fn refuse_untrusted_headers(
    table: &Table<'_>,
    listeners: &[Listener],
    trusted_proxies: &[Spanned<ClientNetwork>],
) {
    for listener in listeners {
        let is_unix = listener.address.value.ip().is_none();
        let may_connect =
            |proxy: &Spanned<ClientNetwork>| (proxy.value == ClientNetwork::Unix) == is_unix;
        let required = listener.proxy_protocol.as_ref();
        let Some(required) = required.filter(|required| required.value) else {
            continue;
        };
        if trusted_proxies.iter().any(may_connect) {
            continue;
        }
        let message = if is_unix {
            "expected \"unix\" in server.trusted_proxies, but found no such element"
        } else {
            "expected server.trusted_proxies, but found none"
        };
        let fault = required
            .fault(message)
            .with_help(if is_unix {
                "only trusted proxies may send the PROXY header"
            } else {
                "list the networks of the proxies that send the PROXY header, such as trusted_proxies = \"10.0.0.0/8\""
            });
        table.push(fault);
    }
}

/// Redirects that lead nowhere, or back to the listener.
pub(super) fn refuse_impossible_redirects(
    table: &Table<'_>,
    listeners: &[Listener],
    external_url: Option<&Spanned<Url>>,
) {
    let has_port = |one: &&Listener| one.tls.is_some() && one.address.value.ip().is_some();
    let tls = listeners.iter().filter(has_port).count();
    let nothing_is_served = listeners.iter().all(Listener::redirects_to_https);
    let redirecting = listeners.iter().filter(|one| one.redirects_to_https());
    for listener in redirecting {
        let Some(redirect) = &listener.redirect_to_https else {
            continue;
        };
        let (message, help) = match external_url {
            _ if listener.tls.is_some() => (
                "expected a listener without tls, but found one with it".to_owned(),
                "set redirect_to_https on the listener for http, beside the one with tls",
            ),
            Some(url) if url.value.scheme() != "https" => (
                format!(
                    "expected an https URL in server.external_url, but found {:?}",
                    url.value.as_str().trim_end_matches('/')
                ),
                "external_url is where the redirects lead to",
            ),
            None if tls != 1 => (
                format!(
                    "expected server.external_url or one listener with tls, but found no URL and {tls} such listeners"
                ),
                "set external_url to the https URL that clients use, such as \"https://api.example.com\"",
            ),
            Some(_) if nothing_is_served => (
                "expected another listener that serves the routes, but found none".to_owned(),
                "add the listener that clients reach at external_url",
            ),
            Some(_) | None => continue,
        };
        table.push(redirect.fault(message).with_help(help));
    }
}

/// Two listeners cannot share an address: the gateway would not start.
pub(super) fn refuse_collisions(table: &Table<'_>, addresses: &[&Spanned<ListenAddress>]) {
    for (index, address) in addresses.iter().enumerate() {
        if let Some(other) = addresses[..index]
            .iter()
            .find(|other| collide(&other.value, &address.value))
        {
            let message = format!(
                "expected an address of its own, but found that of {}",
                other.key()
            );
            table.push(address.fault(message));
        }
    }
}

fn collide(one: &ListenAddress, other: &ListenAddress) -> bool {
    match (one, other) {
        (ListenAddress::Ip(one), ListenAddress::Ip(other)) => share_a_port(*one, *other),
        (ListenAddress::Unix(one), ListenAddress::Unix(other)) => one == other,
        (ListenAddress::Ip(_), ListenAddress::Unix(_))
        | (ListenAddress::Unix(_), ListenAddress::Ip(_)) => false,
    }
}

// Port 0 picks a free port each time. An unspecified address covers only its own address family.
fn share_a_port(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (is_any || one.ip() == other.ip())
}

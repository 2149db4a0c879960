//! `[[listeners]]` and `server.listen`: where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::addresses::{path, socket_address};
use super::declare::table;
use super::read::Table;
use super::report::Spanned;
use super::scalars::boolean;

table! {
    /// One address that clients connect to.
    pub struct Listener {
        fn read(table) -> Option<Self>;

        /// IP address and port. Port 0 picks a free port.
        /// Example: `address = "0.0.0.0:8443"`
        pub address: Spanned<SocketAddr> = required(socket_address(), "an IP address and a port"),
        /// TLS with clients. Without it, clients connect without TLS.
        /// Example: `tls = { certificates = [{ certificate = "server.crt", key = "server.key" }] }`
        pub tls: Option<ListenerTls> = optional_table(ListenerTls::read),
        /// Whether each connection must begin with a PROXY protocol header, version 1 or 2. Its
        /// address is the client address. Only `server.trusted_proxies` may connect. Without it,
        /// there is no such header.
        /// Example: `proxy_protocol = true`
        pub proxy_protocol: Option<Spanned<bool>> = optional(boolean()),
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
    pub(super) fn plain(address: Spanned<SocketAddr>) -> Self {
        Self {
            address,
            tls: None,
            proxy_protocol: None,
        }
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
    trusted_proxies: &[IpNet],
) {
    let required = listeners
        .iter()
        .filter_map(|listener| listener.proxy_protocol.as_ref());
    for required in required.filter(|required| required.value && trusted_proxies.is_empty()) {
        let message = "expected server.trusted_proxies, but found none";
        let fault = required
            .fault(message)
            .with_help("list the networks of the proxies that send the PROXY header, such as trusted_proxies = \"10.0.0.0/8\"");
        table.push(fault);
    }
}

/// Two listeners cannot share an address: the gateway would not start.
pub(super) fn refuse_collisions(table: &Table<'_>, addresses: &[&Spanned<SocketAddr>]) {
    for (index, address) in addresses.iter().enumerate() {
        if let Some(other) = addresses[..index]
            .iter()
            .find(|other| collide(other.value, address.value))
        {
            let message = format!(
                "expected an address of its own, but found that of {}",
                other.key()
            );
            table.push(address.fault(message));
        }
    }
}

// Port 0 picks a free port each time. An unspecified address covers only its own address family.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (is_any || one.ip() == other.ip())
}

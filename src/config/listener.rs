//! `[[listeners]]` and `server.listen`: where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::addresses::{path, socket_address};
use super::declare::table;
use super::read::Table;
use super::report::Spanned;

table! {
    /// One address that clients connect to.
    pub struct Listener {
        fn read(table) -> Option<Self>;

        /// An IP address and a port; port 0 picks a free one.
        pub address: Spanned<SocketAddr> = required(socket_address(), "an IP address and a port"),
        /// TLS. Without it, clients connect without TLS.
        pub tls: Option<ListenerTls> = optional_table(ListenerTls::read),
    }
}

table! {
    /// TLS of a listener.
    pub struct ListenerTls {
        fn read(table) -> Option<Self>;

        /// Certificates with their keys; presented is the first for the name that the client asks for, else the first.
        pub certificates: Vec<Certificate> = required_tables(
            Certificate::read,
            "at least one certificate with its key",
            "certificates = [{ certificate = \"a.crt\", key = \"a.key\" }]",
        ),
        /// Certificate authorities in PEM: clients are asked for a certificate, and one that they present must be valid.
        /// Without it, clients are not asked.
        pub client_ca: Option<Spanned<PathBuf>> = optional(path(table.folder())),
    }
}

table! {
    /// A certificate with its key.
    pub struct Certificate {
        fn read(table) -> Option<Self>;

        /// The certificate chain in PEM, leaf first.
        pub certificate: Spanned<PathBuf> =
            required(path(table.folder()), "the path of a certificate"),
        /// Its private key in PEM.
        pub key: Spanned<PathBuf> = required(path(table.folder()), "the path of its private key"),
    }
}

impl Listener {
    pub(super) fn plain(address: Spanned<SocketAddr>) -> Self {
        Self { address, tls: None }
    }
}

impl ListenerTls {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Spanned<PathBuf>> {
        self.certificates
            .iter()
            .flat_map(|pair| [&pair.certificate, &pair.key])
            .chain(&self.client_ca)
    }
}

/// Only one of two could be listened on, so the gateway would not start.
pub(super) fn refuse_collisions(table: &Table<'_>, addresses: &[&Spanned<SocketAddr>]) {
    for (index, address) in addresses.iter().enumerate() {
        if let Some(other) = addresses[..index]
            .iter()
            .find(|other| collide(other.value, address.value))
        {
            let message = format!(
                "expected an address that nothing else of this file has, but found that of {}",
                other.key()
            );
            table.push(address.fault(message));
        }
    }
}

// Port 0 picks a free one each time. An unspecified address has those of its own family only.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && one.is_ipv4() == other.is_ipv4()
        && (is_any || one.ip() == other.ip())
}

//! `[[listeners]]` and `server.listen`: where clients connect.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::read::Table;
use super::report::Placed;
use super::values::{path, socket_address};

/// One address that clients connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// The address; port 0 picks a free one.
    pub address: Placed<SocketAddr>,
    /// With what it speaks TLS, where it does.
    pub tls: Option<ListenerTls>,
}

/// How a listener shows who it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// At least one; chosen by the name that a client asks for, else the first.
    pub certificates: Vec<Certificate>,
    /// Whose certificates clients are asked for, if they are.
    pub client_ca: Option<Placed<PathBuf>>,
}

/// A certificate that we show.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// The chain in PEM, ours first.
    pub certificate: Placed<PathBuf>,
    /// Its private key in PEM.
    pub key: Placed<PathBuf>,
}

impl Listener {
    pub(super) fn plain(address: Placed<SocketAddr>) -> Self {
        Self { address, tls: None }
    }

    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let address = table.required("address", "an IP address and a port", socket_address);
        let tls = table.optional_section("tls", ListenerTls::read);
        Some(Self {
            address: address?,
            tls,
        })
    }
}

/// Only one of two could be listened on, so the gateway would not start.
pub(super) fn refuse_collisions(table: &Table<'_>, addresses: &[&Placed<SocketAddr>]) {
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

impl ListenerTls {
    /// The files that it names.
    pub fn files(&self) -> impl Iterator<Item = &Placed<PathBuf>> {
        self.certificates
            .iter()
            .flat_map(|pair| [&pair.certificate, &pair.key])
            .chain(&self.client_ca)
    }

    fn read(table: &mut Table<'_>) -> Self {
        let certificates = table.each("certificates", Certificate::read);
        if !table.has_elements("certificates") {
            let message = "expected at least one certificate with its key, but found nothing";
            let help = "certificates = [{ certificate = \"a.crt\", key = \"a.key\" }]";
            table.push_absent(
                &["certificates"],
                table.fault("certificates", message).with_help(help),
            );
        }
        Self {
            certificates,
            client_ca: table.optional("client_ca", path(table.folder())),
        }
    }
}

impl Certificate {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let certificate = table.required(
            "certificate",
            "the path of a certificate",
            path(table.folder()),
        );
        let key = table.required("key", "the path of its private key", path(table.folder()));
        Some(Self {
            certificate: certificate?,
            key: key?,
        })
    }
}

//! `[admin]`: where operators and their tools look at the gateway.

use std::net::SocketAddr;

use super::read::Table;
use super::report::Placed;
use super::values::{socket_address, text};

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it listens; port 0 picks a free one.
    pub listen: Placed<SocketAddr>,
    /// Patterns of the hosts that it answers to, besides IP addresses and localhost, where they are written.
    pub hosts: Option<Vec<Placed<String>>>,
}

impl Admin {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", "an IP address and a port", socket_address);
        let hosts = table.one_or_many("hosts", 0, text);
        Some(Self {
            listen: listen?,
            hosts,
        })
    }
}

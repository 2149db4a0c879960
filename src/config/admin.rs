//! `[admin]`: where operators and their tools look at the gateway.

use std::net::SocketAddr;

use super::read::Table;
use super::report::Placed;
use super::values::socket_address;

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it listens; port 0 picks a free one.
    pub listen: Placed<SocketAddr>,
}

impl Admin {
    pub(super) fn read(table: &mut Table<'_>) -> Option<Self> {
        let listen = table.required("listen", "an IP address and a port", socket_address);
        Some(Self { listen: listen? })
    }
}

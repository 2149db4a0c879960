//! Client addresses, and how much of a shared resource one client may use.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv6Addr};
use std::str::FromStr;

/// Where a client connects from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// An IP address.
    Ip(IpAddr),
    /// A process of this machine, by a Unix socket.
    Unix,
}

/// The process at the other end of a Unix socket, when it connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCredentials {
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its id; none if it is not in the gateway's PID namespace.
    pub pid: Option<u32>,
}

impl ClientAddress {
    /// The address that limits count it by: all clients of Unix sockets are one, `::`, which no
    /// connection comes from.
    pub(crate) fn for_limits(self) -> IpAddr {
        match self {
            Self::Ip(address) => address,
            Self::Unix => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// An IPv4 address that is mapped into IPv6 as IPv4.
    pub(crate) fn to_canonical(self) -> Self {
        match self {
            Self::Ip(address) => Self::Ip(address.to_canonical()),
            Self::Unix => Self::Unix,
        }
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self::Ip(address)
    }
}

impl FromStr for ClientAddress {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "unix" => Ok(Self::Unix),
            address => Ok(Self::Ip(address.parse()?)),
        }
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address.
///
/// One household has 2^64 IPv6 addresses, so a limit per address would limit nobody.
pub(crate) fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// A limit that all clients share. One client may use a quarter of it.
#[derive(Debug)]
pub(crate) struct ClientShares {
    max: usize,
    taken: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl ClientShares {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            taken: 0,
            by_client: HashMap::new(),
        }
    }

    /// Counts one use by a client, a [`client_network`]. Returns `false` if a limit is reached.
    pub(crate) fn take(&mut self, client: IpAddr) -> bool {
        let own = self.by_client.entry(client).or_default();
        let is_taken = self.taken < self.max && *own < self.max / 4;
        if is_taken {
            *own += 1;
            self.taken += 1;
        } else if *own == 0 {
            self.by_client.remove(&client);
        }
        is_taken
    }

    /// Ends one use by a client.
    pub(crate) fn release(&mut self, client: IpAddr) {
        self.taken -= 1;
        if let Entry::Occupied(mut own) = self.by_client.entry(client) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.by_client.is_empty() && self.taken == 0
    }
}

//! Limits how much of a shared resource one client may use.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};

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

//! Networks that the file lists: `trusted_proxies`, and `allow_from` of a route.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks of client addresses.
///
/// As `trusted_proxies`, they are those of proxies whose word on the clients behind them is taken.
/// The same rule exempts their connections from `max_connections_per_client`: one proxy carries the
/// connections of many clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Every address of these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether this address is in one of the networks. An IPv4 address that is mapped into IPv6
    /// counts as IPv4, because sockets that listen on both report it so.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_ipv4_address_counts_as_ipv4() {
        let networks = Networks::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        for (address, is_contained) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("::1", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(networks.contains(address), is_contained, "{address}");
        }
    }
}

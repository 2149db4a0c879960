//! Which proxies in front of the gateway are trusted: `trusted_proxies`.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks of proxies whose word on the clients behind them is taken.
///
/// The same rule exempts their connections from `max_connections_per_client`: one proxy carries the
/// connections of many clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Trusts every address of these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Whether this is the address of a trusted proxy. An IPv4 address that is mapped into IPv6
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
    fn mapped_ipv4_address_is_trusted_as_ipv4() {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        for (address, is_trusted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("::1", false),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(proxies.contains(address), is_trusted, "{address}");
        }
    }
}

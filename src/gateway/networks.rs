//! Clients that the file lists: `trusted_proxies`, and `allow_from` of a route.

use ipnet::IpNet;

use crate::client_limits::ClientAddress;
use crate::config::{ClientNetwork, Config};

/// Networks of client addresses, and whether clients of Unix sockets are listed.
///
/// As `trusted_proxies`, they are those of proxies whose word on the clients behind them is taken.
/// The same rule exempts their connections from `max_connections_per_client`: one proxy carries the
/// connections of many clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks {
    ip: Vec<IpNet>,
    has_unix: bool,
}

impl Networks {
    /// Every address of these networks.
    #[must_use]
    pub fn new<'n>(networks: impl IntoIterator<Item = &'n ClientNetwork>) -> Self {
        let mut known = Self::default();
        for network in networks {
            match network {
                ClientNetwork::Ip(network) => known.ip.push(*network),
                ClientNetwork::Unix => known.has_unix = true,
            }
        }
        known
    }

    /// Those of `trusted_proxies`.
    #[must_use]
    pub fn trusted_proxies(config: &Config) -> Self {
        let proxies = config.server.trusted_proxies.iter();
        Self::new(proxies.map(|proxy| &proxy.value))
    }

    /// Whether this client is listed. An IPv4 address that is mapped into IPv6 counts as IPv4,
    /// because sockets that listen on both report it so.
    #[must_use]
    pub fn contains(&self, client: impl Into<ClientAddress>) -> bool {
        match client.into() {
            ClientAddress::Unix => self.has_unix,
            ClientAddress::Ip(address) => {
                let address = address.to_canonical();
                self.ip.iter().any(|network| network.contains(&address))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(listed: &[ClientNetwork]) -> Networks {
        Networks::new(listed)
    }

    fn network(text: &str) -> ClientNetwork {
        ClientNetwork::Ip(text.parse().expect("a network"))
    }

    #[test]
    fn mapped_ipv4_address_counts_as_ipv4() {
        let networks = networks(&[network("10.0.0.0/8")]);
        for (address, is_contained) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("::1", false),
            ("unix", false),
        ] {
            let client: ClientAddress = address.parse().expect("an address");
            assert_eq!(networks.contains(client), is_contained, "{address}");
        }
    }

    #[test]
    fn unix_is_no_address_and_no_address_is_unix() {
        assert!(networks(&[ClientNetwork::Unix]).contains(ClientAddress::Unix));
        let everyone = networks(&[network("0.0.0.0/0"), network("::/0")]);
        assert!(!everyone.contains(ClientAddress::Unix));
        let unix = networks(&[ClientNetwork::Unix]);
        assert!(!unix.contains(std::net::IpAddr::from([127, 0, 0, 1])));
        assert!(!unix.contains(ClientAddress::Unix.for_limits()));
    }
}

//! The hosts that a private listener accepts, as a defence against DNS rebinding.
//!
//! A web page can reach a private listener if its own name resolves to the listener's address: the
//! browser treats the responses as same-origin. The `Host` of such a request is the page's name.

use std::net::Ipv4Addr;

use super::host::HostPattern;

/// The accepted hosts: the listed ones, IP addresses and `localhost`. A rebinding page has none of
/// the latter two as its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownHosts {
    listed: Option<Vec<HostPattern>>,
}

impl KnownHosts {
    /// Accepts the listed hosts.
    #[must_use]
    pub fn listed(hosts: Vec<HostPattern>) -> Self {
        Self {
            listed: Some(hosts),
        }
    }

    /// No hosts are listed.
    #[must_use]
    pub fn unlisted() -> Self {
        Self { listed: None }
    }

    /// Whether hosts are listed.
    #[must_use]
    pub fn are_listed(&self) -> bool {
        self.listed.is_some()
    }

    /// Whether a host that [`normal_host`](super::host::normal_host) returned is accepted.
    #[must_use]
    pub fn contains(&self, host: &str) -> bool {
        let is_address = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
        is_address
            || host == "localhost"
            || self
                .listed
                .iter()
                .flatten()
                .any(|known| known.matches(host))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::host::normal_host;

    fn knows(hosts: &KnownHosts, host: &str) -> bool {
        normal_host(host).is_ok_and(|host| hosts.contains(&host))
    }

    #[test]
    fn host_is_an_address_localhost_or_a_listed_name() {
        let parse = |text| HostPattern::parse(text).expect("a host");
        let listed = KnownHosts::listed(vec![
            parse("gateway.internal"),
            parse("*.svc.cluster.local"),
        ]);
        for host in [
            "127.0.0.1",
            "10.0.0.1:9090",
            "[::1]",
            "[::1]:9090",
            "localhost",
            "LocalHost:80",
            "localhost.",
        ] {
            for hosts in [
                &listed,
                &KnownHosts::listed(Vec::new()),
                &KnownHosts::unlisted(),
            ] {
                assert!(knows(hosts, host), "{host}");
            }
        }
        for host in [
            "gateway.internal",
            "Gateway.Internal.:9090",
            "a.svc.cluster.local",
            "a.b.svc.cluster.local",
        ] {
            assert!(
                knows(&listed, host) && !knows(&KnownHosts::listed(Vec::new()), host),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "gateway.internal.evil.example",
            "agateway.internal",
            "svc.cluster.local",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0x7f000001",
        ] {
            assert!(!knows(&listed, host), "{host}");
        }
    }
}

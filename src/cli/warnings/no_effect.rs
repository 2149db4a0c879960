//! Combinations of keys that are valid each, and together serve no client.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};
use url::Host;

use crate::config::{
    ClientNetwork, Config, Fault, ListenAddress, Listener, Route, Spanned, TargetAddress,
};

pub(super) fn weak_choices(config: &Config) -> Vec<Fault> {
    let mut found = own_addresses(config);
    let unreachable = config
        .routes
        .iter()
        .filter_map(|route| no_client(config, route));
    found.extend(unreachable);
    found
}

/// Targets that are listeners of the same gateway: a request would come back until its head, which
/// grows by `Via` and `X-Forwarded-For` each time, is too large.
fn own_addresses(config: &Config) -> Vec<Fault> {
    let targets = config
        .upstreams
        .iter()
        .flat_map(|upstream| &upstream.targets);
    let found = targets.filter_map(|target| {
        let reaches = |listener: &&Listener| {
            let address = &listener.address.value;
            match (&target.value.address, address) {
                (TargetAddress::Unix(path), ListenAddress::Unix(own)) => path == own,
                (TargetAddress::Url(url), ListenAddress::Ip(own)) => is_reached_by(*own, url),
                (TargetAddress::Unix(_), ListenAddress::Ip(_))
                | (TargetAddress::Url(_), ListenAddress::Unix(_)) => false,
            }
        };
        let listener = config.listeners.iter().find(reaches)?;
        let message = format!(
            "this is {}, an address of the gateway: requests would come back to it",
            listener.address.key()
        );
        Some(
            target
                .fault(message)
                .with_help("write the address of the API"),
        )
    });
    found.collect()
}

fn is_reached_by(listener: SocketAddr, target: &url::Url) -> bool {
    if listener.port() == 0 || target.port_or_known_default() != Some(listener.port()) {
        return false;
    }
    let address = match target.host() {
        Some(Host::Domain("localhost")) => return is_local(listener.ip()),
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return false,
    };
    // Only this machine has the addresses that a listener on all interfaces certainly takes.
    let is_same_family = listener.is_ipv4() == address.is_ipv4();
    listener.ip() == address
        || is_same_family && listener.ip().is_unspecified() && is_local(address)
}

fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified()
}

/// Which client addresses connections to a listener can have.
#[derive(Clone, Copy, PartialEq)]
enum Clients {
    /// Any address: of the network, or as a trusted proxy reports it.
    Any,
    Loopback,
    Unix,
}

fn clients(config: &Config, listener: &Listener) -> Clients {
    let address = listener.address.value.ip();
    let is_unix = address.is_none();
    let trusts = |proxy: &Spanned<ClientNetwork>| (proxy.value == ClientNetwork::Unix) == is_unix;
    match address {
        _ if config.server.trusted_proxies.iter().any(trusts) => Clients::Any,
        None => Clients::Unix,
        Some(address) if address.ip().is_loopback() => Clients::Loopback,
        Some(_) => Clients::Any,
    }
}

fn no_client(config: &Config, route: &Route) -> Option<Fault> {
    let serving = config
        .listeners
        .iter()
        .filter(|one| !one.redirects_to_https());
    let kinds: Vec<_> = serving.map(|one| clients(config, one)).collect();
    let may_be = |network: &ClientNetwork| {
        kinds.iter().any(|kind| match (kind, network) {
            (Clients::Any, ClientNetwork::Ip(_)) | (Clients::Unix, ClientNetwork::Unix) => true,
            // A proxy on a Unix socket that names no client leaves `unix`.
            (Clients::Any, ClientNetwork::Unix) => config.has_unix_listener(),
            (Clients::Loopback, ClientNetwork::Ip(network)) => has_loopback(network),
            (Clients::Loopback, ClientNetwork::Unix) | (Clients::Unix, ClientNetwork::Ip(_)) => {
                false
            }
        })
    };
    if route.allow_from.is_empty() || route.allow_from.iter().any(may_be) {
        return None;
    }
    let is_unix = |network: &ClientNetwork| *network == ClientNetwork::Unix;
    let (message, help) = if route.allow_from.iter().all(is_unix) {
        (
            "no client can be in allow_from: no listener with routes is a Unix socket",
            "add a listener such as \"unix:/run/scopegate.sock\", or list networks",
        )
    } else if kinds.contains(&Clients::Loopback) {
        (
            "no client can be in allow_from: the gateway listens on this machine only",
            "if a proxy on this machine is in front, set trusted_proxies = \"127.0.0.1\"; otherwise listen on another address",
        )
    } else {
        (
            "no client can be in allow_from: the gateway listens on Unix sockets only",
            "add \"unix\" to allow_from; or, if a proxy is in front, to trusted_proxies",
        )
    };
    Some(route.first_path().fault(message).with_help(help))
}

fn has_loopback(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => {
            let loopback = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
            network.contains(&loopback) || loopback.contains(network)
        }
        IpNet::V6(network) => network.contains(&std::net::Ipv6Addr::LOCALHOST),
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::warnings::report_of;

    fn warnings(top: &str, target: &str, route: &str) -> Vec<String> {
        let toml = format!(
            "{top}[upstreams.up]\ntargets = \"{target}\"\n\
             [[routes]]\npath = \"/a\"\nupstream = \"up\"\n{route}"
        );
        report_of(&toml, super::weak_choices)
    }

    fn server(keys: &str) -> String {
        format!("[server]\n{keys}\n")
    }

    const ELSEWHERE: &str = "http://10.0.0.7:9000";

    #[test]
    fn target_that_is_a_listener_is_warned_of() {
        for (listen, target, count) in [
            ("127.0.0.1:9000", "http://127.0.0.1:9000", 1),
            ("127.0.0.1:9000", "http://localhost:9000", 1),
            ("[::1]:9000", "http://localhost:9000", 1),
            ("0.0.0.0:9000", "http://127.0.0.1:9000", 1),
            ("0.0.0.0:80", "http://localhost", 1),
            ("unix:/run/a.sock", "unix:/run/a.sock", 1),
            // Another machine may have this address.
            ("0.0.0.0:9000", "http://10.0.0.7:9000", 0),
            ("127.0.0.1:9000", "http://127.0.0.1:9001", 0),
            ("127.0.0.1:9000", "http://127.0.0.2:9000", 0),
            ("[::1]:9000", "http://127.0.0.1:9000", 0),
            ("127.0.0.1:0", "http://127.0.0.1:9000", 0),
            ("unix:/run/a.sock", "unix:/run/b.sock", 0),
        ] {
            let listen = server(&format!("listen = \"{listen}\""));
            assert_eq!(
                warnings(&listen, target, "").len(),
                count,
                "{listen}{target}"
            );
        }
        assert_eq!(
            warnings(
                &server("listen = \"127.0.0.1:9000\""),
                "http://127.0.0.1:9000",
                ""
            ),
            [
                "gateway.toml:4: upstreams.up.targets: this is server.listen, an address of the gateway: requests would come back to it (write the address of the API)"
            ]
        );
    }

    #[test]
    fn allow_from_without_a_possible_client_is_warned_of() {
        let unix = "listen = \"unix:/run/a.sock\"";
        let both = "listen = [\"127.0.0.1:8080\", \"unix:/run/a.sock\"]";
        for (keys, allowed, count) in [
            ("", "unix", 1),
            ("", "10.0.0.0/8", 1),
            ("", "127.0.0.1", 0),
            ("", "0.0.0.0/0", 0),
            ("", "::1", 0),
            ("trusted_proxies = \"127.0.0.1\"", "10.0.0.0/8", 0),
            ("trusted_proxies = \"127.0.0.1\"", "unix", 1),
            ("listen = \"0.0.0.0:8080\"", "10.0.0.0/8", 0),
            ("listen = \"0.0.0.0:8080\"", "unix", 1),
            (unix, "unix", 0),
            (unix, "10.0.0.0/8", 1),
            (both, "unix", 0),
            (both, "127.0.0.1", 0),
            (both, "10.0.0.0/8", 1),
        ] {
            let found = warnings(
                &server(keys),
                ELSEWHERE,
                &format!("allow_from = \"{allowed}\"\n"),
            );
            assert_eq!(found.len(), count, "{keys} {allowed}: {found:?}");
        }
        let trusted = format!("{unix}\ntrusted_proxies = \"unix\"");
        assert!(
            warnings(
                &server(&trusted),
                ELSEWHERE,
                "allow_from = \"10.0.0.0/8\"\n"
            )
            .is_empty()
        );
        assert_eq!(
            warnings("", ELSEWHERE, "allow_from = \"unix\"\n"),
            [
                "gateway.toml:4: routes[0].path: no client can be in allow_from: no listener with routes is a Unix socket (add a listener such as \"unix:/run/scopegate.sock\", or list networks)"
            ]
        );
        assert_eq!(
            warnings("", ELSEWHERE, "allow_from = \"10.0.0.0/8\"\n"),
            [
                "gateway.toml:4: routes[0].path: no client can be in allow_from: the gateway listens on this machine only (if a proxy on this machine is in front, set trusted_proxies = \"127.0.0.1\"; otherwise listen on another address)"
            ]
        );
    }
}

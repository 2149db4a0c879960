//! The endpoints of an upstream.
//!
//! The control plane replaces the list as a whole. Workers notice it by the generation, and keep
//! the endpoints that are in both lists.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;

use super::{Endpoint, EndpointAddress};
use crate::sync::lock;
use crate::upstream::settings::{Target, TargetAddress};

/// The current endpoints of an upstream.
#[derive(Debug)]
pub(in crate::upstream) struct Endpoints {
    current: ArcSwap<Vec<Arc<Endpoint>>>,
    generation: AtomicU64,
    /// Held while the list is replaced: two names of one upstream may change at once.
    replacing: Mutex<()>,
}

impl Endpoints {
    /// The endpoints that are known without DNS. A name is one endpoint without an address.
    pub(in crate::upstream) fn of(targets: &[Target]) -> Self {
        let endpoint = |(index, target): (usize, &Target)| {
            let address = match &target.address {
                TargetAddress::Unix(_) => EndpointAddress::Unix,
                TargetAddress::Network { host, port } => match host.parse::<IpAddr>() {
                    Ok(address) => EndpointAddress::Network(SocketAddr::new(address, *port)),
                    Err(_) => EndpointAddress::Unresolved,
                },
            };
            Endpoint::new(index, target, address)
        };
        let current = ArcSwap::from_pointee(targets.iter().enumerate().map(endpoint).collect());
        Self {
            current,
            generation: AtomicU64::new(0),
            replacing: Mutex::default(),
        }
    }

    pub(in crate::upstream) fn current(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.current.load_full()
    }

    /// Changes whenever the list does.
    pub(in crate::upstream) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Replaces the addresses of one target, and returns the endpoints that are new.
    ///
    /// An endpoint whose address stays is the same object, with its health and statistics.
    pub(in crate::upstream) fn replace(
        &self,
        index: usize,
        target: &Target,
        addresses: &[SocketAddr],
    ) -> Vec<Arc<Endpoint>> {
        let _replacing = lock(&self.replacing);
        let previous = self.current();
        let of_target = |endpoint: &&Arc<Endpoint>| endpoint.target == index;
        let known = |address| {
            previous
                .iter()
                .filter(of_target)
                .find(|endpoint| endpoint.address == EndpointAddress::Network(address))
        };
        let added: Vec<_> = addresses
            .iter()
            .filter(|&&address| known(address).is_none())
            .map(|&address| Endpoint::new(index, target, EndpointAddress::Network(address)))
            .collect();
        let kept: Vec<_> = addresses
            .iter()
            .filter_map(|&address| known(address))
            .cloned()
            .collect();
        if added.is_empty() && kept.len() == previous.iter().filter(of_target).count() {
            return added;
        }
        let before = previous.iter().filter(|endpoint| endpoint.target < index);
        let after = previous.iter().filter(|endpoint| endpoint.target > index);
        let list = before
            .chain(&kept)
            .chain(&added)
            .chain(after)
            .cloned()
            .collect();
        self.current.store(Arc::new(list));
        // After the list: a worker that sees the new generation must find the new list.
        self.generation.fetch_add(1, Ordering::Release);
        added
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn target(host: &str) -> Target {
        Target {
            address: TargetAddress::Network {
                host: host.to_owned(),
                port: 80,
            },
            authority: HeaderValue::from_static("a"),
            tls_name: None,
            weight: 1,
        }
    }

    fn addresses<const N: usize>(last: [u8; N]) -> [SocketAddr; N] {
        last.map(|last| ([10, 0, 0, last], 80).into())
    }

    fn names(endpoints: &Endpoints) -> Vec<String> {
        endpoints
            .current()
            .iter()
            .map(|endpoint| endpoint.to_string())
            .collect()
    }

    #[test]
    fn endpoint_in_both_lists_is_the_same_object_and_targets_keep_their_order() {
        let targets = [target("10.0.0.9"), target("api.test"), target("::1")];
        let endpoints = Endpoints::of(&targets);
        assert_eq!(names(&endpoints), ["10.0.0.9:80", "api.test:80", "::1:80"]);
        assert_eq!(
            endpoints
                .current()
                .iter()
                .filter(|endpoint| endpoint.address == EndpointAddress::Unresolved)
                .count(),
            1
        );

        assert_eq!(
            endpoints.replace(1, &targets[1], &addresses([1, 2])).len(),
            2
        );
        let expected = [
            "10.0.0.9:80",
            "api.test:80 (10.0.0.1)",
            "api.test:80 (10.0.0.2)",
            "::1:80",
        ];
        assert_eq!(names(&endpoints), expected);
        endpoints.current()[2].set_healthy(false);

        let fresh = endpoints.replace(1, &targets[1], &addresses([3, 2]));
        assert_eq!(
            fresh
                .iter()
                .map(|endpoint| endpoint.to_string())
                .collect::<Vec<_>>(),
            ["api.test:80 (10.0.0.3)"]
        );
        let unhealthy: Vec<_> = endpoints
            .current()
            .iter()
            .map(|endpoint| !endpoint.is_healthy())
            .collect();
        assert_eq!(unhealthy, [false, true, false, false]);
    }

    #[test]
    fn same_addresses_in_another_order_change_nothing() {
        let targets = [target("api.test")];
        let endpoints = Endpoints::of(&targets);
        endpoints.replace(0, &targets[0], &addresses([1, 2, 3]));
        let generation = endpoints.generation();
        assert!(
            endpoints
                .replace(0, &targets[0], &addresses([3, 1, 2]))
                .is_empty()
        );
        assert_eq!(endpoints.generation(), generation);
        assert!(
            endpoints
                .replace(0, &targets[0], &addresses([3, 1]))
                .is_empty()
        );
        assert_ne!(endpoints.generation(), generation);
    }
}

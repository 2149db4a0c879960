//! What the control plane tells the workers of an upstream: at which addresses it is, and what active checks found there.
//!
//! The list is replaced as a whole. Workers compare a number to notice, and take what did not change with them.

pub(super) mod ejection;
pub(super) mod http1_pool;
pub(super) mod http2_pool;
pub(super) mod state;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::settings::Target;
use super::stats::{EndpointStats, PerWorker};

/// One address of a target; a target that has a name may have several.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The index of its target in the settings.
    pub(super) target: usize,
    /// None for a name that was not looked up yet: whoever connects does so.
    pub(super) address: Option<SocketAddr>,
    pub(super) traffic: PerWorker<EndpointStats>,
    is_down: AtomicBool,
    /// How many times it has sent what answers no request.
    unsolicited: AtomicU32,
    /// The shortest time that connecting has taken so far, in nanoseconds.
    connect_nanos: AtomicU64,
    text: String,
}

/// How long connecting to an endpoint takes at most that is near. A receive buffer of 256 KiB then lets in 250 MB a second
/// on each connection; from farther away it would slow down large responses.
const NEAR: Duration = Duration::from_millis(1);

/// The endpoints of an upstream, as they are now.
#[derive(Debug)]
pub struct Endpoints {
    current: ArcSwap<Vec<Arc<Endpoint>>>,
    generation: AtomicU64,
    /// Held by whoever replaces the list.
    replacing: Mutex<()>,
}

impl Endpoint {
    fn new(index: usize, target: &Target, address: Option<SocketAddr>) -> Arc<Self> {
        let text = match address.filter(|_| target.is_name()) {
            Some(address) => format!("{target} ({})", address.ip()),
            None => target.to_string(),
        };
        let (traffic, is_down) = (PerWorker::default(), AtomicBool::new(false));
        let (unsolicited, connect_nanos) = (AtomicU32::new(0), AtomicU64::new(u64::MAX));
        Arc::new(Self {
            target: index,
            address,
            traffic,
            is_down,
            unsolicited,
            connect_nanos,
            text,
        })
    }

    /// Whether a connection to it has been made so fast that it must be near. The first one tells nothing yet.
    pub(super) fn is_near(&self) -> bool {
        Duration::from_nanos(self.connect_nanos.load(Ordering::Relaxed)) <= NEAR
    }

    /// A connection to it was made in so much time: one round trip, and what this process was busy with meanwhile.
    pub(super) fn took_to_connect(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.connect_nanos.fetch_min(nanos, Ordering::Relaxed);
    }

    /// How many times it has sent what answers no request, to any worker.
    pub(super) fn unsolicited(&self) -> u32 {
        self.unsolicited.load(Ordering::Relaxed)
    }

    /// It has sent what answers no request.
    pub(super) fn has_sent_unsolicited(&self) {
        self.unsolicited.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether active checks have found that it does not serve.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    pub(super) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Endpoints {
    /// What is known without asking anybody: addresses that are written as such.
    #[must_use]
    pub fn of(targets: &[Target]) -> Self {
        let endpoint = |(index, target): (usize, &Target)| {
            let address = target
                .host
                .parse()
                .ok()
                .map(|address: IpAddr| SocketAddr::new(address, target.port));
            Endpoint::new(index, target, address)
        };
        let current = ArcSwap::from_pointee(targets.iter().enumerate().map(endpoint).collect());
        Self {
            current,
            generation: AtomicU64::new(0),
            replacing: Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.current.load_full()
    }

    /// Changes whenever the list does.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The target has these addresses now; returns the endpoints that were not there before. One that stays is the same
    /// one, with all that is known of it.
    pub(super) fn replace(
        &self,
        index: usize,
        target: &Target,
        addresses: &[SocketAddr],
    ) -> Vec<Arc<Endpoint>> {
        let _replacing = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let earlier = self.current();
        let of_target = |endpoint: &&Arc<Endpoint>| endpoint.target == index;
        let known = |address| {
            earlier
                .iter()
                .filter(of_target)
                .find(|endpoint| endpoint.address == Some(address))
        };
        let fresh: Vec<_> = addresses
            .iter()
            .filter(|&&address| known(address).is_none())
            .map(|&address| Endpoint::new(index, target, Some(address)))
            .collect();
        let stay: Vec<_> = addresses
            .iter()
            .filter_map(|&address| known(address))
            .cloned()
            .collect();
        if fresh.is_empty() && stay.len() == earlier.iter().filter(of_target).count() {
            return fresh;
        }
        let before = earlier.iter().filter(|endpoint| endpoint.target < index);
        let after = earlier.iter().filter(|endpoint| endpoint.target > index);
        let list = before
            .chain(&stay)
            .chain(&fresh)
            .chain(after)
            .cloned()
            .collect();
        self.current.store(Arc::new(list));
        // Only now: who sees the number finds the list.
        self.generation.fetch_add(1, Ordering::Release);
        fresh
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn target(host: &str) -> Target {
        Target {
            host: host.to_owned(),
            port: 80,
            authority: HeaderValue::from_static("a"),
            tls_name: None,
        }
    }

    fn addresses<const N: usize>(last: [u8; N]) -> [SocketAddr; N] {
        last.map(|last| ([10, 0, 0, last], 80).into())
    }

    fn shown(endpoints: &Endpoints) -> Vec<String> {
        endpoints
            .current()
            .iter()
            .map(|endpoint| endpoint.to_string())
            .collect()
    }

    #[test]
    fn endpoint_that_stays_is_the_same_one_and_targets_keep_their_order() {
        let targets = [target("10.0.0.9"), target("api.test"), target("::1")];
        let endpoints = Endpoints::of(&targets);
        assert_eq!(shown(&endpoints), ["10.0.0.9:80", "api.test:80", "::1:80"]);
        assert_eq!(
            endpoints
                .current()
                .iter()
                .filter(|endpoint| endpoint.address.is_none())
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
        assert_eq!(shown(&endpoints), expected);
        endpoints.current()[2].set_down(true);

        let fresh = endpoints.replace(1, &targets[1], &addresses([3, 2]));
        assert_eq!(
            fresh
                .iter()
                .map(|endpoint| endpoint.to_string())
                .collect::<Vec<_>>(),
            ["api.test:80 (10.0.0.3)"]
        );
        let down: Vec<_> = endpoints
            .current()
            .iter()
            .map(|endpoint| endpoint.is_down())
            .collect();
        assert_eq!(down, [false, true, false, false]);
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

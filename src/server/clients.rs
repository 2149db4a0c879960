//! The limit of connections of one client: `max_connections_per_client`.
//!
//! A client is an IPv4 address, or a /64 network of IPv6 addresses: a household has 2^64 of those.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::worker_state::WorkerState;
use crate::client_limits::{ClientAddress, client_network};
use crate::sync::lock;
use crate::telemetry::{Connections, Throttle};

/// How often a refusal is logged.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The number of connections of each client, over all workers.
#[derive(Debug)]
pub(super) struct Clients {
    connections: Mutex<HashMap<IpAddr, usize>>,
    refused: Throttle,
    invalid_header: Throttle,
}

/// Counts one connection of a client until it is dropped.
pub(super) struct CountedConnection {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Clients {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            connections: Mutex::default(),
            refused: Throttle::new(LOG_INTERVAL),
            invalid_header: Throttle::new(LOG_INTERVAL),
        })
    }

    /// Counts a connection of the client at `address`. `None` if it has `max` already.
    fn count(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<CountedConnection> {
        let client = client_network(address);
        let mut connections = self.connections();
        let own = connections.entry(client).or_default();
        // `max` is at least one, so a refusal leaves no empty entry behind.
        (*own < max).then(|| {
            *own += 1;
            CountedConnection {
                clients: Arc::clone(self),
                client,
            }
        })
    }

    /// Counts a connection against `max_connections_per_client`, if that limits its client. `Err`,
    /// counted and logged, if the client has too many.
    pub(super) fn admit(
        self: &Arc<Self>,
        client: ClientAddress,
        worker: &WorkerState,
        connections: &Connections,
    ) -> Result<Option<CountedConnection>, ()> {
        let settings = worker.settings();
        let max = settings.max_connections_per_client;
        // Clients of Unix sockets have no address: one of them may be a proxy with many clients.
        let ClientAddress::Ip(client) = client else {
            return Ok(None);
        };
        if max == 0 || settings.trusted_proxies.contains(client) {
            return Ok(None);
        }
        let counted = self.count(client, max);
        if counted.is_none() {
            connections.refused.count();
            self.log_refused(client, max, worker.ticker.now());
        }
        counted.map(Some).ok_or(())
    }

    /// Logs a connection without a valid PROXY header, at most once in [`LOG_INTERVAL`].
    pub(super) fn log_invalid_header(&self, peer: ClientAddress, found: &str, now: Instant) {
        if let Some(left_out) = self.invalid_header.admit(now) {
            tracing::warn!(%peer, found, left_out, "connection refused: no valid PROXY header");
        }
    }

    /// Logs a refusal, at most once in [`LOG_INTERVAL`].
    fn log_refused(&self, client: IpAddr, max_connections_per_client: usize, now: Instant) {
        if let Some(left_out) = self.refused.admit(now) {
            tracing::warn!(%client, max_connections_per_client, left_out, "connection refused: max_connections_per_client reached");
        }
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        lock(&self.connections)
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        if let Entry::Occupied(mut own) = self.clients.connections().entry(self.client) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn client_has_at_most_its_limit_of_connections_and_releases_them() {
        let clients = Clients::new();
        let count = |text| clients.count(address(text), 2);
        let (first, second) = (count("192.0.2.1"), count("192.0.2.1"));
        assert!(first.is_some() && second.is_some() && count("192.0.2.1").is_none());
        assert!(count("192.0.2.2").is_some());
        drop(first);
        let third = count("192.0.2.1");
        assert!(third.is_some());
        drop((second, third));
        assert!(
            clients.connections().is_empty(),
            "no client is left in the map"
        );
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_client_and_mapped_ones_count_as_ipv4() {
        let clients = Clients::new();
        let count = |text| clients.count(address(text), 1);
        let _held = [count("2001:db8:0:1::1"), count("192.0.2.1")]
            .map(|counted| counted.expect("the first one"));
        assert!(count("2001:db8:0:1:ffff::2").is_none() && count("2001:db8:0:2::1").is_some());
        assert!(count("::ffff:192.0.2.1").is_none() && count("::ffff:192.0.2.2").is_some());
    }
}

//! One address of a target.
//!
//! - [`Endpoint`] is what all workers share of it. `list` holds the endpoints of an upstream.
//! - `state` is what one worker has of it: `http1_pool` or `http2_pool`, and `ejection`. `connect`
//!   opens its connections.

pub(super) mod connect;
pub(super) mod ejection;
pub(super) mod http1_pool;
pub(super) mod http2_pool;
pub(super) mod list;
pub(super) mod state;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::settings::Target;
use super::stats::{EndpointStats, PerWorker};

/// A connect time up to this makes an endpoint near. A receive buffer of 512 KiB then lets 500 MB a
/// second through on each connection; with a longer round trip it would slow large responses down.
const NEAR: Duration = Duration::from_millis(1);

/// The address of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointAddress {
    /// That of a name that was not looked up yet: each new connection looks it up.
    Unresolved,
    Network(SocketAddr),
    /// The Unix socket of its target.
    Unix,
}

/// One address of a target. A target that has a name may have several.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The index of its target in the settings.
    pub(super) target: usize,
    pub(super) address: EndpointAddress,
    /// That of its target.
    pub(super) weight: u32,
    pub(super) stats: PerWorker<EndpointStats>,
    is_healthy: AtomicBool,
    unsolicited_responses: AtomicU32,
    /// The shortest connect time so far, in nanoseconds.
    connect_nanos: AtomicU64,
    text: String,
}

impl Endpoint {
    fn new(index: usize, target: &Target, address: EndpointAddress) -> Arc<Self> {
        let text = match address {
            EndpointAddress::Network(address) if target.is_name() => {
                format!("{target} ({})", address.ip())
            }
            EndpointAddress::Network(_) | EndpointAddress::Unresolved | EndpointAddress::Unix => {
                target.to_string()
            }
        };
        Arc::new(Self {
            target: index,
            address,
            weight: target.weight,
            stats: PerWorker::default(),
            is_healthy: AtomicBool::new(true),
            unsolicited_responses: AtomicU32::new(0),
            connect_nanos: AtomicU64::new(u64::MAX),
            text,
        })
    }

    /// Whether its round trip is so short that it must be near. Unknown, and so false, before the
    /// first connection.
    pub(super) fn is_near(&self) -> bool {
        Duration::from_nanos(self.connect_nanos.load(Ordering::Relaxed)) <= NEAR
    }

    /// Records a connect time: one round trip, and the delays of this process.
    pub(super) fn record_connect_time(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.connect_nanos.fetch_min(nanos, Ordering::Relaxed);
    }

    /// How many unsolicited responses any worker got from it.
    pub(super) fn unsolicited_responses(&self) -> u32 {
        self.unsolicited_responses.load(Ordering::Relaxed)
    }

    pub(super) fn count_unsolicited_response(&self) {
        self.unsolicited_responses.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it passes active health checks; true where there are none.
    pub(super) fn is_healthy(&self) -> bool {
        self.is_healthy.load(Ordering::Relaxed)
    }

    pub(super) fn set_healthy(&self, is_healthy: bool) {
        self.is_healthy.store(is_healthy, Ordering::Relaxed);
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

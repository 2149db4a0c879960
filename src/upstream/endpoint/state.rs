//! One worker's side of an endpoint: its connections, what it has seen of it, and how much it has under way there.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Ticker;
use crate::telemetry::numbers::GaugeGuard;
use crate::upstream::connection::http1::Http1Connection;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint::ejection::Health;
use crate::upstream::endpoint::http1_pool::Http1Pool;
use crate::upstream::endpoint::http2_pool::Http2Pool;
use crate::upstream::settings::Settings;
use crate::upstream::stats::EndpointStats;
use crate::values::Protocol;

/// How much busier than it is an endpoint looks that should rest and may not be ejected: it gets requests when the
/// others have so many times as many.
const RESTING_WEIGHT: u64 = 16;

/// One worker's side of an endpoint.
pub(in crate::upstream) struct EndpointState {
    pub(in crate::upstream) endpoint: Arc<Endpoint>,
    pub(in crate::upstream) way: ConnectionPool,
    pub(in crate::upstream) health: Health,
    pub(in crate::upstream) traffic: Arc<EndpointStats>,
}

/// The connections to an endpoint.
pub(in crate::upstream) enum ConnectionPool {
    Http1(Http1Pool),
    Http2(Rc<Http2Pool>),
}

/// An exchange with an endpoint, from the choice of it to the end of the answer, and of the request where that is sent on.
pub(in crate::upstream) struct InFlight {
    peer: Rc<EndpointState>,
    _entered: GaugeGuard,
}

impl EndpointState {
    pub(in crate::upstream) fn new(
        endpoint: Arc<Endpoint>,
        settings: &Settings,
        ticker: &Rc<Ticker>,
    ) -> Rc<Self> {
        let way = match settings.protocol {
            Protocol::Http1 => {
                ConnectionPool::Http1(Http1Pool::new(settings, Arc::clone(&endpoint)))
            }
            Protocol::Http2 => ConnectionPool::Http2(Rc::new(Http2Pool::new(settings, ticker))),
        };
        let traffic = endpoint.traffic.join();
        Rc::new(Self {
            endpoint,
            way,
            health: Health::default(),
            traffic,
        })
    }

    pub(in crate::upstream) fn begin(self: &Rc<Self>) -> InFlight {
        InFlight {
            peer: Rc::clone(self),
            _entered: self.traffic.in_flight.enter(),
        }
    }

    /// How busy it is, for comparing.
    pub(in crate::upstream) fn load(&self, now: Instant) -> u64 {
        let in_flight = self.traffic.in_flight.read();
        if self.health.is_resting(now) {
            (in_flight + 1) * RESTING_WEIGHT
        } else {
            in_flight
        }
    }

    pub(in crate::upstream) fn prune(&self, now: Instant) {
        match &self.way {
            ConnectionPool::Http1(pool) => pool.prune(now),
            ConnectionPool::Http2(streams) => streams.prune(now),
        }
    }

    /// Its endpoint is gone: what is idle is closed, and what is under way will be when it is done.
    pub(in crate::upstream) fn retire(&self) {
        match &self.way {
            ConnectionPool::Http1(pool) => pool.retire(),
            ConnectionPool::Http2(streams) => streams.retire(),
        }
    }
}

impl InFlight {
    /// The exchange is complete, and its connection may be used again.
    pub(in crate::upstream) fn keep(&self, wire: Http1Connection, now: Instant) {
        if let ConnectionPool::Http1(pool) = &self.way {
            pool.put(wire, now);
        }
    }
}

impl Deref for InFlight {
    type Target = Rc<EndpointState>;

    fn deref(&self) -> &Rc<EndpointState> {
        &self.peer
    }
}

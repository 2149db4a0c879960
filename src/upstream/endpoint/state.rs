//! One worker's state of an endpoint: its connections, its failures and its load.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::Endpoint;
use super::ejection::Ejection;
use super::http1_pool::Http1Pool;
use super::http2_pool::Http2Pool;
use crate::clock::Ticker;
use crate::telemetry::metrics::GaugeGuard;
use crate::upstream::connection::http1::Http1Connection;
use crate::upstream::settings::UpstreamSettings;
use crate::upstream::stats::EndpointStats;
use crate::values::Protocol;

/// The factor on the load of an endpoint that is deprioritized but may not be ejected. It gets requests
/// when the other endpoints have this many times as many in flight.
const DEPRIORITIZED_FACTOR: u64 = 16;

/// One worker's state of an endpoint.
pub(in crate::upstream) struct EndpointState {
    pub(in crate::upstream) endpoint: Arc<Endpoint>,
    pub(in crate::upstream) pool: ConnectionPool,
    pub(in crate::upstream) ejection: Ejection,
    pub(in crate::upstream) stats: Arc<EndpointStats>,
}

/// The connections to an endpoint.
pub(in crate::upstream) enum ConnectionPool {
    Http1(Http1Pool),
    Http2(Rc<Http2Pool>),
}

/// Counts a request as in flight at an endpoint until this is dropped: from the selection of the
/// endpoint to the end of the response, and of the request where that ends later.
pub struct InFlight {
    state: Rc<EndpointState>,
    _gauge: GaugeGuard,
}

impl EndpointState {
    pub(in crate::upstream) fn new(
        endpoint: Arc<Endpoint>,
        settings: &UpstreamSettings,
        ticker: &Rc<Ticker>,
    ) -> Rc<Self> {
        let pool = match settings.protocol {
            Protocol::Http1 => {
                ConnectionPool::Http1(Http1Pool::new(settings, Arc::clone(&endpoint)))
            }
            Protocol::Http2 => ConnectionPool::Http2(Rc::new(Http2Pool::new(settings, ticker))),
        };
        let stats = endpoint.stats.add_worker();
        Rc::new(Self {
            endpoint,
            pool,
            ejection: Ejection::default(),
            stats,
        })
    }

    pub(in crate::upstream) fn begin_request(self: &Rc<Self>) -> InFlight {
        InFlight {
            state: Rc::clone(self),
            _gauge: self.stats.in_flight.enter(),
        }
    }

    /// Whether it passes health checks and is not ejected.
    pub(in crate::upstream) fn is_available(&self, now: Instant) -> bool {
        self.endpoint.is_healthy() && !self.ejection.is_ejected(now)
    }

    /// Its load, to be compared with that of other endpoints.
    pub(in crate::upstream) fn load(&self, now: Instant) -> u64 {
        let in_flight = self.stats.in_flight.read();
        if self.ejection.is_deprioritized(now) {
            (in_flight + 1) * DEPRIORITIZED_FACTOR
        } else {
            in_flight
        }
    }

    /// Closes the connections that cannot be reused.
    pub(in crate::upstream) fn prune(&self, now: Instant) {
        match &self.pool {
            ConnectionPool::Http1(pool) => pool.prune(now),
            ConnectionPool::Http2(pool) => pool.prune(now),
        }
    }

    /// Closes the idle connections of an endpoint that is gone. The others close after their
    /// exchange.
    pub(in crate::upstream) fn close(&self) {
        match &self.pool {
            ConnectionPool::Http1(pool) => pool.close(),
            ConnectionPool::Http2(pool) => pool.close(),
        }
    }
}

impl InFlight {
    pub(in crate::upstream) fn state(&self) -> &Rc<EndpointState> {
        &self.state
    }

    /// Gives back a connection on which another request may follow.
    pub(in crate::upstream) fn reuse(&self, connection: Http1Connection, now: Instant) {
        if let ConnectionPool::Http1(pool) = &self.state.pool {
            pool.put(connection, now);
        }
    }
}

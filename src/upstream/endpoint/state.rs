//! One worker's side of an endpoint: its connections, what it has seen of it, and how much it has under way there.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Ticker;
use crate::telemetry::numbers::GaugeGuard;
use crate::upstream::connection::http1::Wire;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint::ejection::Health;
use crate::upstream::endpoint::http1_pool::Pool;
use crate::upstream::endpoint::http2_pool::Streams;
use crate::upstream::settings::Settings;
use crate::upstream::stats::Traffic;
use crate::values::Protocol;

/// How much busier than it is an endpoint looks that should rest and may not be ejected: it gets requests when the
/// others have so many times as many.
const RESTING_WEIGHT: u64 = 16;

/// One worker's side of an endpoint.
pub(in crate::upstream) struct Peer {
    pub(in crate::upstream) endpoint: Arc<Endpoint>,
    pub(in crate::upstream) way: Way,
    pub(in crate::upstream) health: Health,
    pub(in crate::upstream) traffic: Arc<Traffic>,
}

/// The connections to an endpoint.
pub(in crate::upstream) enum Way {
    Http1(Pool),
    Http2(Rc<Streams>),
}

/// An exchange with an endpoint, from the choice of it to the end of the answer, and of the request where that is sent on.
pub(in crate::upstream) struct UnderWay {
    peer: Rc<Peer>,
    _entered: GaugeGuard,
}

impl Peer {
    pub(in crate::upstream) fn new(
        endpoint: Arc<Endpoint>,
        settings: &Settings,
        ticker: &Rc<Ticker>,
    ) -> Rc<Self> {
        let way = match settings.protocol {
            Protocol::Http1 => Way::Http1(Pool::new(settings, Arc::clone(&endpoint))),
            Protocol::Http2 => Way::Http2(Rc::new(Streams::new(settings, ticker))),
        };
        let traffic = endpoint.traffic.join();
        Rc::new(Self {
            endpoint,
            way,
            health: Health::default(),
            traffic,
        })
    }

    pub(in crate::upstream) fn begin(self: &Rc<Self>) -> UnderWay {
        UnderWay {
            peer: Rc::clone(self),
            _entered: self.traffic.under_way.enter(),
        }
    }

    /// How busy it is, for comparing.
    pub(in crate::upstream) fn load(&self, now: Instant) -> u64 {
        let under_way = self.traffic.under_way.read();
        if self.health.is_resting(now) {
            (under_way + 1) * RESTING_WEIGHT
        } else {
            under_way
        }
    }

    pub(in crate::upstream) fn prune(&self, now: Instant) {
        match &self.way {
            Way::Http1(pool) => pool.prune(now),
            Way::Http2(streams) => streams.prune(now),
        }
    }

    /// Its endpoint is gone: what is idle is closed, and what is under way will be when it is done.
    pub(in crate::upstream) fn retire(&self) {
        match &self.way {
            Way::Http1(pool) => pool.retire(),
            Way::Http2(streams) => streams.retire(),
        }
    }
}

impl UnderWay {
    /// The exchange is complete, and its connection may be used again.
    pub(in crate::upstream) fn keep(&self, wire: Wire, now: Instant) {
        if let Way::Http1(pool) = &self.way {
            pool.put(wire, now);
        }
    }
}

impl Deref for UnderWay {
    type Target = Rc<Peer>;

    fn deref(&self) -> &Rc<Peer> {
        &self.peer
    }
}

//! The way of a permitted request to its upstream, and of the answer back.
//!
//! Each worker has its own connections: nothing here is shared between threads, and nothing is locked. [`Upstream::send`]
//! takes a [`Permit`](crate::policy::decision::Permit), which only [`decide`](crate::policy::decision::decide) can make: what was not decided
//! cannot be forwarded.

mod connect;
mod forwarded_body;
pub mod headers;
mod health;
mod http1;
mod http2;
mod lease;
mod pool;
mod request_body;
mod send;
mod settings;
mod streams;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Request, StatusCode};

use crate::clock::Ticker;

pub use connect::FarEnd;
pub use forwarded_body::ForwardedBody;
pub use http1::Switching;
pub use request_body::{Progress, RequestBody, RequestBodyFault};
pub use send::UpstreamError;
pub use settings::{HostSent, Protocol, Settings, Target};

use health::Health;
use http2::OnInterim;
use pool::Pool;
use streams::Streams;

/// One worker's way to an upstream.
pub struct Upstream {
    settings: Arc<Settings>,
    ticker: Rc<Ticker>,
    /// One to each target, in the order of the settings.
    ways: Vec<Way>,
    /// As the ways.
    health: Vec<Health>,
    turn: Cell<usize>,
}

/// The connections to a target.
enum Way {
    Http1(Rc<Pool>),
    Http2(Rc<Streams>),
}

impl Upstream {
    /// An upstream without connections; they are made as requests need them.
    #[must_use]
    pub fn new(settings: Arc<Settings>, ticker: Rc<Ticker>) -> Self {
        let way = |_| match settings.protocol {
            Protocol::Http1 => Way::Http1(Rc::new(Pool::new(&settings))),
            Protocol::Http2 => Way::Http2(Rc::new(Streams::new(&settings, &ticker))),
        };
        let ways = settings.targets.iter().map(way).collect();
        let health = settings.targets.iter().map(|_| Health::default()).collect();
        Self { settings, ticker, ways, health, turn: Cell::new(0) }
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Closes the connections that have been idle for too long, or that the upstream has closed.
    pub fn prune(&self) {
        let now = self.ticker.now();
        self.ways.iter().for_each(|way| match way {
            Way::Http1(pool) => pool.prune(now),
            Way::Http2(streams) => streams.prune(now),
        });
    }

    /// Whether it can go on in another protocol: a connection that exchanges share cannot.
    #[must_use]
    pub fn switches_protocols(&self) -> bool {
        self.settings.protocol == Protocol::Http1
    }

    /// Has `tell` told of the interim answers (1xx) to `request`.
    pub fn on_interim(
        &self,
        request: &mut Request<RequestBody>,
        tell: impl Fn(StatusCode, &HeaderMap) + Send + Sync + 'static,
    ) {
        match self.settings.protocol {
            Protocol::Http1 => {
                hyper::ext::on_informational(request, move |answer| tell(answer.status(), answer.headers()));
            }
            Protocol::Http2 => _ = request.extensions_mut().insert(OnInterim(Arc::new(tell))),
        }
    }

    // Round robin among those that are not given a rest.
    fn next_target(&self, now: Instant) -> Option<usize> {
        let (turn, targets) = (self.turn.get(), self.ways.len());
        let index =
            (turn..turn + targets).map(|place| place % targets).find(|&index| self.health[index].is_available(now))?;
        self.turn.set((index + 1) % targets);
        Some(index)
    }
}

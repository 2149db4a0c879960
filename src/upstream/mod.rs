//! The way of a permitted request to its upstream, and of the answer back.
//!
//! Each worker has its own connections: nothing here is shared between threads, and nothing is locked. [`Upstream::send`]
//! takes a [`Permit`](crate::policy::decision::Permit), which only [`decide`](crate::policy::decision::decide) can make: what was not decided
//! cannot be forwarded.

mod connect;
mod forwarded_body;
pub mod headers;
mod health;
mod pool;
mod request_body;
mod send;
mod settings;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Ticker;

pub use connect::FarEnd;
pub use forwarded_body::ForwardedBody;
pub use request_body::{Progress, RequestBody, RequestBodyFault};
pub use send::{Switching, UpstreamError};
pub use settings::{HostSent, Settings, Target};

use health::Health;
use pool::Pool;

/// One worker's way to an upstream.
pub struct Upstream {
    settings: Arc<Settings>,
    ticker: Rc<Ticker>,
    /// One for each target, in the order of the settings.
    pools: Vec<Rc<Pool>>,
    /// As the pools.
    health: Vec<Health>,
    turn: Cell<usize>,
}

impl Upstream {
    /// An upstream without connections; they are made as requests need them.
    #[must_use]
    pub fn new(settings: Arc<Settings>, ticker: Rc<Ticker>) -> Self {
        let pools = settings.targets.iter().map(|_| Rc::new(Pool::new(&settings))).collect();
        let health = settings.targets.iter().map(|_| Health::default()).collect();
        Self { settings, ticker, pools, health, turn: Cell::new(0) }
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Closes the connections that have been idle for too long, or that the upstream has closed.
    pub fn prune(&self) {
        self.pools.iter().for_each(|pool| pool.prune(self.ticker.now()));
    }

    // Round robin among those that are not given a rest.
    fn next_target(&self, now: Instant) -> Option<usize> {
        let (turn, targets) = (self.turn.get(), self.pools.len());
        let index =
            (turn..turn + targets).map(|place| place % targets).find(|&index| self.health[index].is_available(now))?;
        self.turn.set((index + 1) % targets);
        Some(index)
    }
}

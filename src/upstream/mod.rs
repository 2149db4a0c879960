//! The way of a permitted request to its upstream, and of the answer back.
//!
//! Each worker has its own connections: nothing here is shared between threads, and nothing is locked. [`Upstream::send`]
//! takes a [`Permit`](crate::policy::decision::Permit), which only [`decide`](crate::policy::decision::decide) can make: what was not decided
//! cannot be forwarded.

mod body;
mod connect;
pub mod headers;
mod pool;
mod send;
mod settings;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use crate::clock::Ticker;

pub use body::{ForwardedBody, Progress, RequestBody, RequestBodyFault};
pub use send::UpstreamError;
pub use settings::{HostSent, Settings, Target};

use pool::Pool;

/// One worker's way to an upstream.
pub struct Upstream {
    settings: Arc<Settings>,
    ticker: Rc<Ticker>,
    /// One for each target, in the order of the settings.
    pools: Vec<Rc<Pool>>,
    turn: Cell<usize>,
}

impl Upstream {
    /// An upstream without connections; they are made as requests need them.
    #[must_use]
    pub fn new(settings: Arc<Settings>, ticker: Rc<Ticker>) -> Self {
        let pools = settings.targets.iter().map(|_| Rc::new(Pool::new(&settings))).collect();
        Self { settings, ticker, pools, turn: Cell::new(0) }
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

    // Round robin.
    fn next_target(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set((turn + 1) % self.pools.len());
        turn
    }
}

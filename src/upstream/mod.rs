//! The way of a permitted request to its upstream, and of the answer back.
//!
//! Each worker has its own connections: nothing that a request passes is shared between threads but [`Endpoints`], where
//! the control plane leaves what it finds out (see [`attend`]) and workers look by atomic loads. Nothing is locked.
//!
//! A request goes to an *endpoint*, an address of a *target*. Each has its own connections, health and place in the
//! balance:
//!
//! 1. Only what active checks find well and what is not ejected is available, and of that what has not failed this very
//!    request comes first.
//! 2. Of what is available, [`Balance`](crate::values::Balance) takes one.
//! 3. Where nothing is available, what is well by active checks is used although it is ejected; without checks, and where
//!    nothing is well, there is [`UpstreamError::NoTarget`].
//!
//! [`Upstream::send`] takes a [`Permit`](crate::policy::decision::Permit), which only
//! [`decide`](crate::policy::decision::decide) can make: what was not decided cannot be forwarded.

mod connect;
mod connection;
mod endpoint;
mod forwarded_body;
pub mod headers;
mod health_check;
mod load_balancer;
mod local_error;
mod request_body;
mod resolver;
mod retry;
mod send;
mod settings;
mod stats;

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::clock::Ticker;
use crate::transport::Renewed;

pub use connect::UpgradedConnection;
pub use connection::http1::{ResponseParser, ResponsePart, UpgradeResponse};
pub use endpoint::Endpoints;
pub use forwarded_body::ForwardedBody;
pub use health_check::HealthCheck;
pub use request_body::{RequestBody, RequestBodyFault, RequestBodyProgress};
pub use resolver::Resolver;
pub use send::{OnInterim, UpstreamError, UpstreamRequest};
pub use settings::{HostHeader, Settings, Target};
pub use stats::{PerWorker, TargetReport, UpstreamReport, UpstreamStats};

use endpoint::ejection::max_ejected;
use endpoint::state::{EndpointState, InFlight};
use load_balancer::LoadBalancer;
use retry::budget::RetryBudget;

/// One worker's way to an upstream.
pub struct Upstream {
    settings: Arc<Settings>,
    ticker: Rc<Ticker>,
    /// One to each endpoint.
    peers: RefCell<Vec<Rc<EndpointState>>>,
    /// The generation of the endpoints that they are of.
    generation: Cell<Option<u64>>,
    chooser: LoadBalancer,
    budget: RetryBudget,
    exchanges: Arc<UpstreamStats>,
}

impl Upstream {
    /// An upstream without connections; they are made as requests need them.
    #[must_use]
    pub fn new(settings: Arc<Settings>, ticker: Rc<Ticker>) -> Self {
        let (peers, generation) = (RefCell::default(), Cell::new(None));
        let (chooser, budget) = (
            LoadBalancer::new(settings.balance),
            RetryBudget::full(ticker.now()),
        );
        let exchanges = settings.exchanges.join();
        Self {
            settings,
            ticker,
            peers,
            generation,
            chooser,
            budget,
            exchanges,
        }
    }

    /// What it was made from.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// Closes the connections that have been idle for too long, that the upstream has closed, or whose endpoint is gone.
    pub fn prune(&self) {
        self.catch_up();
        let now = self.ticker.now();
        self.peers.borrow().iter().for_each(|peer| peer.prune(now));
    }

    /// Begins an exchange with one that is available: rather not with one that has `failed`, and only at `target` where
    /// that is told.
    fn choose(&self, failed: &[Rc<EndpointState>], target: Option<usize>) -> Option<InFlight> {
        self.catch_up();
        let (peers, now) = (self.peers.borrow(), self.ticker.now());
        let is_well = |index: usize| !peers[index].endpoint.is_down();
        let is_available = |index: usize| is_well(index) && !peers[index].health.is_ejected(now);
        let is_new = |index: usize| !failed.iter().any(|peer| Rc::ptr_eq(peer, &peers[index]));
        let is_at =
            |index: usize| target.is_none_or(|target| peers[index].endpoint.target == target);
        let load = |index: usize| peers[index].load(now);
        let chosen = self.chooser.choose(
            peers.len(),
            |index| is_available(index) && is_new(index) && is_at(index),
            load,
        );
        let chosen = chosen.or_else(|| self.chooser.choose(peers.len(), is_available, load));
        let chosen = chosen.or_else(|| {
            // Whoever checks knows better than we who rest.
            self.settings
                .check
                .as_ref()
                .and_then(|_| self.chooser.choose(peers.len(), is_well, load))
        });
        chosen.map(|index| peers[index].begin())
    }

    /// Whether there is an address of the target that has not failed.
    fn has_another_address(&self, target: usize, failed: &[Rc<EndpointState>]) -> bool {
        let now = self.ticker.now();
        let is_new =
            |peer: &Rc<EndpointState>| !failed.iter().any(|failed| Rc::ptr_eq(failed, peer));
        self.peers.borrow().iter().any(|peer| {
            let is_available = !peer.endpoint.is_down() && !peer.health.is_ejected(now);
            peer.endpoint.target == target && is_available && is_new(peer)
        })
    }

    fn may_eject(&self, now: Instant) -> bool {
        let peers = self.peers.borrow();
        peers
            .iter()
            .filter(|peer| peer.health.is_ejected(now))
            .count()
            < max_ejected(peers.len())
    }

    // Those that stay keep their connections and what was seen of them.
    fn catch_up(&self) {
        let endpoints = &self.settings.endpoints;
        let generation = Some(endpoints.generation());
        if self.generation.replace(generation) == generation {
            return;
        }
        let current = endpoints.current();
        let mut peers = self.peers.borrow_mut();
        let earlier = mem::take(&mut *peers);
        peers.extend(current.iter().map(|endpoint| {
            let known = earlier
                .iter()
                .find(|peer| Arc::ptr_eq(&peer.endpoint, endpoint));
            known.map_or_else(
                || EndpointState::new(Arc::clone(endpoint), &self.settings, &self.ticker),
                Rc::clone,
            )
        }));
        let stays = |peer: &&Rc<EndpointState>| {
            current
                .iter()
                .any(|endpoint| Arc::ptr_eq(&peer.endpoint, endpoint))
        };
        earlier
            .iter()
            .filter(|peer| !stays(peer))
            .for_each(|peer| peer.retire());
    }
}

/// Does in the background what has to be done for an upstream, on the runtime that this is called on, for as long as
/// somebody has use for it: renews its certificates, looks up its names and checks its endpoints.
pub fn attend(settings: &Arc<Settings>) {
    tokio::spawn(Renewed::keep(Arc::downgrade(&settings.tls)));
    health_check::attend(settings, &settings.endpoints.current());
    resolver::attend(settings);
}

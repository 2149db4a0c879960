//! The active snapshot together with what one worker keeps for it.

use std::rc::Rc;
use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::clock::Ticker;
use crate::policy::decision::Permit;
use crate::telemetry::{RouteNames, RouteRequests, WorkerTelemetry};
use crate::upstream::Upstream;

/// The active snapshot, with this worker's own connections to the upstreams.
pub(super) struct WorkerSnapshot {
    pub(super) snapshot: Arc<Snapshot>,
    upstreams: Vec<Rc<Upstream>>,
    /// By the index of the route.
    routes: Vec<RouteTelemetry>,
}

/// The metrics and log names of one route.
pub(super) struct RouteTelemetry {
    pub(super) requests: Rc<RouteRequests>,
    pub(super) names: Rc<RouteNames>,
}

impl WorkerSnapshot {
    /// Upstreams that did not change keep their connections.
    pub(super) fn new(
        snapshot: Arc<Snapshot>,
        earlier: &[Rc<Upstream>],
        ticker: &Rc<Ticker>,
        telemetry: &WorkerTelemetry,
    ) -> Self {
        let upstreams = snapshot.upstreams.iter().map(|shared| {
            earlier
                .iter()
                .find(|upstream| Arc::ptr_eq(upstream.shared(), shared))
                .map_or_else(
                    || Rc::new(Upstream::new(Arc::clone(shared), Rc::clone(ticker))),
                    Rc::clone,
                )
        });
        let upstreams = upstreams.collect();
        let requests = telemetry.set_routes(
            snapshot
                .forwarding
                .iter()
                .map(|forwarding| &forwarding.label),
        );
        let routes = snapshot
            .forwarding
            .iter()
            .zip(requests)
            .map(|(forwarding, requests)| {
                let upstream = snapshot
                    .upstreams
                    .get(forwarding.upstream)
                    .map_or("", |upstream| &*upstream.settings().name);
                let names = Rc::new(RouteNames {
                    host: forwarding.host.clone(),
                    upstream: upstream.into(),
                });
                RouteTelemetry { requests, names }
            });
        let routes = routes.collect();
        Self {
            snapshot,
            upstreams,
            routes,
        }
    }

    pub(super) fn upstreams(&self) -> &[Rc<Upstream>] {
        &self.upstreams
    }

    /// The upstream of a permitted request.
    pub(super) fn upstream(&self, permit: &Permit) -> &Upstream {
        let forwarding = &self.snapshot.forwarding[permit.route()];
        &self.upstreams[forwarding.upstream]
    }

    pub(super) fn route_telemetry(&self, route: usize) -> Option<&RouteTelemetry> {
        self.routes.get(route)
    }
}

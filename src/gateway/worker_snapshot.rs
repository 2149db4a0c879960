//! The active snapshot together with what one worker keeps for it.

use std::rc::Rc;
use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::clock::Ticker;
use crate::policy::decision::Permit;
use crate::policy::mcp::OperationRule;
use crate::policy::route::Route;
use crate::rate_limits::WorkerLimits;
use crate::telemetry::{RouteNames, RouteRequests, SeriesName, WorkerTelemetry};
use crate::upstream::Upstream;

/// The active snapshot, with this worker's own connections to the upstreams.
pub(super) struct WorkerSnapshot {
    pub(super) snapshot: Arc<Snapshot>,
    upstreams: Vec<Rc<Upstream>>,
    pub(super) limits: WorkerLimits,
    /// By the index of the route.
    routes: Vec<RouteTelemetry>,
}

/// The metrics and log names of one route.
pub(super) struct RouteTelemetry {
    requests: Rc<RouteRequests>,
    /// By the index of the rule of an MCP route.
    operations: Box<[Rc<RouteRequests>]>,
    pub(super) names: Rc<RouteNames>,
}

impl RouteTelemetry {
    /// The metrics of its requests for this operation, or for none.
    pub(super) fn requests(&self, operation: Option<usize>) -> &Rc<RouteRequests> {
        operation
            .and_then(|index| self.operations.get(index))
            .unwrap_or(&self.requests)
    }
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
        let forwarding = snapshot.forwarding.iter().zip(snapshot.routes.routes());
        let names = forwarding.clone().flat_map(|(forwarding, route)| {
            let of_rules = rules(route).map(|rule| SeriesName {
                route: Arc::clone(&forwarding.label),
                operation: Some(Arc::clone(&rule.label)),
            });
            std::iter::once(SeriesName::of_route(&forwarding.label)).chain(of_rules)
        });
        let mut requests = telemetry.set_routes(names).into_iter();
        let routes = forwarding.filter_map(|(forwarding, route)| {
            let upstream = snapshot
                .upstreams
                .get(forwarding.upstream)
                .map_or("", |upstream| &*upstream.settings().name);
            let names = Rc::new(RouteNames {
                host: forwarding.host.clone(),
                upstream: upstream.into(),
            });
            Some(RouteTelemetry {
                requests: requests.next()?,
                operations: requests.by_ref().take(rules(route).count()).collect(),
                names,
            })
        });
        let routes = routes.collect();
        Self {
            limits: WorkerLimits::new(&snapshot.limits),
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

fn rules(route: &Route) -> impl Iterator<Item = &OperationRule> {
    route.mcp.iter().flat_map(|mcp| mcp.rules.all())
}

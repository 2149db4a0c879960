//! Counts requests and their durations by kind.
//!
//! 1. A series is identified by route, operation, method, status and outcome. All are closed sets; an unknown method
//!    counts as `_OTHER`.
//! 2. A series begins with its first request. Each worker has its own series, and searches the few of the
//!    route.
//! 3. Series of a route that is no longer configured are dropped.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;

use super::labels::method_label;
use super::metrics::{Histogram, HistogramSnapshot};
use super::outcome::Outcome;
use crate::policy::mcp::OperationLabel;
use crate::sync::lock;

/// The labels of a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestKind {
    /// The route's pattern; empty for none.
    pub route: Arc<str>,
    /// The method, or `_OTHER`.
    pub method: &'static str,
    /// The status of the response; none without a response.
    pub status: Option<u16>,
    /// The decision.
    pub decision: &'static str,
    /// Why, if it was not permitted.
    pub reason: Option<&'static str>,
    /// The patterns of the operation, if the request asked an MCP server for one.
    pub operation: Option<Arc<OperationLabel>>,
}

/// The requests of one kind, of one worker.
#[derive(Debug)]
struct RouteSeries {
    name: SeriesName,
    method: &'static str,
    status: Option<u16>,
    outcome: Outcome,
    durations: Histogram,
}

/// The series of one worker, as a scrape reads them.
#[derive(Debug, Default)]
pub(super) struct WorkerSeries(Mutex<Vec<Arc<RouteSeries>>>);

/// The series of one worker, as the worker counts.
#[derive(Debug, Default)]
pub(super) struct WorkerRequests {
    series_list: Arc<WorkerSeries>,
    routes: RefCell<HashMap<SeriesName, Rc<RouteRequests>>>,
}

/// What series are about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SeriesName {
    /// The route's pattern; empty for none.
    pub route: Arc<str>,
    /// The patterns of an operation of an MCP server; none for other requests.
    pub operation: Option<Arc<OperationLabel>>,
}

/// The requests of one route, or of one of its operations, of one worker.
#[derive(Debug)]
pub struct RouteRequests {
    name: SeriesName,
    series_list: Arc<WorkerSeries>,
    series: RefCell<Vec<Arc<RouteSeries>>>,
}

impl WorkerRequests {
    pub(super) fn series_list(&self) -> &Arc<WorkerSeries> {
        &self.series_list
    }

    /// The counters of these names. The series of others are dropped.
    pub(super) fn set_routes(
        &self,
        names: impl Iterator<Item = SeriesName>,
    ) -> Vec<Rc<RouteRequests>> {
        let mut known = self.routes.borrow_mut();
        let mut kept = HashMap::new();
        let routes = names
            .map(|name| {
                let route = kept.entry(name).or_insert_with_key(|name| {
                    known
                        .remove(name)
                        .unwrap_or_else(|| RouteRequests::new(name.clone(), &self.series_list))
                });
                Rc::clone(route)
            })
            .collect();
        if !known.is_empty() {
            self.series_list
                .retain(|name| name.route.is_empty() || kept.contains_key(name));
        }
        *known = kept;
        routes
    }
}

impl SeriesName {
    /// Requests of a route that are for no operation.
    #[must_use]
    pub fn of_route(route: &Arc<str>) -> Self {
        Self {
            route: Arc::clone(route),
            operation: None,
        }
    }
}

impl RouteRequests {
    pub(super) fn new(name: SeriesName, series_list: &Arc<WorkerSeries>) -> Rc<Self> {
        Rc::new(Self {
            name,
            series_list: Arc::clone(series_list),
            series: RefCell::default(),
        })
    }

    /// The route's pattern; empty for none.
    #[must_use]
    pub fn route(&self) -> &Arc<str> {
        &self.name.route
    }

    /// The patterns of the operation; none for other requests.
    #[must_use]
    pub fn operation(&self) -> Option<&OperationLabel> {
        self.name.operation.as_deref()
    }

    pub(super) fn count(
        &self,
        method: &Method,
        status: Option<u16>,
        outcome: Outcome,
        duration: Duration,
    ) {
        let method = method_label(method);
        let mut all = self.series.borrow_mut();
        let is_it = |series: &&Arc<RouteSeries>| {
            series.status == status && series.outcome == outcome && series.method == method
        };
        if let Some(series) = all.iter().find(is_it) {
            series.durations.record(duration);
            return;
        }
        let durations = Histogram::default();
        durations.record(duration);
        let series = Arc::new(RouteSeries {
            name: self.name.clone(),
            method,
            status,
            outcome,
            durations,
        });
        self.series_list.add(&series);
        all.push(series);
    }
}

impl WorkerSeries {
    fn add(&self, series: &Arc<RouteSeries>) {
        lock(&self.0).push(Arc::clone(series));
    }

    fn retain(&self, is_kept: impl Fn(&SeriesName) -> bool) {
        lock(&self.0).retain(|series| is_kept(&series.name));
    }

    pub(super) fn read_into(&self, all: &mut BTreeMap<RequestKind, HistogramSnapshot>) {
        for series in lock(&self.0).iter() {
            let kind = RequestKind {
                route: Arc::clone(&series.name.route),
                operation: series.name.operation.clone(),
                method: series.method,
                status: series.status,
                decision: series.outcome.decision(),
                reason: series.outcome.reason(),
            };
            all.entry(kind).or_default().add(&series.durations.read());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(series_list: &WorkerSeries) -> Vec<(String, u64)> {
        let mut all = BTreeMap::new();
        series_list.read_into(&mut all);
        let text = |kind: &RequestKind| {
            format!(
                "{} {} {:?} {}",
                kind.method, kind.route, kind.status, kind.decision
            )
        };
        all.iter()
            .map(|(kind, distribution)| (text(kind), distribution.count()))
            .collect()
    }

    #[test]
    fn unchanged_route_keeps_its_counts_and_a_removed_one_is_not_reported() {
        let requests = WorkerRequests::default();
        let labels: [Arc<str>; 2] = ["/a".into(), "/b".into()];
        let routes = requests.set_routes(labels.iter().map(SeriesName::of_route));
        let count = |route: &RouteRequests| {
            route.count(
                &Method::GET,
                Some(200),
                Outcome::Permitted,
                Duration::from_millis(1),
            );
        };
        count(&routes[0]);
        count(&routes[1]);
        let routes = requests.set_routes(labels[1..].iter().map(SeriesName::of_route));
        count(&routes[0]);
        assert_eq!(
            read(requests.series_list()),
            [("GET /b Some(200) permitted".to_owned(), 2)]
        );
    }

    #[test]
    fn unknown_methods_share_one_label() {
        let requests = WorkerRequests::default();
        let routes = requests.set_routes([Arc::from("/a")].iter().map(SeriesName::of_route));
        for method in ["BREW", "PROPFIND", "get"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            routes[0].count(&method, None, Outcome::Undecided, Duration::ZERO);
        }
        assert_eq!(
            read(requests.series_list()),
            [("_OTHER /a None undecided".to_owned(), 3)]
        );
    }
}

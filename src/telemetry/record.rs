//! What one request came to.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, Version};

use super::labels::method_label;
use super::outcome::Outcome;
use super::spans::FinishedRequest;
use super::trace::Trace;
use super::{InFlight, RequestLog, RouteRequests, WorkerTelemetry};
use crate::clock;
use crate::oauth::claims::ActiveToken;

/// Bytes of a path in the log. Longer ones are cut off, which "…" shows.
const MAX_PATH: usize = 512;

/// Everything that is told about one request. It is told when the record is dropped: with the last byte of the answer,
/// or when the client went away before it.
///
/// It holds facts only and neither the token nor the raw path, so nothing that tells it can leak one. The path as it was
/// judged is there only where the operator asks for it.
#[derive(Debug)]
pub struct Record {
    worker: Rc<WorkerTelemetry>,
    started: Instant,
    /// Whether it has no end of its own.
    is_stream: bool,
    /// What is logged of it.
    pub(super) log: RequestLog,
    /// Who asked.
    pub client: IpAddr,
    /// The request's method.
    pub method: Method,
    /// The version of HTTP that it came by.
    pub version: Version,
    /// What it is called, here and at the upstream, and by its client.
    pub request_id: Option<HeaderValue>,
    /// Its part in a trace, where there are traces.
    pub trace: Option<Box<Trace>>,
    /// The route that it found, or none.
    pub route: Rc<RouteRequests>,
    /// The path as it was judged, without the query, where it is logged.
    pub(super) path: Option<Box<str>>,
    /// What the route is called by beside its path.
    pub names: Option<Rc<RouteNames>>,
    /// Whether it was let through to the upstream, whatever came of that.
    pub is_forwarded: bool,
    /// The access token that it was judged by.
    pub token: Option<Arc<ActiveToken>>,
    /// The name of the issuer that a refusal has to do with; that of a good token is its own.
    pub issuer: Option<Arc<str>>,
    /// The answer's status; none while there is no answer.
    pub status: Option<StatusCode>,
    /// What was decided.
    pub outcome: Outcome,
    /// For the operator: what stood behind a refusal or a failure.
    pub cause: Option<String>,
    /// Of the scopes that the request needs, those that its token does not grant.
    pub missing_scope: Option<String>,
    /// Bytes of the request's body that were read.
    pub request_bytes: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub response_bytes: u64,
}

/// What a route is called by, beside its path.
#[derive(Debug)]
pub struct RouteNames {
    /// Its hosts as they are written, where it is not for any.
    pub host: Option<Box<str>>,
    /// Its upstream.
    pub upstream: Box<str>,
}

/// What stands behind a refusal, for the operator.
#[derive(Debug, Default)]
pub struct RefusalDetail {
    /// What was expected, and what was found.
    pub cause: Option<String>,
    /// Of the scopes that the request needs, those that its token does not grant.
    pub missing_scope: Option<String>,
}

impl Record {
    /// Begins the record of a request.
    ///
    /// It is boxed: it moves with the response through the gateway and hyper, which costs more
    /// copying than an allocation.
    #[must_use]
    pub fn begin(
        worker: &Rc<WorkerTelemetry>,
        client: IpAddr,
        method: Method,
        log: RequestLog,
    ) -> Box<Self> {
        let is_on = log.is_on && worker.access.as_ref().is_some_and(|access| access.is_on());
        let in_flight = worker.in_flight.get();
        worker.in_flight.set(InFlight {
            requests: in_flight.requests + 1,
            ..in_flight
        });
        Box::new(Self {
            worker: Rc::clone(worker),
            started: clock::now(),
            is_stream: false,
            log: RequestLog { is_on, ..log },
            client,
            method,
            version: Version::HTTP_11,
            request_id: None,
            trace: None,
            route: Rc::clone(&worker.unrouted),
            path: None,
            names: None,
            is_forwarded: false,
            token: None,
            issuer: None,
            status: None,
            outcome: Outcome::Undecided,
            cause: None,
            missing_scope: None,
            request_bytes: 0,
            response_bytes: 0,
        })
    }

    /// From here on it lasts for as long as its client likes: to end it is not to cut it off.
    pub fn mark_stream(&mut self) {
        if !self.is_stream {
            self.is_stream = true;
            let InFlight { requests, streams } = self.worker.in_flight.get();
            self.worker.in_flight.set(InFlight {
                requests: requests - 1,
                streams: streams + 1,
            });
        }
    }

    fn end(&self) {
        let InFlight { requests, streams } = self.worker.in_flight.get();
        self.worker.in_flight.set(match self.is_stream {
            true => InFlight {
                requests,
                streams: streams - 1,
            },
            false => InFlight {
                requests: requests - 1,
                streams,
            },
        });
    }

    /// The path as it was judged: kept only where the operator wants it in the log.
    pub fn set_path(&mut self, path: &str) {
        if self.log.is_on && self.log.path {
            self.path = Some(bounded(path));
        }
    }

    /// It is refused, or would be. `why` is asked only where it will be told: a flood of refusals is not, and costs nothing.
    pub fn refuse(
        &mut self,
        outcome: Outcome,
        issuer: Option<&Arc<str>>,
        why: impl FnOnce() -> RefusalDetail,
    ) {
        self.outcome = outcome;
        self.issuer = issuer.cloned();
        if let (true, Outcome::Refused(_), Some(access)) =
            (self.log.is_on, outcome, &self.worker.access)
        {
            self.log.is_on = access.takes_refusal(self.log);
        }
        if self.log.is_on {
            RefusalDetail {
                cause: self.cause,
                missing_scope: self.missing_scope,
            } = why();
        }
    }

    /// The request panicked: that is counted, and told whether or not requests are.
    pub fn panicked(&self) {
        super::panics::count_request();
        tracing::error!(method = %self.method, route = self.route_label(), "request panicked");
    }

    pub(super) fn route_label(&self) -> Option<&str> {
        Some(&**self.route.route()).filter(|route| !route.is_empty())
    }

    pub(super) fn count(&self, duration: Duration) {
        let status = self.status.map(|status| status.as_u16());
        self.route
            .count(&self.method, status, self.outcome, duration);
    }

    pub(super) fn finished(&self, trace: Box<Trace>, duration: Duration) -> FinishedRequest {
        let issuer = self
            .token
            .as_deref()
            .map(ActiveToken::issuer_name)
            .or(self.issuer.as_deref());
        let upstream = self
            .names
            .as_ref()
            .filter(|_| self.is_forwarded)
            .map(|names| names.upstream.clone());
        FinishedRequest {
            trace,
            began: self.started,
            ended: self.started + duration,
            method: method_label(&self.method),
            route: Arc::clone(self.route.route()),
            upstream,
            status: self.status.map(|status| status.as_u16()),
            outcome: self.outcome,
            issuer: issuer.map(Into::into),
            client: self.client,
            version: self.version,
            request_id: self.request_id.clone(),
        }
    }

    pub(super) fn duration(&self) -> Duration {
        clock::since(self.started)
    }
}

// A client may send one that is as long as a head may be. A normal path is ASCII.
fn bounded(path: &str) -> Box<str> {
    match path.get(..MAX_PATH) {
        Some(start) if path.len() > MAX_PATH => format!("{start}…").into(),
        Some(_) | None => path.into(),
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end();
        Rc::clone(&self.worker).finish(self);
    }
}

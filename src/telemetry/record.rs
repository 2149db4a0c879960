//! The record of one request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, Version};

use super::labels::method_label;
use super::outcome::Outcome;
use super::spans::FinishedRequest;
use super::trace::Trace;
use super::{InFlight, RequestLog, RouteRequests, WorkerTelemetry};
use crate::client_limits::{ClientAddress, PeerCredentials};
use crate::clock;
use crate::oauth::claims::ActiveToken;

/// Bytes of a path in the log. Longer ones are cut off, which "…" shows.
const MAX_PATH: usize = 512;

/// What is logged and counted of one request, when the record is dropped: with the last byte of the
/// response, or when the client disconnects.
///
/// It contains neither the token nor the raw path, so no log line can leak one. It has the normalized
/// path only if that is configured.
#[derive(Debug)]
pub struct Record {
    worker: Rc<WorkerTelemetry>,
    started: Instant,
    /// Whether it is a stream.
    is_stream: bool,
    /// Whether a response began that the client did not get whole.
    pub(super) is_incomplete: bool,
    /// What is logged.
    pub(super) log: RequestLog,
    /// The client address.
    pub client: ClientAddress,
    /// The process of the peer, if it has connected to a Unix socket.
    pub peer: Option<PeerCredentials>,
    /// The request's method.
    pub method: Method,
    /// The HTTP version of the request.
    pub version: Version,
    /// `X-Request-Id`.
    pub request_id: Option<HeaderValue>,
    /// Its trace, if tracing is on.
    pub trace: Option<Box<Trace>>,
    /// The matched route, or the one of unrouted requests.
    pub route: Rc<RouteRequests>,
    /// The normalized path without the query, if it is logged.
    pub(super) path: Option<Box<str>>,
    /// Further names of the route.
    pub names: Option<Rc<RouteNames>>,
    /// Whether it was permitted to go to its upstream, whether or not that was reached.
    pub is_forwarded: bool,
    /// The claims of its access token.
    pub token: Option<Arc<ActiveToken>>,
    /// The issuer of a refused token; an active token has its own.
    pub issuer: Option<Arc<str>>,
    /// The status of the response; none while there is none.
    pub status: Option<StatusCode>,
    /// The decision.
    pub outcome: Outcome,
    /// The cause of a refusal or failure, for the operator.
    pub cause: Option<String>,
    /// The required scopes that the token does not grant.
    pub missing_scope: Option<String>,
    /// Bytes read of the request body.
    pub request_bytes: u64,
    /// Bytes of the response body that were passed to the connection.
    pub response_bytes: u64,
}

/// Names of a route beside its path.
#[derive(Debug)]
pub struct RouteNames {
    /// Its hosts as configured; none if it accepts any.
    pub host: Option<Box<str>>,
    /// Its upstream.
    pub upstream: Box<str>,
}

/// The cause of a refusal, for the operator.
#[derive(Debug, Default)]
pub struct RefusalDetail {
    /// What was expected, and what was found.
    pub cause: Option<String>,
    /// The required scopes that the token does not grant.
    pub missing_scope: Option<String>,
}

impl Record {
    /// Begins the record of a request.
    #[must_use]
    pub fn begin(
        worker: &Rc<WorkerTelemetry>,
        client: ClientAddress,
        method: Method,
        log: RequestLog,
    ) -> Self {
        let is_on = log.is_on && worker.access.as_ref().is_some_and(|access| access.is_on());
        let in_flight = worker.in_flight.get();
        worker.in_flight.set(InFlight {
            requests: in_flight.requests + 1,
            ..in_flight
        });
        Self {
            worker: Rc::clone(worker),
            started: clock::now(),
            is_stream: false,
            is_incomplete: false,
            log: RequestLog { is_on, ..log },
            client,
            peer: None,
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
        }
    }

    /// Marks it as a stream, which lasts as long as its client wants. A drain closes streams without
    /// counting them as aborted.
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

    /// Marks a response of which the client did not get the end: the client or the gateway closed the
    /// connection. A stream has no end to get, and a response without content has none to miss.
    pub fn mark_incomplete(&mut self) {
        let has_content = self.method != Method::HEAD
            && self.status != Some(StatusCode::NO_CONTENT)
            && self.status != Some(StatusCode::NOT_MODIFIED);
        self.is_incomplete = has_content && !self.is_stream;
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

    /// Sets the normalized path, if it is logged.
    pub fn set_path(&mut self, path: &str) {
        if self.log.is_on && self.log.path {
            self.path = Some(bounded(path));
        }
    }

    /// Records a refusal, also one of shadow mode. `why` is called only if it is logged, so that a flood
    /// of refusals stays cheap.
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

    /// Counts and logs a panic, even if requests are not logged.
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

// A path can be as long as a request head. A normalized path is ASCII.
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

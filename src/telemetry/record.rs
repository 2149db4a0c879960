//! What one request came to.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};

use super::{RouteRequests, WorkerTelemetry};
use crate::oauth::claims::ActiveToken;

/// Everything that is told about one request. It is told when the record is dropped: with the last byte of the answer,
/// or when the client went away before it.
///
/// It holds facts only and neither the token nor the raw path, so nothing that tells it can leak one.
#[derive(Debug)]
pub struct Record {
    worker: Rc<WorkerTelemetry>,
    started: Instant,
    is_logged: bool,
    /// Who asked.
    pub client: IpAddr,
    /// The request's method.
    pub method: Method,
    /// The route that it found, or none.
    pub route: Rc<RouteRequests>,
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
    /// Bytes of the request's body that were read.
    pub request_bytes: u64,
    /// Bytes of the answer's body that were handed to the connection.
    pub response_bytes: u64,
}

/// What was decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: the client went away first.
    Undecided,
    /// Forwarded by leave of a token.
    Permitted,
    /// Forwarded by a route that asks for no token.
    Public,
    /// Forwarded by a route in shadow mode, which would have refused it otherwise. The reason is from a closed set of names.
    Shadowed(&'static str),
    /// Answered by the gateway. The reason is from a closed set of names.
    Refused(&'static str),
    /// Forwarded, but the upstream's answer broke off. The reason is from a closed set of names.
    Broken(&'static str),
}

impl Outcome {
    /// From a closed set of names.
    pub(super) fn decision(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Permitted => "permitted",
            Self::Public => "public",
            Self::Shadowed(_) => "shadowed",
            Self::Refused(_) => "refused",
            Self::Broken(_) => "broken",
        }
    }

    /// From a closed set of names.
    pub(super) fn reason(self) -> Option<&'static str> {
        match self {
            Self::Undecided => Some("client_went_away"),
            Self::Permitted | Self::Public => None,
            Self::Shadowed(reason) | Self::Refused(reason) | Self::Broken(reason) => Some(reason),
        }
    }
}

impl Record {
    /// Begins the record of a request, whose end is logged where `is_logged` is set.
    #[must_use]
    pub fn begin(worker: &Rc<WorkerTelemetry>, client: IpAddr, method: Method, is_logged: bool) -> Self {
        Self {
            worker: Rc::clone(worker),
            started: Instant::now(),
            is_logged,
            client,
            method,
            route: Rc::clone(&worker.unrouted),
            token: None,
            issuer: None,
            status: None,
            outcome: Outcome::Undecided,
            cause: None,
            request_bytes: 0,
            response_bytes: 0,
        }
    }

    /// The request panicked: that is counted, and told whether or not requests are.
    pub fn panicked(&self) {
        super::panics::count_request();
        tracing::error!(method = %self.method, route = self.route_label(), "a request panicked");
    }

    fn route_label(&self) -> Option<&str> {
        Some(&**self.route.route()).filter(|route| !route.is_empty())
    }

    pub(super) fn count(&self) {
        let status = self.status.map(|status| status.as_u16());
        self.route.count(&self.method, status, self.outcome, self.started.elapsed());
    }

    pub(super) fn log(&self) {
        if !self.is_logged {
            return;
        }
        let token = self.token.as_deref();
        tracing::info!(
            method = %self.method,
            route = self.route_label(),
            status = self.status.map(|status| status.as_u16()),
            decision = self.outcome.decision(),
            reason = self.outcome.reason(),
            cause = self.cause.as_deref(),
            issuer = token.map(ActiveToken::issuer_name).or(self.issuer.as_deref()),
            client_id = token.and_then(ActiveToken::client_id),
            client = %self.client,
            duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX),
            request_bytes = self.request_bytes,
            response_bytes = self.response_bytes,
            "request"
        );
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.worker.tell(self);
    }
}

//! Ejects endpoints by the outcome of connecting to them and of requests: see
//! [`ejection`](super::endpoint::ejection).
//!
//! Clients choose the requests whose outcomes count with `outlier`, so a failure that a client may
//! have caused does not count:
//!
//! 1. Nothing counts before the client has sent its whole request. Otherwise a client could announce
//!    a body, send none, and wait for the timeout.
//! 2. A request that its client ends has no outcome. Its stream may have lasted for hours, so a
//!    response without an announced length counts as a success then.
//! 3. When a call ends by the deadline of its gRPC client, that deadline may have been too short.
//! 4. A response without an announced length may pause for as long as it likes: it may be a stream
//!    of events. So its timeout does not count.
//!
//! Nor do failures that say nothing about the endpoint: a pooled connection that broke, which the
//! endpoint may close at any time; a stream that it refused; a shortage of this machine. A broken
//! HTTP/2 connection counts once, however many exchanges it carried.

use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use http::StatusCode;

use super::endpoint::ejection::FailureKind;
use super::endpoint::state::EndpointState;
use super::load_balancer::LoadBalancer;
use super::local_error::{is_local_shortage, local_error};
use super::request_body::RequestBodyProgress;
use super::settings::UpstreamSettings;
use crate::clock::Ticker;

/// Records outcomes, and ejects endpoints.
pub(super) struct Ejector {
    balancer: Rc<LoadBalancer>,
    ticker: Rc<Ticker>,
}

/// Watches a request whose outcome may count.
pub(super) struct RequestWatch {
    /// `None` without a body.
    body: Option<Rc<RequestBodyProgress>>,
}

/// Watches a response to its end.
pub(super) struct ResponseWatch {
    ejector: Rc<Ejector>,
    state: Rc<EndpointState>,
    request: RequestWatch,
}

impl Ejector {
    pub(super) fn new(balancer: Rc<LoadBalancer>, ticker: Rc<Ticker>) -> Rc<Self> {
        Rc::new(Self { balancer, ticker })
    }

    fn settings(&self) -> &UpstreamSettings {
        self.balancer.settings()
    }

    /// Records the outcome of connecting.
    pub(super) fn record_connect<T>(
        &self,
        state: &EndpointState,
        connected: io::Result<T>,
    ) -> io::Result<T> {
        match &connected {
            Ok(_) => {
                if state.ejection.record_connect() {
                    state.stats.end_ejection();
                }
            }
            Err(error) => self.record_connect_failure(state, error),
        }
        connected
    }

    fn record_connect_failure(&self, state: &EndpointState, error: &io::Error) {
        let now = self.ticker.now();
        if let Some(error) = local_error(error) {
            error.log(&self.settings().name, &state.endpoint, now);
            return;
        }
        let may_eject = || self.balancer.may_eject(state, FailureKind::Connect, now);
        if let Some(duration) = state.ejection.record_connect_failure(now, may_eject) {
            self.log(state, now, now + duration, error);
        }
    }

    /// Watches a request with this body, if its outcome may count.
    #[inline]
    pub(super) fn watch(
        &self,
        body: impl FnOnce() -> Option<Rc<RequestBodyProgress>>,
    ) -> Option<RequestWatch> {
        self.settings().outlier.as_ref()?;
        Some(RequestWatch { body: body() })
    }

    /// Records a request that brought no response.
    pub(super) fn record_error(
        &self,
        request: &RequestWatch,
        state: &EndpointState,
        error: &(dyn Error + 'static),
    ) {
        if request.is_whole() && !is_local_shortage(error) {
            self.record_response_failure(state, &error);
        }
    }

    /// Records the head of a response. Returns what watches its body, unless the head has failed.
    pub(super) fn record_head(
        self: &Rc<Self>,
        request: RequestWatch,
        state: &Rc<EndpointState>,
        status: StatusCode,
    ) -> Option<ResponseWatch> {
        match status {
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                if request.is_whole() {
                    let status = format_args!("status {}", status.as_u16());
                    self.record_response_failure(state, &status);
                }
                None
            }
            _ => Some(ResponseWatch {
                ejector: Rc::clone(self),
                state: Rc::clone(state),
                request,
            }),
        }
    }

    fn record_response_failure(&self, state: &EndpointState, error: &dyn fmt::Display) {
        let Some(outlier) = &self.settings().outlier else {
            return;
        };
        let now = self.ticker.now();
        let may_eject = || self.balancer.may_eject(state, FailureKind::Response, now);
        let ejection = &state.ejection;
        if let Some(failures) = ejection.record_response_failure(now, outlier, may_eject) {
            let error = format_args!("{failures} failed responses in a row, the last one: {error}");
            self.log(state, now, now + outlier.ejection_time, &error);
        }
    }

    fn log(&self, state: &EndpointState, now: Instant, until: Instant, error: &dyn fmt::Display) {
        let upstream = &self.settings().name;
        let target = &state.endpoint;
        if state.ejection.is_ejected(now) {
            state.stats.count_ejection(until);
            let ejected_for_seconds = until.duration_since(now).as_secs_f64();
            tracing::warn!(%upstream, %target, %error, ejected_for_seconds, "upstream endpoint ejected");
        } else {
            tracing::warn!(
                %upstream, %target, %error,
                "upstream endpoint not ejected: too many already are"
            );
        }
    }
}

impl RequestWatch {
    fn is_whole(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(|body| body.is_whole() && body.fault().is_none())
    }
}

impl ResponseWatch {
    /// The response is complete.
    pub(super) fn succeed(self) {
        self.state
            .ejection
            .record_response(self.ejector.ticker.now());
    }

    /// The response broke off.
    pub(super) fn fail(self, error: &(dyn Error + 'static)) {
        self.ejector.record_error(&self.request, &self.state, error);
    }
}

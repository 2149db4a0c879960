//! One exchange with an upstream, in as many attempts as it takes and may take.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response};
use http_body::Body;

use super::forwarded_body::ForwardedBody;
use super::request_body::{Progress, RequestBody};
use super::settings::{HostSent, Target};
use super::{Upstream, Way};
use crate::policy::decision::Permit;

/// Why there is no answer from the upstream. It is never the client's fault.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection.
    #[error("cannot connect to {target}: {source}")]
    Connect {
        /// Host and port.
        target: String,
        /// Why.
        source: io::Error,
    },
    /// No connection within `connect_timeout`.
    #[error("cannot connect to {target}: no connection within connect_timeout")]
    ConnectTimedOut {
        /// Host and port.
        target: String,
    },
    /// The connection ended, or what came was not HTTP, before a whole head of an answer.
    #[error("{target} broke off before an answer: {source}")]
    Broken {
        /// Host and port.
        target: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It went over to another protocol unasked, or the connection was gone when it did.
    #[error("{target} switched protocols unasked, or broke off when it did")]
    NotSwitched {
        /// Host and port.
        target: String,
    },
    /// Every target has failed of late, and none is to be tried again yet.
    #[error("every target of {upstream} has failed and is given a rest")]
    NoTarget {
        /// The upstream's name in gateway.toml.
        upstream: Arc<str>,
    },
    /// No head of an answer within `response_timeout`, or nothing taken of the request within `body_idle_timeout`.
    #[error("{target} did not answer within response_timeout, or take the request within body_idle_timeout")]
    TimedOut {
        /// Host and port.
        target: String,
    },
}

/// Which attempt it is.
#[derive(Clone, Copy)]
pub(super) struct Attempt {
    pub(super) is_first: bool,
    /// Whether there will be another one if this fails.
    pub(super) may_repeat: bool,
}

/// An attempt that came to nothing.
pub(super) struct Failed {
    pub(super) error: UpstreamError,
    /// The request, where sending it again cannot do twice what was asked once.
    pub(super) unspent: Option<Request<RequestBody>>,
}

impl Failed {
    pub(super) fn unsent(error: UpstreamError, request: Request<RequestBody>) -> Self {
        Self { error, unspent: Some(request) }
    }

    pub(super) fn for_good(error: UpstreamError) -> Self {
        Self { error, unspent: None }
    }
}

impl Upstream {
    /// Sends a permitted request on and waits for the head of the answer; both bodies stream.
    ///
    /// A request is sent again, at most `retries` times, only where that cannot do twice what was asked once: when
    /// nothing of it was sent, or when it is a bodiless GET, HEAD or OPTIONS and no byte of an answer came
    /// (RFC 9110 §9.2.2).
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought an answer.
    pub async fn send(
        &self,
        _permit: Permit,
        mut request: Request<RequestBody>,
    ) -> Result<Response<ForwardedBody>, UpstreamError> {
        let mut retries = self.settings.retries;
        loop {
            let Some(index) = self.next_target(self.ticker.now()) else {
                return Err(UpstreamError::NoTarget { upstream: Arc::clone(&self.settings.name) });
            };
            let attempt = Attempt { is_first: retries == self.settings.retries, may_repeat: retries > 0 };
            let outcome = match &self.ways[index] {
                Way::Http1(pool) => self.attempt_http1(index, pool, request, attempt).await,
                Way::Http2(streams) => self.attempt_http2(index, streams, request, attempt).await,
            };
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(Failed { error: _, unspent: Some(unspent) }) if retries > 0 => {
                    retries -= 1;
                    request = unspent;
                }
                Err(Failed { error, .. }) => return Err(error),
            }
        }
    }

    pub(super) fn noted<T>(&self, index: usize, connected: io::Result<T>) -> io::Result<T> {
        let (target, health) = (&self.settings.targets[index], &self.health[index]);
        match &connected {
            Ok(_) => health.succeeded(),
            Err(error) => {
                if let Some(rest) = health.failed(self.ticker.now()) {
                    tracing::warn!(upstream = %self.settings.name, %target, %error, ?rest, "target ejected");
                }
            }
        }
        connected
    }

    /// Waits for the head of an answer; none came `within` the time where there is none. `progress` is that of the
    /// request's body: a long upload is not a slow answer.
    pub(super) async fn answered<T>(
        &self,
        within: Duration,
        progress: Option<&Rc<Progress>>,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let bytes_sent = || progress.map_or(0, |progress| progress.bytes());
        let deadline = self.ticker.deadline();
        deadline.arm(within);
        let mut bytes_when_armed = bytes_sent();
        let mut answer = pin!(answer);
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            ready!(deadline.poll_passed(context));
            if bytes_sent() == bytes_when_armed {
                return Poll::Ready(None);
            }
            bytes_when_armed = bytes_sent();
            deadline.arm(within);
            deadline.poll_passed(context).map(|()| None)
        })
        .await
    }

    /// The `Host` that a target is to see, where it is not the client's.
    pub(super) fn host(&self, target: &Target) -> Option<HeaderValue> {
        match &self.settings.host {
            HostSent::Pass => None,
            HostSent::Target => Some(target.authority.clone()),
            HostSent::Fixed(name) => Some(name.clone()),
        }
    }
}

impl UpstreamError {
    /// The connection failed under the exchange; or the upstream took nothing of the request for `body_idle_timeout`.
    pub(super) fn broken(target: &Target, source: impl Error + Send + Sync + 'static) -> Self {
        let target = target.to_string();
        if is_time_out(&source) { Self::TimedOut { target } } else { Self::Broken { target, source: source.into() } }
    }
}

pub(super) fn no_connection(target: &Target, source: io::Error) -> UpstreamError {
    let target = target.to_string();
    if source.kind() == io::ErrorKind::TimedOut {
        UpstreamError::ConnectTimedOut { target }
    } else {
        UpstreamError::Connect { target, source }
    }
}

fn is_time_out(error: &dyn Error) -> bool {
    let mut cause = error.source();
    while let Some(deeper) = cause {
        if deeper.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = deeper.source();
    }
    false
}

// What may be sent twice has no body, so a copy of its head is a copy of it all.
pub(super) fn copy_of_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let repeatable = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !repeatable || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

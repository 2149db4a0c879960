//! What an exchange needs and how it fails, over either protocol.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Body;

use crate::clock::Ticker;
use crate::upstream::headers::AddedHeaders;
use crate::upstream::request_body::{RequestBody, RequestBodyProgress};

/// A request that is ready for an upstream.
///
/// It borrows its parts, because an exchange passes it through several futures and the head is
/// large.
pub struct UpstreamRequest<'a> {
    /// With rewritten headers: see
    /// [`headers::rewrite_request`](crate::upstream::headers::rewrite_request). Once a response
    /// begins, its header map may be the response's.
    pub head: &'a mut Parts,
    /// Taken when it is sent.
    pub body: &'a mut RequestBody,
    /// Where the head of the response goes; of use only if there is a response.
    pub response: &'a mut Response<()>,
    /// The headers that are sent after those of the request.
    pub added: &'a AddedHeaders,
    /// Replaces the response timeout of the upstream.
    pub response_timeout: Option<Duration>,
    /// Called with each interim response.
    pub on_interim: OnInterim<'a>,
}

/// Called with each interim response (1xx).
pub type OnInterim<'a> = &'a dyn Fn(StatusCode, &HeaderMap);

/// How long an exchange waits for the upstream.
#[derive(Clone, Copy)]
pub(in crate::upstream) struct ExchangeTimeouts<'a> {
    pub(in crate::upstream) ticker: &'a Rc<Ticker>,
    /// For the response head.
    pub(in crate::upstream) response: Duration,
    /// The same, of the upstream. By this a shared connection is judged, whatever a route waits for.
    pub(in crate::upstream) upstream_response: Duration,
    /// Between two reads of the response body, and between two writes of the request.
    pub(in crate::upstream) body_idle: Duration,
}

/// An exchange that brought no response.
#[derive(Debug)]
pub(in crate::upstream) struct ExchangeError {
    pub(in crate::upstream) cause: ExchangeFailure,
    /// Whether the request is whole, and sending it again cannot have an effect twice.
    pub(in crate::upstream) can_retry: bool,
    /// Whether the connection was found closed before anything was sent.
    pub(in crate::upstream) is_stale: bool,
    /// Whether it shows that the endpoint serves badly, if the client has sent its whole request.
    pub(in crate::upstream) blames_endpoint: bool,
}

/// Why an exchange brought no response.
#[derive(Debug)]
pub(in crate::upstream) enum ExchangeFailure {
    /// The connection failed, or what arrived was no valid response.
    Broken(Box<dyn Error + Send + Sync>),
    /// A 101 that does not switch to a requested protocol.
    InvalidUpgrade,
    /// No response head in time, or the upstream read nothing of the request in time.
    TimedOut,
}

impl UpstreamRequest<'_> {
    /// Whether the whole request may be sent twice: it has no body, and its method is safe
    /// (RFC 9110 §9.2.1).
    pub(super) fn is_repeatable(&self) -> bool {
        matches!(
            self.head.method,
            Method::GET | Method::HEAD | Method::OPTIONS
        ) && self.body.is_end_stream()
    }
}

impl ExchangeTimeouts<'_> {
    /// Waits for `response`; `None` when there is none `within` the time.
    ///
    /// A long upload is not a slow response: if bytes of the request body have arrived when the time
    /// is over, it starts again, where `progress` is given. So it is over after at most twice `within`.
    pub(super) async fn wait_for_response<T>(
        &self,
        within: Duration,
        progress: Option<&Rc<RequestBodyProgress>>,
        response: impl Future<Output = T>,
    ) -> Option<T> {
        let bytes_arrived = || progress.map_or(0, |progress| progress.bytes());
        let deadline = self.ticker.deadline();
        deadline.arm(within);
        let mut bytes_when_armed = bytes_arrived();
        let mut response = pin!(response);
        poll_fn(|context| {
            if let Poll::Ready(response) = response.as_mut().poll(context) {
                return Poll::Ready(Some(response));
            }
            ready!(deadline.poll_passed(context));
            if bytes_arrived() == bytes_when_armed {
                return Poll::Ready(None);
            }
            bytes_when_armed = bytes_arrived();
            deadline.arm(within);
            deadline.poll_passed(context).map(|()| None)
        })
        .await
    }
}

impl ExchangeError {
    /// A failure after which the request must not be sent again.
    pub(in crate::upstream) fn no_retry(cause: ExchangeFailure) -> Self {
        let blames_endpoint = !matches!(cause, ExchangeFailure::InvalidUpgrade);
        Self {
            cause,
            can_retry: false,
            is_stale: false,
            blames_endpoint,
        }
    }
}

impl ExchangeFailure {
    pub(super) fn from_error(error: impl Error + Send + Sync + 'static) -> Self {
        if is_timeout(&error) {
            Self::TimedOut
        } else {
            Self::Broken(error.into())
        }
    }
}

fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut error = Some(error);
    while let Some(cause) = error {
        if cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        {
            return true;
        }
        error = cause.source();
    }
    false
}

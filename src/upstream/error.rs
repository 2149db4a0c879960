//! One exchange with an upstream, in as many attempts as it takes and may take.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::Upstream;
use super::endpoint::Endpoint;
use super::endpoint::state::{ConnectionPool, EndpointState, InFlight};
use super::forwarded_body::ForwardedBody;
use super::headers::AddedHeaders;
use super::local_error::{LocalError, local_error};
use super::request_body::{RequestBody, RequestBodyProgress};
use super::settings::HostHeader;
use crate::clock;
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
    /// No connection, for lack of something of our own: a descriptor, a port, memory.
    #[error("cannot open a socket to {target}: {source}")]
    LocalSocket {
        /// Host and port.
        target: String,
        /// Why, and what to do about it.
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
    /// It answered 101 over HTTP/2, or without agreeing to a protocol that was asked for, or before it had the whole
    /// request.
    #[error(
        "expected {target} to switch to one of the protocols that were asked for, over HTTP/1.1 and after the whole \
         request, but found another 101"
    )]
    NotSwitched {
        /// Host and port.
        target: String,
    },
    /// Every target has failed of late and is not to be tried again yet, or is not well by active checks.
    #[error("every target of {upstream} has failed and is given a rest, or is not well")]
    NoTarget {
        /// The upstream's name in gateway.toml.
        upstream: Arc<str>,
    },
    /// No head of an answer within `response_timeout`, or nothing taken of the request within `body_idle_timeout`.
    #[error(
        "{target} did not answer within response_timeout, or take the request within body_idle_timeout"
    )]
    TimedOut {
        /// Host and port.
        target: String,
    },
}

/// A request, ready for its upstream.
pub struct UpstreamRequest<'a> {
    /// Its headers are an upstream's: see [`headers::to_upstream`](super::headers::rewrite_request).
    pub request: Request<RequestBody>,
    /// What goes out behind them.
    pub added: &'a AddedHeaders,
    /// Is told of interim answers.
    pub on_interim: OnInterim<'a>,
}

/// Is told of interim answers (1xx).
pub type OnInterim<'a> = &'a dyn Fn(StatusCode, &HeaderMap);

/// How many other addresses of a name are tried beside the retries when one refuses.
const MAX_OTHER_ADDRESSES: u32 = 3;

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
    /// Whether the request is still whole, and sending it again cannot do twice what was asked once.
    pub(super) is_unspent: bool,
    /// Whether it was on a connection that had been idle. Such a one may close at any time, and has brought an answer
    /// before: trying once more is not paid from the budget.
    pub(super) was_idle: bool,
}

/// The attempts at one exchange so far.
pub(super) struct Attempts {
    retries: u32,
    /// Where they failed. No allocation before something has.
    failed: Vec<Rc<EndpointState>>,
    /// The next one is to another address of this target, as a part of the last attempt.
    same_target: Option<usize>,
    /// How many more of those there may be.
    further_addresses: u32,
}

impl Failed {
    pub(super) fn unsent(error: UpstreamError) -> Self {
        Self {
            error,
            is_unspent: true,
            was_idle: false,
        }
    }

    pub(super) fn for_good(error: UpstreamError) -> Self {
        Self {
            error,
            is_unspent: false,
            was_idle: false,
        }
    }
}

impl Upstream {
    /// Sends a permitted request on and waits for the head of the answer; both bodies stream.
    ///
    /// A request is sent again, at most `retries` times and within the budget of the upstream, only where that cannot do
    /// twice what was asked once: when nothing of it was sent, or when it is a bodiless GET, HEAD or OPTIONS and no byte of
    /// an answer came (RFC 9110 §9.2.2).
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought an answer.
    pub async fn send(
        &self,
        _permit: Permit,
        mut outgoing: UpstreamRequest<'_>,
    ) -> Result<Response<ForwardedBody>, UpstreamError> {
        let began = clock::now();
        let mut attempts = self.attempts();
        loop {
            let in_flight = self.next(&attempts)?;
            let peer = Rc::clone(&in_flight);
            let attempt = Attempt {
                is_first: attempts.failed.is_empty(),
                may_repeat: attempts.retries > 0,
            };
            let outcome = match &peer.way {
                ConnectionPool::Http1(_) => {
                    self.attempt_http1(in_flight, &mut outgoing, attempt).await
                }
                ConnectionPool::Http2(streams) => {
                    self.attempt_http2(in_flight, streams, &mut outgoing, attempt)
                        .await
                }
            };
            match outcome {
                Ok(answer) => {
                    self.exchanges.durations.count(clock::since(began));
                    return Ok(answer);
                }
                Err(Failed {
                    error,
                    is_unspent,
                    was_idle,
                }) => {
                    if !(is_unspent && self.may_go_on(&mut attempts, &peer, &error, was_idle)) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Begins an exchange.
    pub(super) fn attempts(&self) -> Attempts {
        self.budget.pay_in();
        Attempts {
            retries: self.settings.retries,
            failed: Vec::new(),
            same_target: None,
            further_addresses: MAX_OTHER_ADDRESSES,
        }
    }

    /// Whom to try next.
    pub(super) fn next(&self, attempts: &Attempts) -> Result<InFlight, UpstreamError> {
        let chosen = self.choose(&attempts.failed, attempts.same_target);
        chosen.ok_or_else(|| UpstreamError::NoTarget {
            upstream: Arc::clone(&self.settings.name),
        })
    }

    /// Whether there is to be another attempt after this failure of one that may be repeated.
    pub(super) fn may_go_on(
        &self,
        attempts: &mut Attempts,
        peer: &Rc<EndpointState>,
        error: &UpstreamError,
        was_idle: bool,
    ) -> bool {
        attempts.failed.push(Rc::clone(peer));
        // One address that refuses (IPv6 at a server that listens on IPv4 only, say) is not yet a target that does. Who
        // waited for a time-out has waited long enough.
        let target = peer.endpoint.target;
        let refused = matches!(
            error,
            UpstreamError::Connect { .. } | UpstreamError::LocalSocket { .. }
        );
        if let UpstreamError::LocalSocket { source, .. } = error
            && !local_error(source).is_some_and(LocalError::is_of_ports)
        {
            // What is missing here is missing whichever endpoint is tried.
            return false;
        }
        if refused
            && attempts.further_addresses > 0
            && self.has_another_address(target, &attempts.failed)
        {
            attempts.same_target = Some(target);
            attempts.further_addresses -= 1;
            self.exchanges.retries.count();
            return true;
        }
        attempts.same_target = None;
        if attempts.retries == 0 || !(was_idle || self.budget.spend(self.ticker.now())) {
            return false;
        }
        attempts.retries -= 1;
        self.exchanges.retries.count();
        true
    }

    pub(super) fn noted<T>(&self, peer: &EndpointState, connected: io::Result<T>) -> io::Result<T> {
        match &connected {
            Ok(_) => {
                if peer.health.succeeded() {
                    peer.traffic.readmitted();
                }
            }
            Err(error) => {
                let (now, target) = (self.ticker.now(), &peer.endpoint);
                if let Some(error) = local_error(error) {
                    error.log(&self.settings.name, target, now);
                } else if let Some(rest) = peer.health.failed(now, || self.may_eject(now)) {
                    let upstream = &self.settings.name;
                    if peer.health.is_ejected(now) {
                        peer.traffic.ejected(now + rest);
                        tracing::warn!(%upstream, %target, %error, ?rest, "target ejected");
                    } else {
                        tracing::warn!(%upstream, %target, %error, ?rest, "target not ejected: too many are already");
                    }
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
        progress: Option<&Rc<RequestBodyProgress>>,
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
    pub(super) fn host(&self, endpoint: &Endpoint) -> Option<HeaderValue> {
        match &self.settings.host {
            HostHeader::Pass => None,
            HostHeader::Target => Some(self.settings.targets[endpoint.target].authority.clone()),
            HostHeader::Fixed(name) => Some(name.clone()),
        }
    }
}

impl UpstreamError {
    /// The connection failed under the exchange; or the upstream took nothing of the request for `body_idle_timeout`.
    pub(super) fn broken(endpoint: &Endpoint, source: impl Error + Send + Sync + 'static) -> Self {
        let target = endpoint.to_string();
        if is_time_out(&source) {
            Self::TimedOut { target }
        } else {
            Self::Broken {
                target,
                source: source.into(),
            }
        }
    }
}

pub(super) fn no_connection(endpoint: &Endpoint, source: io::Error) -> UpstreamError {
    let target = endpoint.to_string();
    if local_error(&source).is_some() {
        UpstreamError::LocalSocket { target, source }
    } else if source.kind() == io::ErrorKind::TimedOut {
        UpstreamError::ConnectTimedOut { target }
    } else {
        UpstreamError::Connect { target, source }
    }
}

fn is_time_out(error: &(dyn Error + 'static)) -> bool {
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

/// Whether it may be sent twice where it has no body (RFC 9110 §9.2.1).
pub(super) fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

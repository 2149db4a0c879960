//! One exchange with an upstream.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;
use hyper::client::conn::TrySendError;

use super::Upstream;
use super::connect::{FarEnd, connect, connect_to_switch};
use super::forwarded_body::ForwardedBody;
use super::pool::{Connection, Lease};
use super::request_body::RequestBody;
use super::settings::{HostSent, Target};
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
        source: hyper::Error,
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

/// What an upstream says to a request for another protocol.
pub enum Switching {
    /// It goes on in that protocol.
    Switched(Response<()>, FarEnd),
    /// It answers, and does not.
    Answered(Response<ForwardedBody>),
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
            let now = self.ticker.now();
            let Some(index) = self.next_target(now) else {
                return Err(UpstreamError::NoTarget { upstream: Arc::clone(&self.settings.name) });
            };
            let (target, pool) = (&self.settings.targets[index], &self.pools[index]);
            // After a failure only a new connection will do: the idle ones may all be as dead as the last.
            let first_attempt = retries == self.settings.retries;
            let idle = if first_attempt { pool.take(now) } else { None };
            let mut connection = match idle {
                Some(connection) => connection,
                None => match self.connect_to(index).await {
                    Ok(connection) => connection,
                    Err(_) if retries > 0 => {
                        retries -= 1;
                        continue;
                    }
                    Err(source) => return Err(no_connection(target, source)),
                },
            };
            self.set_host(&mut request, target);

            let spare = if retries > 0 { copy_of_repeatable(&request) } else { None };
            let bytes_before = connection.pace.bytes_read();
            match self.exchange(&mut connection, request).await {
                // hyper would wait for what the client has not asked for.
                Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(UpstreamError::NotSwitched { target: target.to_string() });
                }
                Ok(response) => {
                    let lease = Lease { connection, pool: Rc::clone(pool), ticker: Rc::clone(&self.ticker) };
                    let idle_timeout = self.settings.body_idle_timeout;
                    return Ok(response.map(|incoming| ForwardedBody::new(incoming, lease, idle_timeout)));
                }
                Err(Failure::TimedOut) => return Err(UpstreamError::TimedOut { target: target.to_string() }),
                Err(Failure::Broken(mut failure)) => {
                    let unanswered = connection.pace.bytes_read() == bytes_before;
                    match failure.take_message().or(spare.filter(|_| unanswered)) {
                        Some(unspent) if retries > 0 => {
                            retries -= 1;
                            request = unspent;
                        }
                        Some(_) | None => return Err(broken(target, failure.into_error())),
                    }
                }
            }
        }
    }

    /// Sends a permitted request that asks for another protocol (RFC 9110 §7.8), on a connection of its own. It is sent
    /// again, to another target, only where nobody could be connected to.
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought an answer.
    pub async fn switch(&self, _permit: Permit, mut request: Request<RequestBody>) -> Result<Switching, UpstreamError> {
        let mut retries = self.settings.retries;
        let (index, (mut connection, switched)) = loop {
            let Some(index) = self.next_target(self.ticker.now()) else {
                return Err(UpstreamError::NoTarget { upstream: Arc::clone(&self.settings.name) });
            };
            let target = &self.settings.targets[index];
            let connected = connect_to_switch(&self.settings, target, &self.ticker).await;
            match self.noted(index, connected) {
                Ok(connected) => break (index, connected),
                Err(_) if retries > 0 => retries -= 1,
                Err(source) => return Err(no_connection(target, source)),
            }
        };
        let target = &self.settings.targets[index];
        self.set_host(&mut request, target);
        let answer = match self.exchange(&mut connection, request).await {
            Ok(answer) => answer,
            Err(Failure::TimedOut) => return Err(UpstreamError::TimedOut { target: target.to_string() }),
            Err(Failure::Broken(failure)) => return Err(broken(target, failure.into_error())),
        };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let lease = Lease { connection, pool: Rc::clone(&self.pools[index]), ticker: Rc::clone(&self.ticker) };
            let idle_timeout = self.settings.body_idle_timeout;
            return Ok(Switching::Answered(answer.map(|body| ForwardedBody::new(body, lease, idle_timeout))));
        }
        let (head, _) = answer.into_parts();
        drop(connection);
        match switched.await {
            Ok(far_end) => Ok(Switching::Switched(Response::from_parts(head, ()), far_end)),
            // The connection ended with its answer.
            Err(_) => Err(UpstreamError::NotSwitched { target: target.to_string() }),
        }
    }

    async fn connect_to(&self, index: usize) -> io::Result<Connection> {
        let connected = connect(&self.settings, &self.settings.targets[index], &self.ticker).await;
        self.noted(index, connected)
    }

    fn noted<T>(&self, index: usize, connected: io::Result<T>) -> io::Result<T> {
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

    async fn exchange(
        &self,
        connection: &mut Connection,
        request: Request<RequestBody>,
    ) -> Result<Response<hyper::body::Incoming>, Failure> {
        let progress = request.body().progress();
        let bytes_sent = || progress.as_ref().map_or(0, |progress| progress.bytes());
        let deadline = self.ticker.deadline();
        deadline.arm(self.settings.response_timeout);
        let mut bytes_when_armed = bytes_sent();
        let mut response = pin!(connection.sender.try_send_request(request));
        poll_fn(|context| {
            if let Poll::Ready(answered) = response.as_mut().poll(context) {
                return Poll::Ready(answered.map_err(|error| Failure::Broken(Box::new(error))));
            }
            ready!(deadline.poll_passed(context));
            if bytes_sent() == bytes_when_armed {
                return Poll::Ready(Err(Failure::TimedOut));
            }
            // A long upload is not a slow answer.
            bytes_when_armed = bytes_sent();
            deadline.arm(self.settings.response_timeout);
            deadline.poll_passed(context).map(|()| Err(Failure::TimedOut))
        })
        .await
    }

    fn set_host(&self, request: &mut Request<RequestBody>, target: &Target) {
        let host = match &self.settings.host {
            HostSent::Pass => return,
            HostSent::Target => target.authority.clone(),
            HostSent::Fixed(name) => name.clone(),
        };
        request.headers_mut().insert(header::HOST, host);
    }
}

enum Failure {
    TimedOut,
    /// Boxed: it may hold the whole request.
    Broken(Box<TrySendError<Request<RequestBody>>>),
}

fn no_connection(target: &Target, source: io::Error) -> UpstreamError {
    let target = target.to_string();
    if source.kind() == io::ErrorKind::TimedOut {
        UpstreamError::ConnectTimedOut { target }
    } else {
        UpstreamError::Connect { target, source }
    }
}

fn broken(target: &Target, source: hyper::Error) -> UpstreamError {
    let target = target.to_string();
    if is_time_out(&source) { UpstreamError::TimedOut { target } } else { UpstreamError::Broken { target, source } }
}

// It took nothing of the request for `body_idle_timeout`.
fn is_time_out(error: &hyper::Error) -> bool {
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
fn copy_of_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
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

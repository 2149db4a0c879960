//! One attempt at an exchange over HTTP/1.1.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Request, Response, StatusCode, header};

use super::connect::{FarEnd, connect, connect_to_switch};
use super::forwarded_body::ForwardedBody;
use super::lease::Lease;
use super::pool::Pool;
use super::request_body::RequestBody;
use super::send::{Attempt, Failed, UpstreamError, copy_of_repeatable, no_connection};
use super::{Upstream, Way};
use crate::net::Arriving;
use crate::policy::decision::Permit;

/// What an upstream says to a request for another protocol.
pub enum Switching {
    /// It goes on in that protocol.
    Switched(Response<()>, FarEnd),
    /// It answers, and does not.
    Answered(Response<ForwardedBody>),
}

impl Upstream {
    /// Sends the request on a connection of its own for as long as the exchange takes. After a failure only a new one
    /// will do: the idle ones may all be as dead as the last.
    pub(super) async fn attempt_http1(
        &self,
        index: usize,
        pool: &Rc<Pool>,
        mut request: Request<RequestBody>,
        Attempt { is_first, may_repeat }: Attempt,
    ) -> Result<Response<ForwardedBody>, Failed> {
        let target = &self.settings.targets[index];
        let idle = if is_first { pool.take(self.ticker.now()) } else { None };
        let mut connection = match idle {
            Some(connection) => connection,
            None => match self.noted(index, connect(&self.settings, target, &self.ticker).await) {
                Ok(connection) => connection,
                Err(source) => return Err(Failed::unsent(no_connection(target, source), request)),
            },
        };
        set_host(&mut request, self.host(target));
        let progress = request.body().progress();
        let spare = if may_repeat { copy_of_repeatable(&request) } else { None };
        let bytes_before = connection.pace.bytes_read();
        match self
            .answered(self.settings.response_timeout, progress.as_ref(), connection.sender.try_send_request(request))
            .await
        {
            // hyper would wait for what the client has not asked for.
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failed::for_good(UpstreamError::NotSwitched { target: target.to_string() }))
            }
            Some(Ok(response)) => {
                let lease = Lease::of_connection(connection, pool, &self.ticker);
                let idle_timeout = self.settings.body_idle_timeout;
                let forwarded = |body| ForwardedBody::new(Arriving::Http1(body), lease, progress, idle_timeout);
                Ok(response.map(forwarded))
            }
            Some(Err(mut failure)) => {
                let unanswered = connection.pace.bytes_read() == bytes_before;
                let unspent = failure.take_message().or(spare.filter(|_| unanswered));
                Err(Failed { error: UpstreamError::broken(target, failure.into_error()), unspent })
            }
            None => Err(Failed::for_good(UpstreamError::TimedOut { target: target.to_string() })),
        }
    }

    /// Sends a permitted request that asks for another protocol (RFC 9110 §7.8), on a connection of its own. It is sent
    /// again, to another target, only where nobody could be connected to.
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought an answer.
    pub async fn switch(&self, _permit: Permit, mut request: Request<RequestBody>) -> Result<Switching, UpstreamError> {
        let mut retries = self.settings.retries;
        let (target, pool, (mut connection, switched)) = loop {
            let Some(index) = self.next_target(self.ticker.now()) else {
                return Err(UpstreamError::NoTarget { upstream: Arc::clone(&self.settings.name) });
            };
            let target = &self.settings.targets[index];
            let Way::Http1(pool) = &self.ways[index] else {
                return Err(UpstreamError::NotSwitched { target: target.to_string() });
            };
            let connected = connect_to_switch(&self.settings, target, &self.ticker).await;
            match self.noted(index, connected) {
                Ok(connected) => break (target, pool, connected),
                Err(_) if retries > 0 => retries -= 1,
                Err(source) => return Err(no_connection(target, source)),
            }
        };
        set_host(&mut request, self.host(target));
        let progress = request.body().progress();
        let answer = match self
            .answered(self.settings.response_timeout, progress.as_ref(), connection.sender.try_send_request(request))
            .await
        {
            Some(Ok(answer)) => answer,
            Some(Err(failure)) => return Err(UpstreamError::broken(target, failure.into_error())),
            None => return Err(UpstreamError::TimedOut { target: target.to_string() }),
        };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let lease = Lease::of_connection(connection, pool, &self.ticker);
            let idle_timeout = self.settings.body_idle_timeout;
            let forwarded = |body| ForwardedBody::new(Arriving::Http1(body), lease, progress, idle_timeout);
            return Ok(Switching::Answered(answer.map(forwarded)));
        }
        let (head, _) = answer.into_parts();
        drop(connection);
        match switched.await {
            Ok(far_end) => Ok(Switching::Switched(Response::from_parts(head, ()), far_end)),
            // The connection ended with its answer.
            Err(_) => Err(UpstreamError::NotSwitched { target: target.to_string() }),
        }
    }
}

fn set_host(request: &mut Request<RequestBody>, host: Option<HeaderValue>) {
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
}

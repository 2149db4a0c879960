//! One attempt at an exchange over HTTP/1.1.

use std::time::Instant;

use http::{HeaderValue, Request, Response, StatusCode, header};

use super::Upstream;
use super::connect::{FarEnd, connect, connect_to_switch};
use super::forwarded_body::ForwardedBody;
use super::lease::Lease;
use super::peer::{UnderWay, Way};
use super::pool::Pool;
use super::request_body::RequestBody;
use super::send::{Attempt, Failed, UpstreamError, copy_of_repeatable, no_connection};
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
        under_way: UnderWay,
        mut request: Request<RequestBody>,
        Attempt { is_first, may_repeat }: Attempt,
    ) -> Result<Response<ForwardedBody>, Failed> {
        let idle = if is_first { idle_of(&under_way).and_then(|pool| pool.take(self.ticker.now())) } else { None };
        let was_idle = idle.is_some();
        let mut connection = match idle {
            Some(connection) => connection,
            None => match self.noted(&under_way, connect(&self.settings, &under_way, &self.ticker).await) {
                Ok(connection) => connection,
                Err(source) => return Err(Failed::unsent(no_connection(&under_way.endpoint, source), request)),
            },
        };
        set_host(&mut request, self.host(&under_way.endpoint));
        let progress = request.body().progress();
        let spare = if may_repeat { copy_of_repeatable(&request) } else { None };
        let bytes_before = connection.pace.bytes_read();
        match self
            .answered(self.settings.response_timeout, progress.as_ref(), connection.sender.try_send_request(request))
            .await
        {
            // hyper would wait for what the client has not asked for.
            Some(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failed::for_good(UpstreamError::NotSwitched { target: under_way.endpoint.to_string() }))
            }
            Some(Ok(response)) => {
                let lease = Lease::of_connection(connection, under_way, &self.ticker);
                let idle_timeout = self.settings.body_idle_timeout;
                let forwarded = |body| ForwardedBody::new(Arriving::Http1(body), lease, progress, idle_timeout);
                Ok(response.map(forwarded))
            }
            Some(Err(mut failure)) => {
                let unanswered = connection.pace.bytes_read() == bytes_before;
                let unspent = failure.take_message().or(spare.filter(|_| unanswered));
                let error = UpstreamError::broken(&under_way.endpoint, failure.into_error());
                Err(Failed { error, unspent, was_idle })
            }
            None => Err(Failed::for_good(UpstreamError::TimedOut { target: under_way.endpoint.to_string() })),
        }
    }

    /// Sends a permitted request that asks for another protocol (RFC 9110 §7.8), on a connection of its own. It is sent
    /// again, to another target, only where nobody could be connected to.
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought an answer.
    pub async fn switch(&self, _permit: Permit, mut request: Request<RequestBody>) -> Result<Switching, UpstreamError> {
        let began = Instant::now();
        let mut attempts = self.attempts();
        let (under_way, (mut connection, switched)) = loop {
            let under_way = self.next(&attempts)?;
            let connected = connect_to_switch(&self.settings, &under_way, &self.ticker).await;
            match self.noted(&under_way, connected) {
                Ok(connected) => break (under_way, connected),
                Err(source) => {
                    let error = no_connection(&under_way.endpoint, source);
                    if !self.may_go_on(&mut attempts, &under_way, &error, false) {
                        return Err(error);
                    }
                }
            }
        };
        set_host(&mut request, self.host(&under_way.endpoint));
        let progress = request.body().progress();
        let answer = match self
            .answered(self.settings.response_timeout, progress.as_ref(), connection.sender.try_send_request(request))
            .await
        {
            Some(Ok(answer)) => {
                self.exchanges.durations.count(began.elapsed());
                answer
            }
            Some(Err(failure)) => return Err(UpstreamError::broken(&under_way.endpoint, failure.into_error())),
            None => return Err(UpstreamError::TimedOut { target: under_way.endpoint.to_string() }),
        };
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let lease = Lease::of_connection(connection, under_way, &self.ticker);
            let idle_timeout = self.settings.body_idle_timeout;
            let forwarded = |body| ForwardedBody::new(Arriving::Http1(body), lease, progress, idle_timeout);
            return Ok(Switching::Answered(answer.map(forwarded)));
        }
        let (head, _) = answer.into_parts();
        drop(connection);
        match switched.await {
            Ok(far_end) => {
                let far_end = FarEnd { _held: (Some(under_way), far_end._held.1), ..far_end };
                Ok(Switching::Switched(Response::from_parts(head, ()), far_end))
            }
            // The connection ended with its answer.
            Err(_) => Err(UpstreamError::NotSwitched { target: under_way.endpoint.to_string() }),
        }
    }
}

fn idle_of(under_way: &UnderWay) -> Option<&Pool> {
    match &under_way.way {
        Way::Http1(pool) => Some(pool),
        Way::Http2(_) => None,
    }
}

fn set_host(request: &mut Request<RequestBody>, host: Option<HeaderValue>) {
    if let Some(host) = host {
        request.headers_mut().insert(header::HOST, host);
    }
}

//! One attempt at an exchange over HTTP/1.1.
//!
//! The request is written, and its answer read, by the task that serves the client: no other task has to be woken for an
//! exchange, nothing goes through a channel, and a request that was not sent is still at hand. Only what is left of a
//! request whose answer has begun is sent by a task of its own.
//!
//! - `wire`: a connection; `head`, `chunks`: what is spoken on it; `sending`, `receiving`: the two halves of an exchange.

mod chunked;
mod connection;
mod fields;
mod request_head;
mod request_writer;
mod response_head;
mod response_parser;
mod response_reader;

use std::future::poll_fn;
use std::rc::Rc;

use http::{Response, StatusCode, header};
use http_body::Body;

use crate::clock;
use crate::policy::decision::Permit;
use crate::upstream::Upstream;
use crate::upstream::connect::{UpgradedConnection, connect, paced};
use crate::upstream::endpoint::state::{ConnectionPool, InFlight};
use crate::upstream::forwarded_body::{ForwardedBody, Incoming};
use crate::upstream::headers::is_accepted_upgrade;
use crate::upstream::request_body::RequestBodyProgress;
use crate::upstream::send::{
    Attempt, Failed, UpstreamError, UpstreamRequest, is_repeatable, no_connection,
};

pub(in crate::upstream) use connection::{Http1Connection, X};
pub use response_parser::{ResponseParser, ResponsePart};
pub(in crate::upstream) use response_reader::ResponseReader;

use request_writer::RequestWriter;
use response_reader::Exchange;

/// What an upstream says to a request for another protocol.
pub enum UpgradeResponse {
    /// It goes on in that protocol.
    Upgraded(Response<()>, UpgradedConnection),
    /// It answers, and does not.
    Declined(Response<ForwardedBody>),
}

impl Upstream {
    /// Sends the request on a connection of its own for as long as the exchange takes. After a failure only a new one
    /// will do: the idle ones may all be as dead as the last.
    pub(in crate::upstream) async fn attempt_http1(
        &self,
        in_flight: InFlight,
        outgoing: &mut UpstreamRequest<'_>,
        Attempt { is_first, .. }: Attempt,
    ) -> Result<Response<ForwardedBody>, Failed> {
        let idle = match &in_flight.way {
            ConnectionPool::Http1(pool) if is_first => pool.take(self.ticker.now()),
            ConnectionPool::Http1(_) | ConnectionPool::Http2(_) => None,
        };
        let was_idle = idle.is_some();
        let wire = match idle {
            Some(wire) => wire,
            None => match self.noted(&in_flight, connect(&self.settings, &in_flight).await) {
                Ok(wire) => wire,
                Err(source) => {
                    return Err(Failed::unsent(no_connection(&in_flight.endpoint, source)));
                }
            },
        };
        let progress = outgoing.request.body().progress();
        match self.exchange(&in_flight, wire, outgoing).await {
            // The client would not understand it: it has not asked.
            Ok((answer, _)) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Failed::for_good(UpstreamError::NotSwitched {
                    target: in_flight.endpoint.to_string(),
                }))
            }
            Ok((answer, receiving)) => Ok(self.forwarded(in_flight, answer, receiving, progress)),
            Err(failed) => Err(Failed { was_idle, ..failed }),
        }
    }

    /// Sends a permitted request that asks for another protocol (RFC 9110 §7.8), on a connection of its own. It is sent
    /// again, to another target, only where nobody could be connected to. A 101 that does not agree to what was asked for
    /// is a broken response, and ends its connection.
    ///
    /// # Errors
    /// [`UpstreamError`] when no attempt brought an answer.
    pub async fn upgrade(
        &self,
        _permit: Permit,
        mut outgoing: UpstreamRequest<'_>,
    ) -> Result<UpgradeResponse, UpstreamError> {
        let began = clock::now();
        let mut attempts = self.attempts();
        let (in_flight, wire) = loop {
            let in_flight = self.next(&attempts)?;
            match self.noted(&in_flight, connect(&self.settings, &in_flight).await) {
                Ok(wire) => break (in_flight, wire),
                Err(source) => {
                    let error = no_connection(&in_flight.endpoint, source);
                    if !self.may_go_on(&mut attempts, &in_flight, &error, false) {
                        return Err(error);
                    }
                }
            }
        };
        let answered = self.exchange(&in_flight, wire, &mut outgoing).await;
        let (answer, receiving) = answered.map_err(|failed| failed.error)?;
        self.exchanges.durations.count(clock::since(began));
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(UpgradeResponse::Declined(
                self.forwarded(in_flight, answer, receiving, None),
            ));
        }
        let is_accepted_upgrade =
            is_accepted_upgrade(outgoing.request.headers().get(header::UPGRADE), &answer);
        // What it has of the request must be all of it: what follows is not ours to read.
        let Some((stream, early, counted)) = receiving.into_parts().filter(|_| is_accepted_upgrade)
        else {
            return Err(UpstreamError::NotSwitched {
                target: in_flight.endpoint.to_string(),
            });
        };
        let (stream, _) = paced(stream, &self.settings, &self.ticker);
        Ok(UpgradeResponse::Upgraded(
            answer,
            UpgradedConnection {
                stream,
                early,
                _held: (in_flight, counted),
            },
        ))
    }

    async fn exchange(
        &self,
        in_flight: &InFlight,
        mut wire: Http1Connection,
        outgoing: &mut UpstreamRequest<'_>,
    ) -> Result<(Response<()>, ResponseReader), Failed> {
        let body = outgoing.request.body();
        let (progress, is_bodiless) = (body.progress(), body.is_end_stream());
        let host = self.host(&in_flight.endpoint);
        let idle_timeout = self.settings.body_idle_timeout;
        let sending = RequestWriter::new(
            wire.take_head(),
            outgoing,
            host.as_ref(),
            &self.ticker,
            idle_timeout,
        );
        let mut exchange = Exchange::new(wire, sending);
        let (method, on_interim) = (outgoing.request.method(), outgoing.on_interim);
        let head = poll_fn(|context| exchange.poll_head(method, on_interim, context));
        let error = match self
            .answered(self.settings.response_timeout, progress.as_ref(), head)
            .await
        {
            Some(Ok(head)) => return Ok(exchange.into_receiving(head)),
            Some(Err(source)) => UpstreamError::broken(&in_flight.endpoint, source),
            None => {
                return Err(Failed::for_good(UpstreamError::TimedOut {
                    target: in_flight.endpoint.to_string(),
                }));
            }
        };
        let is_harmless =
            is_bodiless && is_repeatable(outgoing.request.method()) && !exchange.is_answered;
        let is_unspent = is_harmless || !exchange.sending.has_begun();
        *outgoing.request.body_mut() = exchange.sending.into_body();
        Err(Failed {
            error,
            is_unspent,
            was_idle: false,
        })
    }

    fn forwarded(
        &self,
        in_flight: InFlight,
        answer: Response<()>,
        receiving: ResponseReader,
        progress: Option<Rc<RequestBodyProgress>>,
    ) -> Response<ForwardedBody> {
        let (incoming, idle_timeout) = (
            Incoming::Connection(receiving),
            self.settings.body_idle_timeout,
        );
        answer
            .map(|()| ForwardedBody::new(incoming, in_flight, progress, &self.ticker, idle_timeout))
    }
}

//! One request and its response, on an HTTP/1.1 connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Method, Response, StatusCode};

use super::connection::Http1Connection;
use super::request_writer::{RequestWriter, WriteError};
use super::response_head::{ResponseFraming, closed_early, read_head_into};
use super::response_reader::ResponseReader;
use crate::transport::Stream;
use crate::upstream::connection::exchange::{
    ExchangeError, ExchangeFailure, ExchangeTimeouts, UpstreamRequest,
};
use crate::upstream::connection::upload::{Upload, UploadOutcome};

/// Sends a request and waits for the response head. `host` replaces the client's `Host`. Returns
/// the reader of the response body.
///
/// A body of which nothing was sent is put back into the request when the exchange fails.
pub(in crate::upstream) async fn exchange(
    mut connection: Http1Connection,
    outgoing: &mut UpstreamRequest<'_>,
    host: Option<&HeaderValue>,
    timeouts: ExchangeTimeouts<'_>,
) -> Result<ResponseReader, ExchangeError> {
    let progress = outgoing.body.progress();
    let is_repeatable = outgoing.is_repeatable();
    let head_buffer = connection.take_head_buffer();
    let writer = RequestWriter::new(
        head_buffer,
        outgoing,
        host,
        timeouts.ticker,
        timeouts.body_idle,
    );
    let mut exchange = PendingExchange::new(connection, writer);
    let head = poll_fn(|context| exchange.poll_head(outgoing, context));
    let cause = match timeouts
        .wait_for_response(timeouts.response, progress.as_ref(), head)
        .await
    {
        Some(Ok((framing, keep_alive))) => return Ok(exchange.into_reader(framing, keep_alive)),
        Some(Err(error)) => ExchangeFailure::from_error(error),
        None => return Err(ExchangeError::no_retry(ExchangeFailure::TimedOut)),
    };
    let can_retry = is_repeatable && !exchange.has_response_begun || !exchange.writer.has_begun();
    *outgoing.body = exchange.writer.into_body();
    Err(ExchangeError {
        cause,
        can_retry,
        is_stale: false,
        blames_endpoint: true,
    })
}

/// An exchange up to its response head.
struct PendingExchange {
    connection: Http1Connection,
    writer: RequestWriter,
    /// Whether a byte of a response arrived.
    has_response_begun: bool,
    /// Why the request was not sent to its end. The response may have come before.
    write_error: Option<io::Error>,
    /// How many unread bytes contain no end of a head.
    searched: usize,
}

impl PendingExchange {
    fn new(connection: Http1Connection, writer: RequestWriter) -> Self {
        Self {
            connection,
            writer,
            has_response_begun: false,
            write_error: None,
            searched: 0,
        }
    }

    /// Sends the request and reads the response head, which may come before the request was sent.
    /// Returns how the body ends, and whether another request may follow.
    ///
    /// # Errors
    /// When the connection or the request body broke, or what arrived is no response.
    fn poll_head(
        &mut self,
        outgoing: &mut UpstreamRequest<'_>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(ResponseFraming, bool)>> {
        if self.write_error.is_none()
            && !self.writer.is_done()
            && let Poll::Ready(Err(error)) = self.writer.poll(self.connection.stream(), context)
        {
            match error {
                WriteError::Connection(error) => self.write_error = Some(error),
                WriteError::Body(error) | WriteError::TimedOut(error) => {
                    return Poll::Ready(Err(error));
                }
            }
        }
        loop {
            while let Some(end) = self.parse_head(outgoing.response, &outgoing.head.method)? {
                let status = outgoing.response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(end));
                }
                (outgoing.on_interim)(status, outgoing.response.headers());
            }
            match ready!(self.connection.poll_read(0, context)) {
                Ok(0) => {
                    let error = self.write_error.take().unwrap_or_else(closed_early);
                    return Poll::Ready(Err(error));
                }
                Ok(_) => self.begin_response(outgoing),
                Err(error) => return Poll::Ready(Err(self.write_error.take().unwrap_or(error))),
            }
        }
    }

    // A request of which something was sent is not sent again from here on. So the response takes over
    // the memory of its header map, which hyper passes on to the next request of the client.
    fn begin_response(&mut self, outgoing: &mut UpstreamRequest<'_>) {
        if !mem::replace(&mut self.has_response_begun, true) && self.writer.has_begun() {
            *outgoing.response.headers_mut() = mem::take(&mut outgoing.head.headers);
        }
    }

    fn parse_head(
        &mut self,
        response: &mut Response<()>,
        method: &Method,
    ) -> io::Result<Option<(ResponseFraming, bool)>> {
        Ok(read_head_into(
            response,
            self.connection.unread(),
            &mut self.searched,
            method,
        )?)
    }

    /// The reader of the response body. A task sends the rest of the request meanwhile.
    fn into_reader(self, framing: ResponseFraming, keep_alive: bool) -> ResponseReader {
        let is_request_sent = self.writer.is_done();
        let keep_alive = keep_alive && self.write_error.is_none();
        let (mut connection, mut upload) = (self.connection, None);
        if is_request_sent {
            connection.put_head_buffer(self.writer.into_head_buffer());
        } else if self.write_error.is_none() {
            upload = Some(send_rest(self.writer, Rc::clone(connection.stream())));
        }
        ResponseReader::new(connection, framing, keep_alive, is_request_sent, upload)
    }
}

// A function of its own: a request that was sent whole is not moved for this.
#[cold]
fn send_rest(mut writer: RequestWriter, stream: Rc<RefCell<Stream>>) -> Upload {
    Upload::spawn(async move {
        match poll_fn(|context| writer.poll(&stream, context)).await {
            Ok(()) => UploadOutcome::Complete,
            Err(WriteError::Connection(_)) => UploadOutcome::NotWanted,
            Err(WriteError::Body(_) | WriteError::TimedOut(_)) => UploadOutcome::Broken,
        }
    })
}

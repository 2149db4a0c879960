//! Writes a request.

use std::cell::RefCell;
use std::io::{self, IoSlice, Write as _};
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use super::request_head::{RequestFraming, write_head, write_trailers};
use crate::clock::{IdleTimeout, Ticker};
use crate::transport::Stream;
use crate::upstream::connection::exchange::UpstreamRequest;
use crate::upstream::request_body::RequestBody;

/// Writes one request: its head, and its body as it arrives.
///
/// Bytes are sent in this order: `head`, `data`, `data_end`.
pub(super) struct RequestWriter {
    /// The request head, then the size lines of chunks and the trailers.
    head: Vec<u8>,
    /// How much of `head` was sent.
    head_sent: usize,
    /// A piece of the body.
    data: Bytes,
    /// What ends a chunk.
    data_end: &'static [u8],
    body: RequestBody,
    is_body_ended: bool,
    framing: RequestFraming,
    /// Whether a byte was sent, or a frame taken from the body.
    has_begun: bool,
    is_flushed: bool,
    idle_timeout: IdleTimeout,
}

/// Why a request was not sent to its end.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Its body broke off, or does not have the length of its Content-Length.
    Body(io::Error),
    /// The upstream read nothing in time.
    TimedOut(io::Error),
    /// The connection broke. A response may have come before.
    Connection(io::Error),
}

impl RequestWriter {
    /// Writes the request head to the buffer `head`, and takes the body.
    pub(super) fn new(
        mut head: Vec<u8>,
        outgoing: &mut UpstreamRequest<'_>,
        host: Option<&HeaderValue>,
        ticker: &Rc<Ticker>,
        idle_timeout: Duration,
    ) -> Self {
        let body = mem::take(outgoing.body);
        let is_body_ended = body.is_end_stream();
        let framing = write_head(
            &mut head,
            outgoing.head,
            outgoing.added,
            host,
            !is_body_ended,
        );
        Self {
            head,
            head_sent: 0,
            data: Bytes::new(),
            data_end: b"",
            body,
            is_body_ended,
            framing,
            has_begun: false,
            is_flushed: false,
            idle_timeout: IdleTimeout::new(ticker, idle_timeout),
        }
    }

    /// Whether the whole request was sent.
    pub(super) fn is_done(&self) -> bool {
        self.is_body_ended && self.is_written() && self.is_flushed
    }

    /// Whether a byte was sent, or a frame taken from the body. Then the request cannot be sent
    /// again.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The buffer that the head was written to.
    pub(super) fn into_head_buffer(self) -> Vec<u8> {
        self.head
    }

    pub(super) fn into_body(self) -> RequestBody {
        self.body
    }

    /// Sends what can be sent; ready when the whole request was.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(super) fn poll(
        &mut self,
        stream: &RefCell<Stream>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        loop {
            // The body first: its first bytes go out in one system call with the head.
            let is_waiting =
                !self.is_body_ended && self.is_data_sent() && !self.poll_body(context)?;
            ready!(self.poll_write(&mut stream.borrow_mut(), context))?;
            if self.is_body_ended {
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                return Poll::Pending;
            }
        }
    }

    fn is_data_sent(&self) -> bool {
        self.data.is_empty() && self.data_end.is_empty()
    }

    fn is_written(&self) -> bool {
        self.head_sent == self.head.len() && self.is_data_sent()
    }

    // Takes a frame from the body. Returns whether there was one, or the end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Result<bool, WriteError> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return Ok(false);
        };
        self.has_begun = true;
        if self.head_sent == self.head.len() {
            self.head.clear();
            self.head_sent = 0;
        }
        match frame
            .transpose()
            .map_err(WriteError::Body)?
            .map(Frame::into_data)
        {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => self.begin_data(data)?,
            Some(Err(frame)) => self.end_body(frame.into_trailers().ok())?,
            None => self.end_body(None)?,
        }
        Ok(true)
    }

    fn begin_data(&mut self, data: Bytes) -> Result<(), WriteError> {
        match &mut self.framing {
            RequestFraming::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or_else(|| wrong_length("longer"))?;
                self.is_body_ended = *left == 0;
            }
            RequestFraming::Chunked => {
                // Writing to a Vec cannot fail.
                let _ = write!(self.head, "{:x}\r\n", data.len());
                self.is_body_ended = self.body.is_end_stream();
                self.data_end = if self.is_body_ended {
                    b"\r\n0\r\n\r\n"
                } else {
                    b"\r\n"
                };
            }
        }
        self.data = data;
        Ok(())
    }

    fn end_body(&mut self, trailers: Option<HeaderMap>) -> Result<(), WriteError> {
        self.is_body_ended = true;
        match self.framing {
            RequestFraming::Length(0) => {}
            RequestFraming::Length(_) => return Err(wrong_length("shorter")),
            RequestFraming::Chunked => {
                self.head.extend_from_slice(b"0\r\n");
                write_trailers(&mut self.head, &trailers.unwrap_or_default());
            }
        }
        Ok(())
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        let mut stream = Pin::new(stream);
        while !self.is_written() {
            let head = &self.head[self.head_sent..];
            let polled = if self.is_data_sent() {
                stream.as_mut().poll_write(context, head)
            } else {
                let slices = [
                    IoSlice::new(head),
                    IoSlice::new(&self.data),
                    IoSlice::new(self.data_end),
                ];
                stream.as_mut().poll_write_vectored(context, &slices)
            };
            let Poll::Ready(written) = polled else {
                return self.poll_idle(context);
            };
            self.idle_timeout.record_progress();
            match written {
                Ok(0) => {
                    return Poll::Ready(Err(WriteError::Connection(
                        io::ErrorKind::WriteZero.into(),
                    )));
                }
                Ok(written) => self.advance(written),
                Err(error) => return Poll::Ready(Err(WriteError::Connection(error))),
            }
        }
        match stream.poll_flush(context) {
            Poll::Ready(flushed) => {
                self.is_flushed = flushed.is_ok();
                self.idle_timeout.record_progress();
                Poll::Ready(flushed.map_err(WriteError::Connection))
            }
            Poll::Pending => self.poll_idle(context),
        }
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        ready!(self.idle_timeout.poll_passed(context));
        let error = io::Error::new(io::ErrorKind::TimedOut, "the upstream read nothing in time");
        Poll::Ready(Err(WriteError::TimedOut(error)))
    }

    fn advance(&mut self, written: usize) {
        self.has_begun = true;
        self.is_flushed = false;
        let of_head = written.min(self.head.len() - self.head_sent);
        self.head_sent += of_head;
        let of_data = (written - of_head).min(self.data.len());
        self.data.advance(of_data);
        self.data_end = &self.data_end[written - of_head - of_data..];
    }
}

fn wrong_length(found: &str) -> WriteError {
    let text = format!("expected a body as long as its Content-Length, but found a {found} one");
    WriteError::Body(io::Error::new(io::ErrorKind::InvalidData, text))
}

//! A request on its way out.

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
use crate::upstream::request_body::RequestBody;
use crate::upstream::send::UpstreamRequest;

/// A request on its way out: what is written and not yet sent, and the body behind it.
pub(super) struct RequestWriter {
    /// The head, or the line before a chunk, or what stands behind the last one; how much of it was sent.
    line: Vec<u8>,
    sent_of_line: usize,
    /// What follows it: a piece of the content, and what ends it.
    piece: Bytes,
    end_of_piece: &'static [u8],
    body: RequestBody,
    is_body_ended: bool,
    framing: RequestFraming,
    /// Whether anything was sent at all, or taken from the body.
    has_begun: bool,
    is_flushed: bool,
    stall: IdleTimeout,
}

/// Why a request was not sent to its end.
#[derive(Debug)]
pub(super) enum WriteError {
    /// Its body broke off, or is not as long as was announced.
    Body(io::Error),
    /// The target took nothing in time.
    Stalled(io::Error),
    /// The connection broke. An answer may have come before.
    Connection(io::Error),
}

impl RequestWriter {
    /// A request whose head is written to `line`, and whose body is taken.
    pub(super) fn new(
        mut line: Vec<u8>,
        outgoing: &mut UpstreamRequest<'_>,
        host: Option<&HeaderValue>,
        ticker: &Rc<Ticker>,
        idle_timeout: Duration,
    ) -> Self {
        let body = mem::take(outgoing.request.body_mut());
        let is_body_ended = body.is_end_stream();
        let framing = write_head(
            &mut line,
            &outgoing.request,
            outgoing.added,
            host,
            !is_body_ended,
        );
        Self {
            line,
            sent_of_line: 0,
            piece: Bytes::new(),
            end_of_piece: b"",
            body,
            is_body_ended,
            framing,
            has_begun: false,
            is_flushed: false,
            stall: IdleTimeout::new(ticker, idle_timeout),
        }
    }

    /// Whether nothing is left to be sent.
    pub(super) fn is_done(&self) -> bool {
        self.is_body_ended && self.is_written() && self.is_flushed
    }

    /// Whether anything was sent, or taken from the body: the request is no longer whole then.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The buffer that the head was written to.
    pub(super) fn into_line(self) -> Vec<u8> {
        self.line
    }

    pub(super) fn into_body(self) -> RequestBody {
        self.body
    }

    /// Sends on; ready when all is sent.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(super) fn poll(
        &mut self,
        stream: &RefCell<Stream>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WriteError>> {
        loop {
            // What the body has ready goes with the head.
            let is_waiting =
                !self.is_body_ended && self.is_piece_sent() && !self.poll_body(context)?;
            ready!(self.poll_write(&mut stream.borrow_mut(), context))?;
            if self.is_body_ended {
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                return Poll::Pending;
            }
        }
    }

    fn is_piece_sent(&self) -> bool {
        self.piece.is_empty() && self.end_of_piece.is_empty()
    }

    fn is_written(&self) -> bool {
        self.sent_of_line == self.line.len() && self.is_piece_sent()
    }

    // Whether there was something, be it the end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Result<bool, WriteError> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return Ok(false);
        };
        self.has_begun = true;
        if self.sent_of_line == self.line.len() {
            self.line.clear();
            self.sent_of_line = 0;
        }
        match frame
            .transpose()
            .map_err(WriteError::Body)?
            .map(Frame::into_data)
        {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => self.put(data)?,
            Some(Err(frame)) => self.end(frame.into_trailers().ok())?,
            None => self.end(None)?,
        }
        Ok(true)
    }

    fn put(&mut self, data: Bytes) -> Result<(), WriteError> {
        match &mut self.framing {
            RequestFraming::Length(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or_else(|| not_as_announced("longer"))?;
                self.is_body_ended = *left == 0;
            }
            RequestFraming::Chunked => {
                // Writing to a Vec cannot fail.
                let _ = write!(self.line, "{:x}\r\n", data.len());
                self.is_body_ended = self.body.is_end_stream();
                self.end_of_piece = if self.is_body_ended {
                    b"\r\n0\r\n\r\n"
                } else {
                    b"\r\n"
                };
            }
        }
        self.piece = data;
        Ok(())
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), WriteError> {
        self.is_body_ended = true;
        match self.framing {
            RequestFraming::Length(0) => {}
            RequestFraming::Length(_) => return Err(not_as_announced("shorter")),
            RequestFraming::Chunked => {
                self.line.extend_from_slice(b"0\r\n");
                write_trailers(&mut self.line, &trailers.unwrap_or_default());
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
            let line = &self.line[self.sent_of_line..];
            let polled = if self.is_piece_sent() {
                stream.as_mut().poll_write(context, line)
            } else {
                let slices = [
                    IoSlice::new(line),
                    IoSlice::new(&self.piece),
                    IoSlice::new(self.end_of_piece),
                ];
                stream.as_mut().poll_write_vectored(context, &slices)
            };
            let Poll::Ready(written) = polled else {
                return self.poll_stalled(context);
            };
            self.stall.moved();
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
                self.stall.moved();
                Poll::Ready(flushed.map_err(WriteError::Connection))
            }
            Poll::Pending => self.poll_stalled(context),
        }
    }

    fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
        ready!(self.stall.poll_passed(context));
        let error = io::Error::new(io::ErrorKind::TimedOut, "the target took nothing in time");
        Poll::Ready(Err(WriteError::Stalled(error)))
    }

    fn advance(&mut self, written: usize) {
        (self.has_begun, self.is_flushed) = (true, false);
        let of_line = written.min(self.line.len() - self.sent_of_line);
        self.sent_of_line += of_line;
        let of_piece = (written - of_line).min(self.piece.len());
        self.piece.advance(of_piece);
        self.end_of_piece = &self.end_of_piece[written - of_line - of_piece..];
    }
}

fn not_as_announced(how: &str) -> WriteError {
    let text = format!("expected a body as long as its Content-Length, but found a {how} one");
    WriteError::Body(io::Error::new(io::ErrorKind::InvalidData, text))
}

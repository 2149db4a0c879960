//! An answer on its way in.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Frame, SizeHint};

use super::chunked::Decoded;
use super::connection::Http1Connection;
use super::request_writer::{RequestWriter, WriteError};
use super::response_head::{ResponseFraming, ResponseHead, closed_early, read_head};
use crate::clock::Ticker;
use crate::telemetry::numbers::GaugeGuard;
use crate::transport::Stream;
use crate::upstream::connection::upload::{Upload, Uploaded};
use crate::upstream::endpoint::state::InFlight;
use crate::upstream::send::OnInterim;

/// One exchange on a connection, until the head of its answer.
pub(super) struct Exchange {
    wire: Http1Connection,
    pub(super) sending: RequestWriter,
    /// Whether a byte of an answer came.
    pub(super) is_answered: bool,
    /// Why not all was sent, where an answer may have come before.
    broken: Option<io::Error>,
    /// How much of what was read holds no end of a head.
    searched: usize,
}

/// The content of an answer, as it is read.
pub(in crate::upstream) struct ResponseReader {
    wire: Http1Connection,
    framing: ResponseFraming,
    keep_alive: bool,
    /// Whether the whole request had been sent when the answer began; what is still being sent of it.
    was_sent: bool,
    upload: Option<Upload>,
}

impl Exchange {
    pub(super) fn new(wire: Http1Connection, sending: RequestWriter) -> Self {
        Self {
            wire,
            sending,
            is_answered: false,
            broken: None,
            searched: 0,
        }
    }

    /// Sends the request and waits for the head of the answer; the sending need not have ended then.
    ///
    /// # Errors
    /// When the connection or the request's body broke, or what came is no answer.
    pub(super) fn poll_head(
        &mut self,
        method: &Method,
        on_interim: OnInterim<'_>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<ResponseHead>> {
        if self.broken.is_none()
            && !self.sending.is_done()
            && let Poll::Ready(Err(error)) = self.sending.poll(self.wire.stream(), context)
        {
            match error {
                WriteError::Connection(error) => self.broken = Some(error),
                WriteError::Body(error) | WriteError::Stalled(error) => {
                    return Poll::Ready(Err(error));
                }
            }
        }
        loop {
            while let Some(head) = self.take_head(method)? {
                let status = head.answer.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                on_interim(status, head.answer.headers());
            }
            match ready!(self.wire.poll_read(0, context)) {
                Ok(0) => return Poll::Ready(Err(self.broken.take().unwrap_or_else(closed_early))),
                Ok(_) => self.is_answered = true,
                Err(error) => return Poll::Ready(Err(self.broken.take().unwrap_or(error))),
            }
        }
    }

    fn take_head(&mut self, method: &Method) -> io::Result<Option<ResponseHead>> {
        Ok(read_head(self.wire.unread(), &mut self.searched, method)?)
    }

    /// What follows the head. What is left of the request is sent on beside it.
    pub(super) fn into_receiving(self, head: ResponseHead) -> (Response<()>, ResponseReader) {
        let Self {
            mut wire,
            mut sending,
            broken,
            ..
        } = self;
        let keep_alive = head.keep_alive && broken.is_none();
        let (was_sent, mut upload) = (sending.is_done(), None);
        if was_sent {
            wire.put_head(sending.into_line());
        } else if broken.is_none() {
            let stream = Rc::clone(wire.stream());
            upload = Some(Upload::begin(async move {
                match poll_fn(|context| sending.poll(&stream, context)).await {
                    Ok(()) => Uploaded::Whole,
                    Err(WriteError::Connection(_)) => Uploaded::Unwanted,
                    Err(WriteError::Body(_) | WriteError::Stalled(_)) => Uploaded::Broken,
                }
            }));
        }
        (
            head.answer,
            ResponseReader {
                wire,
                framing: head.framing,
                keep_alive,
                was_sent,
                upload,
            },
        )
    }
}

impl ResponseReader {
    pub(in crate::upstream) fn is_ended(&self) -> bool {
        match &self.framing {
            ResponseFraming::Length(left) => *left == 0,
            ResponseFraming::Chunked(chunks) => chunks.is_ended(),
            ResponseFraming::UntilClosed => false,
        }
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        match &self.framing {
            ResponseFraming::Length(left) => SizeHint::with_exact(*left),
            ResponseFraming::Chunked(_) | ResponseFraming::UntilClosed => SizeHint::default(),
        }
    }

    pub(in crate::upstream) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        // Whoever sends no more of a request, and has not ended it, gets no more of the answer either.
        if self.poll_upload(context) == Poll::Ready(Uploaded::Broken) {
            let broken = io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the request's body broke off, or was not taken",
            );
            return Poll::Ready(Some(Err(broken)));
        }
        loop {
            match self.framing.next(self.wire.unread()) {
                Ok(Some(Decoded::Data(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(Some(Decoded::Trailers(trailers))) => {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Ok(Some(Decoded::End)) => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let read = match ready!(self.wire.poll_read(self.framing.expected(), context)) {
                Ok(0) => self.framing.end_of_input(),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = read {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    /// The connection itself, what was read from it, and what it is counted by; none where something was still
    /// to be sent.
    pub(super) fn into_parts(self) -> Option<(Stream, Bytes, GaugeGuard)> {
        if self.was_sent {
            self.wire.into_parts()
        } else {
            None
        }
    }

    // Ready once, when it has ended.
    fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Uploaded> {
        let Some(upload) = &mut self.upload else {
            return Poll::Pending;
        };
        let outcome = ready!(upload.poll(context));
        self.upload = None;
        self.keep_alive &= outcome == Uploaded::Whole;
        Poll::Ready(outcome)
    }

    /// Gives the connection back where it may be used again, and lets go of `in_flight`.
    pub(in crate::upstream) fn give_back(mut self, in_flight: InFlight, ticker: &Rc<Ticker>) {
        if self.upload.is_none() {
            self.end(&in_flight, ticker);
            return;
        }
        // Answered before all was said: the target may still want it.
        let ticker = Rc::clone(ticker);
        tokio::task::spawn_local(async move {
            poll_fn(|context| self.poll_upload(context)).await;
            self.end(&in_flight, &ticker);
        });
    }

    fn end(self, in_flight: &InFlight, ticker: &Ticker) {
        if self.keep_alive {
            in_flight.keep(self.wire, ticker.now());
        } else {
            self.wire.close();
        }
    }
}

//! An answer on its way in.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Frame, SizeHint};

use super::chunked::Piece;
use super::connection::Wire;
use super::request_writer::{SendError, Sending};
use super::response_head::{Framing, Head, read_head};
use crate::clock::Ticker;
use crate::telemetry::numbers::GaugeGuard;
use crate::transport::Stream;
use crate::upstream::connection::upload::{Upload, Uploaded};
use crate::upstream::endpoint::state::UnderWay;
use crate::upstream::send::OnInterim;

/// One exchange on a connection, until the head of its answer.
pub(super) struct Exchange {
    wire: Wire,
    pub(super) sending: Sending,
    /// Whether a byte of an answer came.
    pub(super) is_answered: bool,
    /// Why not all was sent, where an answer may have come before.
    broken: Option<io::Error>,
    /// How much of what was read holds no end of a head.
    searched: usize,
}

/// The content of an answer, as it is read.
pub(in crate::upstream) struct Receiving {
    wire: Wire,
    framing: Framing,
    keeps: bool,
    /// Whether the whole request had been sent when the answer began; what is still being sent of it.
    was_sent: bool,
    upload: Option<Upload>,
}

impl Exchange {
    pub(super) fn new(wire: Wire, sending: Sending) -> Self {
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
    ) -> Poll<io::Result<Head>> {
        if self.broken.is_none()
            && !self.sending.is_done()
            && let Poll::Ready(Err(error)) = self.sending.poll(self.wire.stream(), context)
        {
            match error {
                SendError::Connection(error) => self.broken = Some(error),
                SendError::Body(error) | SendError::Stalled(error) => {
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

    fn take_head(&mut self, method: &Method) -> io::Result<Option<Head>> {
        Ok(read_head(self.wire.unread(), &mut self.searched, method)?)
    }

    /// What follows the head. What is left of the request is sent on beside it.
    pub(super) fn into_receiving(self, head: Head) -> (Response<()>, Receiving) {
        let Self {
            mut wire,
            mut sending,
            broken,
            ..
        } = self;
        let keeps = head.keeps && broken.is_none();
        let (was_sent, mut upload) = (sending.is_done(), None);
        if was_sent {
            wire.put_head(sending.into_line());
        } else if broken.is_none() {
            let stream = Rc::clone(wire.stream());
            upload = Some(Upload::begin(async move {
                match poll_fn(|context| sending.poll(&stream, context)).await {
                    Ok(()) => Uploaded::Whole,
                    Err(SendError::Connection(_)) => Uploaded::Unwanted,
                    Err(SendError::Body(_) | SendError::Stalled(_)) => Uploaded::Broken,
                }
            }));
        }
        (
            head.answer,
            Receiving {
                wire,
                framing: head.framing,
                keeps,
                was_sent,
                upload,
            },
        )
    }
}

impl Receiving {
    pub(in crate::upstream) fn is_ended(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunks) => chunks.is_ended(),
            Framing::UntilClosed => false,
        }
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        match &self.framing {
            Framing::Length(left) => SizeHint::with_exact(*left),
            Framing::Chunked(_) | Framing::UntilClosed => SizeHint::default(),
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
            let read = self.wire.unread();
            let expected = match &mut self.framing {
                Framing::Length(0) => return Poll::Ready(None),
                Framing::Length(left) if read.is_empty() => *left,
                Framing::Length(left) => {
                    let taken = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    return Poll::Ready(Some(Ok(Frame::data(read.split_to(taken).freeze()))));
                }
                Framing::Chunked(chunks) => match chunks.next(read).map_err(io::Error::from) {
                    Ok(Some(Piece::Data(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(Some(Piece::Trailers(trailers))) => {
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                    Ok(Some(Piece::End)) => return Poll::Ready(None),
                    Ok(None) => chunks.expected(),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Framing::UntilClosed if read.is_empty() => u64::MAX,
                Framing::UntilClosed => {
                    return Poll::Ready(Some(Ok(Frame::data(read.split().freeze()))));
                }
            };
            match (
                ready!(self.wire.poll_read(expected, context)),
                &mut self.framing,
            ) {
                (Ok(0), framing @ Framing::UntilClosed) => *framing = Framing::Length(0),
                (Ok(0), Framing::Length(_) | Framing::Chunked(_)) => {
                    return Poll::Ready(Some(Err(closed_early())));
                }
                (Ok(_), _) => {}
                (Err(error), _) => return Poll::Ready(Some(Err(error))),
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
        self.keeps &= outcome == Uploaded::Whole;
        Poll::Ready(outcome)
    }

    /// Gives the connection back where it may be used again, and lets go of `under_way`.
    pub(in crate::upstream) fn give_back(mut self, under_way: UnderWay, ticker: &Rc<Ticker>) {
        if self.upload.is_none() {
            self.end(&under_way, ticker);
            return;
        }
        // Answered before all was said: the target may still want it.
        let ticker = Rc::clone(ticker);
        tokio::task::spawn_local(async move {
            poll_fn(|context| self.poll_upload(context)).await;
            self.end(&under_way, &ticker);
        });
    }

    fn end(self, under_way: &UnderWay, ticker: &Ticker) {
        if self.keeps {
            under_way.keep(self.wire, ticker.now());
        } else {
            self.wire.close();
        }
    }
}

fn closed_early() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection was closed before the end of the answer",
    )
}

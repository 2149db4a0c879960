//! The body of a response on its way to the client. Its connection returns to the pool at the end.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::http1::ResponseReader;
use super::connection::http2::ResponseStream;
use super::ejector::ResponseWatch;
use super::endpoint::state::InFlight;
use super::request_body::RequestBodyProgress;
use crate::clock::{Deadline, Ticker};

/// The body of a response on its way from the upstream to the client.
///
/// An HTTP/1.1 connection returns to the pool after the last frame, unless the request is still being
/// sent: [`take_upload`](Self::take_upload) has the rest then. When the body is dropped before its end,
/// the connection is closed, or the HTTP/2 stream reset.
pub struct ForwardedBody {
    /// `None` after the end or an error.
    incoming: Option<(Incoming, InFlight)>,
    /// Boxed: a response seldom ends before its request.
    upload: Option<Box<Upload>>,
    /// The error for the next poll.
    error: Option<io::Error>,
    /// The progress of the request body, which may still be on its way.
    request: Option<Rc<RequestBodyProgress>>,
    ticker: Rc<Ticker>,
    deadline: Option<Deadline>,
    /// While it waits for a frame: how many frames had passed when the deadline was armed.
    frames_when_armed: Option<u64>,
    idle_timeout: Duration,
    /// What the outcome is recorded with, if it counts.
    watch: Option<Box<ResponseWatch>>,
}

/// The rest of a request whose response has ended: an upstream may want it although it has responded
/// already. Dropping it closes the connection to the upstream.
pub struct Upload {
    reader: ResponseReader,
    in_flight: InFlight,
    ticker: Rc<Ticker>,
}

/// Where the body comes from.
pub(super) enum Incoming {
    Http1(ResponseReader),
    Http2(ResponseStream),
}

impl ForwardedBody {
    pub(super) fn new(
        incoming: Incoming,
        in_flight: InFlight,
        request: Option<Rc<RequestBodyProgress>>,
        ticker: &Rc<Ticker>,
        idle_timeout: Duration,
    ) -> Self {
        let mut body = Self {
            incoming: Some((incoming, in_flight)),
            upload: None,
            error: None,
            request,
            ticker: Rc::clone(ticker),
            deadline: None,
            frames_when_armed: None,
            idle_timeout,
            watch: None,
        };
        body.end_if_ended();
        body
    }

    /// Records the outcome with `watch`.
    pub(super) fn watch(&mut self, watch: ResponseWatch) {
        self.watch = Some(Box::new(watch));
        if self.incoming.is_none() && self.error.is_none() {
            self.record_success();
        }
    }

    /// The rest of the request, if the response has ended and the request has not.
    pub fn take_upload(&mut self) -> Option<Box<Upload>> {
        self.upload.take()
    }

    fn record_success(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.succeed();
        }
    }

    // Whether it may last for as long as its client likes.
    fn is_open_ended(&self) -> bool {
        self.incoming
            .as_ref()
            .is_some_and(|(incoming, _)| incoming.size_hint().exact().is_none())
    }

    fn end_if_ended(&mut self) {
        let is_ended = |(incoming, _): &mut (Incoming, InFlight)| incoming.is_ended();
        match self.incoming.take_if(is_ended) {
            Some((Incoming::Http1(reader), in_flight)) => {
                let ticker = &self.ticker;
                if reader.is_uploading() {
                    self.upload = Some(Box::new(Upload {
                        reader,
                        in_flight,
                        ticker: Rc::clone(ticker),
                    }));
                } else {
                    reuse(reader, &in_flight, ticker);
                }
            }
            Some((Incoming::Http2(_), _)) => {}
            None => return,
        }
        self.record_success();
    }

    // A frame of the request body starts the time again: a client that uploads is not idle, however
    // long the response takes.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let frames = self.request.as_ref().map_or(0, |request| request.frames());
            let deadline = self.deadline.get_or_insert_with(|| self.ticker.deadline());
            let frames_when_armed = *self.frames_when_armed.get_or_insert_with(|| {
                deadline.arm(self.idle_timeout);
                frames
            });
            ready!(deadline.poll_passed(context));
            if frames_when_armed == frames {
                return Poll::Ready(());
            }
            self.frames_when_armed = None;
        }
    }
}

impl Upload {
    /// Sends the rest of the request. The connection returns to the pool afterwards.
    pub async fn finish(mut self) {
        self.reader.finish_upload().await;
        reuse(self.reader, &self.in_flight, &self.ticker);
    }
}

fn reuse(reader: ResponseReader, in_flight: &InFlight, ticker: &Ticker) {
    if let Some(connection) = reader.into_reusable() {
        in_flight.reuse(connection, ticker.now());
    }
}

impl Incoming {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self {
            Self::Http1(reader) => reader.poll_frame(context),
            Self::Http2(stream) => stream.poll_frame(context),
        }
    }

    fn is_ended(&self) -> bool {
        match self {
            Self::Http1(reader) => reader.is_ended(),
            Self::Http2(stream) => stream.is_ended(),
        }
    }

    fn blames_endpoint(&self, error: &io::Error) -> bool {
        match self {
            Self::Http1(_) => true,
            Self::Http2(stream) => stream.blames_endpoint(error),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(reader) => reader.size_hint(),
            Self::Http2(stream) => stream.size_hint(),
        }
    }
}

// Its client has left, or the token has ended.
impl Drop for ForwardedBody {
    fn drop(&mut self) {
        if self.watch.is_some() && self.is_open_ended() {
            self.record_success();
        }
    }
}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let Some((incoming, _)) = &mut this.incoming else {
            return Poll::Ready(this.error.take().map(Err));
        };
        let Poll::Ready(frame) = incoming.poll_frame(context) else {
            ready!(this.poll_idle(context));
            let is_open_ended = this.is_open_ended();
            this.incoming = None;
            let stalled = io::Error::new(io::ErrorKind::TimedOut, "the response body stalled");
            if let Some(watch) = this.watch.take_if(|_| !is_open_ended) {
                watch.fail(&stalled);
            }
            return Poll::Ready(Some(Err(stalled)));
        };
        this.frames_when_armed = None;
        if let Some(request) = &this.request {
            request.record_frame();
        }
        match frame {
            Some(Ok(_)) => this.end_if_ended(),
            None => {
                this.end_if_ended();
                this.incoming = None;
                this.record_success();
            }
            Some(Err(error)) => {
                // hyper drops what it has not written when a body fails. So the frames before the
                // error are written first, and the error follows at the next poll.
                let ended = this.incoming.take();
                if let (Some((incoming, _)), Some(watch)) = (ended, this.watch.take())
                    && incoming.blames_endpoint(&error)
                {
                    watch.fail(&error);
                }
                this.error = Some(error);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_none() && self.error.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some((incoming, _)) => incoming.size_hint(),
            None if self.error.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

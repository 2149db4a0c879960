//! An answer's body on its way through, and the return of its connection to the pool.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::connection::http1::ResponseReader;
use super::connection::upload::Upload;
use super::endpoint::http2_pool::StreamSlot;
use super::endpoint::state::InFlight;
use super::request_body::RequestBodyProgress;
use crate::clock::{Deadline, Ticker};
use crate::transport::IncomingBody;

/// An answer's body on its way from the upstream to the client.
///
/// Its connection goes back to the pool with the last frame, or once the rest of the request is sent, and is closed when
/// the body is dropped before; of a connection that exchanges share, it is only the stream.
pub struct ForwardedBody {
    /// None once it has ended or broken off.
    incoming: Option<(Incoming, InFlight)>,
    /// Why it broke off, to be told at the next poll.
    broken: Option<io::Error>,
    /// The request's body, which may still be on its way.
    request: Option<Rc<RequestBodyProgress>>,
    ticker: Rc<Ticker>,
    deadline: Option<Deadline>,
    /// How many frames had gone through when the waiting began.
    waiting_since: Option<u64>,
    idle_timeout: Duration,
}

/// What an exchange holds of its upstream.
pub(super) enum Incoming {
    /// A whole connection.
    Connection(ResponseReader),
    /// A stream of a connection, and the sending of the request's body where that goes on beside the answer.
    Stream {
        arriving: IncomingBody,
        _place: StreamSlot,
        _upload: Option<Upload>,
    },
}

impl ForwardedBody {
    pub(super) fn new(
        incoming: Incoming,
        in_flight: InFlight,
        request: Option<Rc<RequestBodyProgress>>,
        ticker: &Rc<Ticker>,
        idle_timeout: Duration,
    ) -> Self {
        let (incoming, ticker) = (Some((incoming, in_flight)), Rc::clone(ticker));
        let (broken, deadline, waiting_since) = (None, None, None);
        let mut body = Self {
            incoming,
            broken,
            request,
            ticker,
            deadline,
            waiting_since,
            idle_timeout,
        };
        body.end_if_ended();
        body
    }

    fn end_if_ended(&mut self) {
        let is_ended = |(incoming, _): &mut (Incoming, InFlight)| incoming.is_ended();
        match self.incoming.take_if(is_ended) {
            Some((Incoming::Connection(receiving), in_flight)) => {
                receiving.give_back(in_flight, &self.ticker)
            }
            Some((Incoming::Stream { .. }, _)) | None => {}
        }
    }

    // Whoever still uploads is not idle, however long the answer takes.
    fn poll_time_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let frames = self.request.as_ref().map_or(0, |request| request.frames());
            let deadline = self.deadline.get_or_insert_with(|| self.ticker.deadline());
            let since = *self.waiting_since.get_or_insert_with(|| {
                deadline.arm(self.idle_timeout);
                frames
            });
            ready!(deadline.poll_passed(context));
            if since == frames {
                return Poll::Ready(());
            }
            self.waiting_since = None;
        }
    }
}

impl Incoming {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self {
            Self::Connection(receiving) => receiving.poll_frame(context),
            Self::Stream { arriving, .. } => Pin::new(arriving).poll_frame(context),
        }
    }

    fn is_ended(&self) -> bool {
        match self {
            Self::Connection(receiving) => receiving.is_ended(),
            Self::Stream { arriving, .. } => arriving.is_end_stream(),
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
            return Poll::Ready(this.broken.take().map(Err));
        };
        let Poll::Ready(frame) = incoming.poll_frame(context) else {
            ready!(this.poll_time_out(context));
            this.incoming = None;
            let stalled = io::Error::new(io::ErrorKind::TimedOut, "the upstream's body stalled");
            return Poll::Ready(Some(Err(stalled)));
        };
        this.waiting_since = None;
        if let Some(request) = &this.request {
            request.moved();
        }
        match frame {
            Some(Ok(_)) => this.end_if_ended(),
            None => {
                this.end_if_ended();
                this.incoming = None;
            }
            Some(Err(error)) => {
                // Whoever writes it to the client drops what is not written yet when it breaks off: first what came.
                (this.incoming, this.broken) = (None, Some(error));
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_none() && self.broken.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some((Incoming::Connection(receiving), _)) => receiving.size_hint(),
            Some((Incoming::Stream { arriving, .. }, _)) => arriving.size_hint(),
            None if self.broken.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

//! An answer's body on its way through, and the return of its connection to the pool.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::lease::Lease;
use super::request_body::Progress;
use crate::clock::Deadline;
use crate::net::Arriving;

/// An answer's body on its way from the upstream to the client.
///
/// Its connection goes back to the pool with the last frame, and is closed when the body is dropped before; of a
/// connection that exchanges share, it is only the stream.
pub struct ForwardedBody {
    incoming: Arriving,
    lease: Option<Lease>,
    /// The request's body, which may still be on its way.
    request: Option<Rc<Progress>>,
    deadline: Option<Deadline>,
    /// How many frames had gone through when the waiting began.
    waiting_since: Option<u64>,
    idle_timeout: Duration,
}

impl ForwardedBody {
    pub(super) fn new(incoming: Arriving, lease: Lease, request: Option<Rc<Progress>>, idle_timeout: Duration) -> Self {
        let mut body =
            Self { incoming, lease: Some(lease), request, deadline: None, waiting_since: None, idle_timeout };
        if body.incoming.is_end_stream() {
            body.ended();
        }
        body
    }

    fn ended(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    fn frames(&self) -> u64 {
        self.request.as_ref().map_or(0, |request| request.frames())
    }

    // Whoever still uploads is not idle, however long the answer takes.
    fn poll_time_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let frames = self.frames();
            let Some(lease) = &self.lease else { return Poll::Pending };
            let deadline = self.deadline.get_or_insert_with(|| lease.ticker().deadline());
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

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let frame = match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Pending => {
                ready!(this.poll_time_out(context));
                this.lease = None;
                let stalled = io::Error::new(io::ErrorKind::TimedOut, "the upstream's body stalled");
                return Poll::Ready(Some(Err(stalled)));
            }
            Poll::Ready(frame) => frame,
        };
        this.waiting_since = None;
        if let Some(request) = &this.request {
            request.moved();
        }
        match &frame {
            Some(Ok(_)) if !this.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => this.ended(),
            Some(Err(_)) => this.lease = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

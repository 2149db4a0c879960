//! An answer's body on its way through, and the return of its connection to the pool.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;
use crate::clock::Deadline;

/// An answer's body on its way from the upstream to the client.
///
/// Its connection goes back to the pool with the last frame, and is closed when the body is dropped before.
pub struct ForwardedBody {
    incoming: Incoming,
    lease: Option<Lease>,
    deadline: Option<Deadline>,
    waiting: bool,
    idle_timeout: Duration,
}

impl ForwardedBody {
    pub(super) fn new(incoming: Incoming, lease: Lease, idle_timeout: Duration) -> Self {
        let mut body = Self { incoming, lease: Some(lease), deadline: None, waiting: false, idle_timeout };
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

    fn poll_time_out(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(lease) = &self.lease else { return Poll::Pending };
        let deadline = self.deadline.get_or_insert_with(|| lease.ticker.deadline());
        if !self.waiting {
            self.waiting = true;
            deadline.arm(self.idle_timeout);
        }
        deadline.poll_passed(context)
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
        this.waiting = false;
        match &frame {
            Some(Ok(_)) if !this.incoming.is_end_stream() => {}
            Some(Ok(_)) | None => this.ended(),
            Some(Err(_)) => this.lease = None,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

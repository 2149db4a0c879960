//! Sends the body of a message on an HTTP/2 stream.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use crate::clock::IdleTimeout;

/// Maximum capacity that is reserved at a time, so that streams share the connection's window
/// evenly.
const MAX_RESERVED: usize = 16 * 1024;

/// Sends a body within the peer's window (RFC 9113 §5.2). A frame of `body` is read only after the
/// one before it was sent.
///
/// # Errors
/// When the body breaks off, the peer resets the stream, or its window stays closed for
/// `idle_timeout`. The stream is reset then: an incomplete body must not look complete.
pub async fn send_body<B>(
    body: B,
    stream: &mut SendStream<Bytes>,
    idle_timeout: IdleTimeout,
) -> io::Result<()>
where
    B: Body<Data = Bytes, Error = io::Error>,
{
    let mut body = pin!(body);
    let mut sender = BodySender {
        stream,
        idle_timeout,
    };
    loop {
        let Some(frame) = poll_fn(|context| sender.poll_next(body.as_mut(), context)).await? else {
            return sender
                .stream
                .send_data(Bytes::new(), true)
                .map_err(io::Error::other);
        };
        match frame.into_data() {
            // An empty DATA frame that is not the last would only cost the peer.
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                if sender.send(data, body.is_end_stream()).await? {
                    return Ok(());
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return sender
                    .stream
                    .send_trailers(trailers)
                    .map_err(io::Error::other);
            }
        }
    }
}

struct BodySender<'a> {
    stream: &'a mut SendStream<Bytes>,
    idle_timeout: IdleTimeout,
}

impl BodySender<'_> {
    fn poll_next<B>(
        &mut self,
        body: Pin<&mut B>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<http_body::Frame<Bytes>>>>
    where
        B: Body<Data = Bytes, Error = io::Error>,
    {
        // Registers the waker, so that a reset ends the wait for a silent body.
        if let Poll::Ready(reason) = self.stream.poll_reset(context).map_err(io::Error::other)? {
            return Poll::Ready(Err(io::Error::other(h2::Error::from(reason))));
        }
        let frame = ready!(body.poll_frame(context)).transpose();
        Poll::Ready(frame.inspect_err(|_| self.stream.send_reset(Reason::INTERNAL_ERROR)))
    }

    // Returns whether the stream has ended.
    async fn send(&mut self, mut data: Bytes, is_last: bool) -> io::Result<bool> {
        while !data.is_empty() {
            // Reserved only when there is data: a silent body must not hold capacity that others
            // need.
            self.stream.reserve_capacity(data.len().min(MAX_RESERVED));
            let capacity = poll_fn(|context| self.poll_capacity(context)).await?;
            let slice = data.split_to(capacity.min(data.len()));
            self.stream
                .send_data(slice, is_last && data.is_empty())
                .map_err(io::Error::other)?;
        }
        Ok(is_last)
    }

    fn poll_capacity(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let capacity = match self.stream.capacity() {
            0 => self.stream.poll_capacity(context),
            capacity => Poll::Ready(Some(Ok(capacity))),
        };
        let Poll::Ready(capacity) = capacity else {
            ready!(self.idle_timeout.poll_passed(context));
            self.stream.send_reset(Reason::CANCEL);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer opened no window in time",
            )));
        };
        self.idle_timeout.record_progress();
        Poll::Ready(
            capacity
                .ok_or(io::Error::from(io::ErrorKind::BrokenPipe))?
                .map_err(io::Error::other),
        )
    }
}

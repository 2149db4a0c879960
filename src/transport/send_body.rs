//! A message's body on its way out as a stream of HTTP/2.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http_body::Body;

use crate::clock::IdleTimeout;

/// The peer is asked for room for this much at a time: what waits for it is spread over all streams.
const SLICE: usize = 16 * 1024;

/// Sends a body as the peer makes room for it (RFC 9113 §5.2): no more is taken from `body` than can be sent.
///
/// # Errors
/// When the body breaks off, the peer wants no more of it, or makes no room for as long as `stall` allows. The stream is
/// reset then: half a body must not look whole.
pub async fn send_body<B>(
    body: B,
    stream: &mut SendStream<Bytes>,
    stall: IdleTimeout,
) -> io::Result<()>
where
    B: Body<Data = Bytes, Error = io::Error>,
{
    let mut body = pin!(body);
    let mut sending = Sending { stream, stall };
    loop {
        let Some(frame) = poll_fn(|context| sending.poll_next(body.as_mut(), context)).await?
        else {
            return sending
                .stream
                .send_data(Bytes::new(), true)
                .map_err(io::Error::other);
        };
        match frame.into_data() {
            // Nothing to send, and no end: a frame without content would only cost the peer something.
            Ok(data) if data.is_empty() => {}
            Ok(data) => {
                if sending.send(data, body.is_end_stream()).await? {
                    return Ok(());
                }
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                return sending
                    .stream
                    .send_trailers(trailers)
                    .map_err(io::Error::other);
            }
        }
    }
}

struct Sending<'a> {
    stream: &'a mut SendStream<Bytes>,
    stall: IdleTimeout,
}

impl Sending<'_> {
    fn poll_next<B>(
        &mut self,
        body: Pin<&mut B>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Option<http_body::Frame<Bytes>>>>
    where
        B: Body<Data = Bytes, Error = io::Error>,
    {
        // So that the task is woken when the peer resets the stream, however long the body is silent.
        if let Poll::Ready(reason) = self.stream.poll_reset(context).map_err(io::Error::other)? {
            return Poll::Ready(Err(io::Error::other(h2::Error::from(reason))));
        }
        let frame = ready!(body.poll_frame(context)).transpose();
        Poll::Ready(frame.inspect_err(|_| self.stream.send_reset(Reason::INTERNAL_ERROR)))
    }

    // Whether that was the end of the stream.
    async fn send(&mut self, mut data: Bytes, is_last: bool) -> io::Result<bool> {
        while !data.is_empty() {
            // Room is asked for when there is something to put there: a body that is silent takes it from no other.
            self.stream.reserve_capacity(data.len().min(SLICE));
            let room = poll_fn(|context| self.poll_room(context)).await?;
            let slice = data.split_to(room.min(data.len()));
            self.stream
                .send_data(slice, is_last && data.is_empty())
                .map_err(io::Error::other)?;
        }
        Ok(is_last)
    }

    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = match self.stream.capacity() {
            0 => self.stream.poll_capacity(context),
            room => Poll::Ready(Some(Ok(room))),
        };
        let Poll::Ready(room) = room else {
            ready!(self.stall.poll_passed(context));
            self.stream.send_reset(Reason::CANCEL);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer made no room in time",
            )));
        };
        self.stall.moved();
        Poll::Ready(
            room.ok_or(io::Error::from(io::ErrorKind::BrokenPipe))?
                .map_err(io::Error::other),
        )
    }
}

//! A message's body as it comes in, whichever HTTP it comes by.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

/// A message's body as it comes in.
#[derive(Debug)]
pub enum Arriving {
    /// Over HTTP/1.
    Http1(Incoming),
    /// As a stream of HTTP/2. The peer may send on as what it sent is taken: nothing is held here.
    Http2(RecvStream),
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Http1(incoming) => Pin::new(incoming).poll_frame(context).map_err(io::Error::other),
            Self::Http2(stream) => match ready!(stream.poll_data(context)) {
                Some(Ok(data)) => {
                    // An error means that the stream is gone, which the next poll tells.
                    let _ = stream.flow_control().release_capacity(data.len());
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                // A stream that was reset is no whole body, whatever the reason: NO_ERROR is no end.
                Some(Err(error)) => Poll::Ready(Some(Err(io::Error::other(error)))),
                None => {
                    let trailers = ready!(stream.poll_trailers(context)).map_err(io::Error::other)?;
                    Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(incoming) => incoming.size_hint(),
            Self::Http2(stream) if stream.is_end_stream() => SizeHint::with_exact(0),
            Self::Http2(_) => SizeHint::default(),
        }
    }
}

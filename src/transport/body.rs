//! A message's body as it comes in, whichever HTTP it comes by.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection_state::ConnectionState;

/// A message's body as it comes in.
pub enum IncomingBody {
    /// Over HTTP/1.
    Http1(Incoming),
    /// As a stream of HTTP/2. The peer may send on as what it sent is taken: nothing is held here.
    Http2(Http2Body),
}

/// A stream of HTTP/2, as long as it is read.
pub struct Http2Body {
    /// There until this is dropped.
    stream: Option<RecvStream>,
    /// Of its connection: knows which streams have a malformed message.
    state: Rc<ConnectionState>,
    rest: Option<DetachedBody>,
}

/// Where a stream is left that is dropped before it was read to its end, and whether it was asked for before that.
#[derive(Clone, Debug, Default)]
pub struct DetachedBody(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stream: RefCell<Option<RecvStream>>,
    is_wanted: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl IncomingBody {
    /// The body of `stream`, of a connection at this state.
    #[must_use]
    pub fn over_http2(stream: RecvStream, state: Rc<ConnectionState>) -> Self {
        Self::Http2(Http2Body {
            stream: Some(stream),
            state,
            rest: None,
        })
    }

    /// The same, which is left to `rest` if it is dropped before its end.
    #[must_use]
    pub fn over_http2_detachable(
        stream: RecvStream,
        state: Rc<ConnectionState>,
        rest: DetachedBody,
    ) -> Self {
        Self::Http2(Http2Body {
            stream: Some(stream),
            state,
            rest: Some(rest),
        })
    }
}

impl DetachedBody {
    /// Ready once somebody has asked for the body: its client may be waiting for that (RFC 9110 §10.1.1).
    pub fn poll_read_started(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.0.is_wanted.get() {
            return Poll::Ready(());
        }
        *self.0.waiting.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_wanted(&self) {
        if !self.0.is_wanted.replace(true)
            && let Some(waiting) = self.0.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Reads what was left, if anything was, to its end; the peer may send no more than it was allowed before.
    pub async fn discard(&self) {
        let Some(mut stream) = self.0.stream.take() else {
            return;
        };
        while let Some(Ok(_)) = poll_fn(|context| stream.poll_data(context)).await {}
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        if let (Some(stream), Some(DetachedBody(rest))) = (self.stream.take(), &self.rest)
            && !stream.is_end_stream()
        {
            *rest.stream.borrow_mut() = Some(stream);
        }
    }
}

impl Http2Body {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        if let Some(rest) = &self.rest {
            rest.is_wanted();
        }
        match ready!(stream.poll_data(context)) {
            Some(Ok(data)) => {
                // An error means that the stream is gone, which the next poll tells.
                let _ = stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // A stream that was reset is no whole body, whatever the reason: NO_ERROR is no end.
            Some(Err(error)) => Poll::Ready(Some(Err(io::Error::other(error)))),
            None => {
                let trailers = ready!(stream.poll_trailers(context)).map_err(io::Error::other)?;
                if self.state.is_malformed(stream.stream_id()) {
                    let malformed =
                        "expected no pseudo-header field in the trailers, but found one";
                    return Poll::Ready(Some(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        malformed,
                    ))));
                }
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.as_ref().is_none_or(RecvStream::is_end_stream)
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Http1(incoming) => Pin::new(incoming)
                .poll_frame(context)
                .map_err(io::Error::other),
            Self::Http2(stream) => stream.poll_frame(context),
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

//! The body of a received message, over HTTP/1 or HTTP/2.

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

/// The body of a received message.
pub enum IncomingBody {
    /// Over HTTP/1.
    Http1(Incoming),
    /// From an HTTP/2 stream. The window opens as the body is read, so nothing accumulates here.
    Http2(Http2Body),
}

/// The body of an HTTP/2 stream while it is read.
pub struct Http2Body {
    /// `Some` until this is dropped.
    stream: Option<RecvStream>,
    /// The state of the connection: it knows which streams are malformed.
    state: Rc<ConnectionState>,
    detached: Option<DetachedBody>,
}

/// Receives the stream of a body that is dropped before its end. Also shows whether reading has
/// started.
#[derive(Clone, Debug, Default)]
pub struct DetachedBody(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stream: RefCell<Option<RecvStream>>,
    is_read_started: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl IncomingBody {
    /// The body of `stream`, on a connection with this state.
    #[must_use]
    pub fn over_http2(stream: RecvStream, state: Rc<ConnectionState>) -> Self {
        Self::Http2(Http2Body {
            stream: Some(stream),
            state,
            detached: None,
        })
    }

    /// The same. If the body is dropped before its end, `detached` gets the stream.
    #[must_use]
    pub fn over_http2_detachable(
        stream: RecvStream,
        state: Rc<ConnectionState>,
        detached: DetachedBody,
    ) -> Self {
        Self::Http2(Http2Body {
            stream: Some(stream),
            state,
            detached: Some(detached),
        })
    }
}

impl DetachedBody {
    /// Ready once reading has started. A client may wait for a 100 until then (RFC 9110 §10.1.1).
    pub fn poll_read_started(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.0.is_read_started.get() {
            return Poll::Ready(());
        }
        *self.0.waiting.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    fn start_reading(&self) {
        if !self.0.is_read_started.replace(true)
            && let Some(waiting) = self.0.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Reads and discards the rest of the stream; `None` unless the body was dropped before its end.
    /// The window is not opened further, so it bounds what the peer can send.
    #[must_use]
    pub fn discard(&self) -> Option<impl Future<Output = ()> + use<>> {
        let mut stream = self.0.stream.take()?;
        Some(async move {
            while let Some(Ok(_)) = poll_fn(|context| stream.poll_data(context)).await {}
        })
    }
}

impl Drop for Http2Body {
    fn drop(&mut self) {
        if let (Some(stream), Some(DetachedBody(detached))) = (self.stream.take(), &self.detached)
            && !stream.is_end_stream()
        {
            *detached.stream.borrow_mut() = Some(stream);
        }
    }
}

impl Http2Body {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        if let Some(detached) = &self.detached {
            detached.start_reading();
        }
        match ready!(stream.poll_data(context)) {
            Some(Ok(data)) => {
                // An error means that the stream is gone; the next poll returns that.
                let _ = stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // A reset stream is never a complete body, not even with NO_ERROR.
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

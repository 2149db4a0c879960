//! A connection with timeouts.
//!
//! Its [`ConnectionState`] sets the timeout for reads. A write that makes no progress for the write
//! timeout ends the connection in every phase.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_state::{ConnectionState, ConnectionTimeouts, Phase};
use super::frame_reader::FrameReader;
use super::interim::Interim;
use super::request_line::RequestLine;
use super::stream::ResetOnDrop;
use crate::clock::{IdleTimeout, Ticker};

/// A connection that fails with [`io::ErrorKind::TimedOut`] when its peer exceeds the
/// [`ConnectionTimeouts`].
pub struct TimeoutStream<S> {
    stream: S,
    state: Rc<ConnectionState>,
    write_timeout: IdleTimeout,
    /// Whether a flush waits: TLS buffers encrypted bytes.
    is_flushing: bool,
    ticker: Rc<Ticker>,
    /// Interim responses, which hyper cannot write.
    interim: Option<Interim>,
    /// Bytes that were put back, to be read again.
    rewound: Bytes,
    /// For HTTP/2 only. Boxed: an HTTP/1.1 connection has none.
    frames: Option<Box<FrameReader>>,
    /// For HTTP/1 only.
    request_line: RequestLine,
    /// Whether dropping the connection resets it.
    resets: bool,
}

impl<S> TimeoutStream<S> {
    /// Enforces the timeouts of `state` on `stream`.
    pub fn new(
        stream: S,
        state: Rc<ConnectionState>,
        timeouts: ConnectionTimeouts,
        ticker: &Rc<Ticker>,
    ) -> Self {
        state.start_timeouts(timeouts, ticker);
        Self {
            stream,
            state,
            write_timeout: IdleTimeout::new(ticker, timeouts.write),
            is_flushing: false,
            ticker: Rc::clone(ticker),
            interim: None,
            rewound: Bytes::new(),
            frames: None,
            request_line: RequestLine::default(),
            resets: false,
        }
    }

    /// Puts back bytes that were read. They are read again first.
    pub fn rewind(&mut self, bytes: Bytes) {
        self.rewound = bytes;
        self.request_line.begin();
    }

    /// Reads HTTP/2 frames of a client, which begin with its preface.
    #[must_use]
    pub fn with_http2_client(self) -> Self {
        self.state.begin_http2();
        Self {
            frames: Some(Box::new(FrameReader::after_preface())),
            ..self
        }
    }

    /// Reads HTTP/2 frames of a server.
    #[must_use]
    pub fn with_http2_server(self) -> Self {
        Self {
            frames: Some(Box::new(FrameReader::of_server())),
            ..self
        }
    }

    /// Writes the interim responses of this queue.
    #[must_use]
    pub fn with_interim(self, interim: Interim) -> Self {
        interim.record_flush();
        Self {
            interim: Some(interim),
            ..self
        }
    }

    fn poll_read_timeout(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let timed_out = self.state.poll_timeout(context);
        // An idle HTTP/2 connection is not ended here: the server sends a GOAWAY first.
        if self.frames.is_some() && self.state.phase() == Phase::Idle {
            return Poll::Pending;
        }
        ready!(timed_out);
        // A peer that has not read the whole response is not late with its next request.
        if self.write_timeout.is_waiting() && self.state.phase() == Phase::Idle {
            return Poll::Pending;
        }
        Poll::Ready(Err(timeout_error("the peer sent nothing in time")))
    }

    fn poll_write_timeout(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.state.set_unwritten(true);
        ready!(self.write_timeout.poll_passed(context));
        Poll::Ready(Err(timeout_error("the peer read nothing in time")))
    }

    fn record_write(&mut self) {
        if let Some(interim) = &self.interim {
            interim.record_write();
        }
        self.record_progress();
    }

    fn record_progress(&mut self) {
        self.state.set_unwritten(false);
        self.is_flushing = false;
        self.write_timeout.record_progress();
        // The end of a response may be written long after its exchange has ended. The keep-alive
        // timeout starts here then.
        if self.state.phase() == Phase::Idle && self.frames.is_none() {
            self.state.become_idle();
        }
    }
}

impl<S: AsyncWrite + Unpin> TimeoutStream<S> {
    fn write_interim(&mut self, context: &mut Context<'_>) {
        let Some(interim) = &self.interim else { return };
        let mut stream = Pin::new(&mut self.stream);
        // On an error the queue is dropped. The next write returns the error again.
        interim.write_with(|bytes| match stream.as_mut().poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => Some(written),
            Poll::Ready(Err(_)) => Some(bytes.len()),
            Poll::Pending => None,
        });
        let _ = stream.poll_flush(context);
    }

    // Ready when no interim response has to be written first.
    #[inline]
    fn poll_interim_written(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.interim.as_ref().is_some_and(Interim::has_priority) {
            self.write_interim(context);
            if self.interim.as_ref().is_some_and(Interim::has_priority) {
                return Poll::Pending;
            }
            self.write_timeout.record_progress();
        }
        Poll::Ready(())
    }
}

impl<S: ResetOnDrop> TimeoutStream<S> {
    /// Lets the connection close normally, if the response that its end delimits is complete.
    pub fn allow_normal_close(&mut self) {
        if self.resets && !self.state.is_delimited_by_close() {
            self.set_reset_on_drop(false);
        }
    }

    // Set before the first byte of the response: when it breaks off, this process may be gone.
    #[inline]
    fn before_write(&mut self) {
        if self.state.is_delimited_by_close() && !self.resets {
            self.set_reset_on_drop(true);
        }
    }

    #[cold]
    fn set_reset_on_drop(&mut self, resets: bool) {
        self.resets = resets;
        self.stream.set_reset_on_drop(resets);
    }
}

impl<S: AsyncRead + Unpin> TimeoutStream<S> {
    fn poll_read_rewound(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rewound.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        }
        let length = self.rewound.len().min(buf.remaining());
        buf.put_slice(&self.rewound[..length]);
        self.rewound.advance(length);
        if self.rewound.is_empty() {
            // Frees the buffer, which an empty slice would hold until the connection ends.
            self.rewound = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

fn timeout_error(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let _ = this.poll_interim_written(context);
        let before = buf.filled().len();
        let Poll::Ready(outcome) = this.poll_read_rewound(context, buf) else {
            return this.poll_read_timeout(context);
        };
        let read = buf.filled().len() - before;
        this.state.record_read(read, this.ticker.now());
        if let Some(frames) = &mut this.frames {
            let counted = frames.read(
                &buf.filled()[before..],
                this.state.frame_budget(),
                this.ticker.now(),
            );
            counted.map_err(io::Error::other)?;
            if let Some(streams) = frames.take_malformed() {
                this.state.record_malformed(streams)?;
            }
            if frames.is_from_client() {
                this.state.follow_frames(frames);
            }
        } else {
            if this.state.phase() == Phase::Idle {
                this.state.set_phase(Phase::Head);
                this.request_line.begin();
            }
            if let Some(bytes_before) = this.request_line.read(&buf.filled()[before..]) {
                this.state.record_fragment(bytes_before);
            }
        }
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + ResetOnDrop + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.before_write();
        if this.poll_interim_written(context).is_pending() {
            return this.poll_write_timeout(context);
        }
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_write(context, buf) else {
            return this.poll_write_timeout(context);
        };
        this.record_write();
        Poll::Ready(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.before_write();
        if this.poll_interim_written(context).is_pending() {
            return this.poll_write_timeout(context);
        }
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_write_vectored(context, bufs)
        else {
            return this.poll_write_timeout(context);
        };
        this.record_write();
        Poll::Ready(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_flush(context) else {
            this.is_flushing = true;
            return this.poll_write_timeout(context).map_ok(|_| ());
        };
        if let Some(interim) = &this.interim {
            interim.record_flush();
            if this.poll_interim_written(context).is_pending() {
                return this.poll_write_timeout(context).map_ok(|_| ());
            }
        }
        // Only after a flush that waited. A flush of plain TCP is always ready, and is no progress.
        if this.is_flushing {
            this.record_progress();
        }
        Poll::Ready(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.resets && this.state.is_delimited_by_close() {
            // An incomplete body must not look complete.
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    /// Accepts every write, and flushes only if it is not full, as TLS over a full socket does.
    struct BufferedStream {
        is_full: bool,
    }

    impl ResetOnDrop for BufferedStream {
        fn set_reset_on_drop(&self, _: bool) {}
    }

    impl AsyncRead for BufferedStream {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for BufferedStream {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.is_full {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn connection_is_idle_after_a_flush_that_waited() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime starts");
        runtime.block_on(async {
            let (ticker, state) = (Ticker::new(Clock::system()), ConnectionState::idle());
            let day = Duration::from_secs(86_400);
            let timeouts = ConnectionTimeouts { keep_alive: Duration::from_millis(1), header: day, write: day };
            let mut connection = TimeoutStream::new(BufferedStream { is_full: true }, Rc::clone(&state), timeouts, &ticker);
            let mut noop = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut connection).poll_flush(&mut noop).is_pending());
            assert_eq!(state.idle_since(), None, "the peer has not read everything");
            connection.stream.is_full = false;
            assert!(Pin::new(&mut connection).poll_flush(&mut noop).is_ready());
            assert!(state.idle_since().is_some());
            let mut bytes = [0];
            let mut read = ReadBuf::new(&mut bytes);
            let ended = async { poll_fn(|context| Pin::new(&mut connection).poll_read(context, &mut read)).await };
            let error = tokio::select! {
                () = Rc::clone(&ticker).run(|| ()) => unreachable!("a ticker runs for ever"),
                ended = tokio::time::timeout(Duration::from_secs(10), ended) => ended.expect("it ends by itself"),
            };
            assert_eq!(error.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        });
    }
}

//! A connection whose peer may not keep it waiting without end.
//!
//! For how long it may be silent is said by its [`ConnectionState`]; and a write that makes no progress for the write time-out ends it,
//! whatever the phase.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_state::{ConnectionState, ConnectionTimeouts, Phase};
use super::frame_reader::FrameReader;
use super::interim::Interim;
use super::request_line::RequestLine;
use super::stream::ResetOnDrop;
use crate::clock::{IdleTimeout, Ticker};

/// A connection that ends with [`io::ErrorKind::TimedOut`] when its peer keeps it waiting beyond its [`ConnectionTimeouts`].
pub struct TimeoutStream<S> {
    stream: S,
    state: Rc<ConnectionState>,
    writing: IdleTimeout,
    /// It was a flush that waited: of TLS, which holds what it has encrypted.
    is_flushing: bool,
    ticker: Rc<Ticker>,
    /// What is written past whoever owns this connection, if anything may be.
    interim: Option<Interim>,
    /// What was read, and given back to be read again.
    unread: Bytes,
    /// Where exchanges share the connection. Boxed: an HTTP/1.1 connection has none.
    frames: Option<Box<FrameReader>>,
    /// Where they do not.
    request_line: RequestLine,
    /// Whether it is reset when it is dropped.
    resets: bool,
}

impl<S> TimeoutStream<S> {
    /// Watches `stream` at the given state.
    pub fn new(
        stream: S,
        state: Rc<ConnectionState>,
        timeouts: ConnectionTimeouts,
        ticker: &Rc<Ticker>,
    ) -> Self {
        state.watch(timeouts, ticker);
        let (writing, ticker) = (IdleTimeout::new(ticker, timeouts.write), Rc::clone(ticker));
        let (interim, unread, frames, request_line) =
            (None, Bytes::new(), None, RequestLine::default());
        let (is_flushing, resets) = (false, false);
        Self {
            stream,
            state,
            writing,
            is_flushing,
            ticker,
            interim,
            unread,
            frames,
            request_line,
            resets,
        }
    }

    /// Gives back what was read, to be read again first.
    pub fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
        self.request_line.begin();
    }

    /// From the next byte on it is HTTP/2 that the client speaks, its preface first.
    #[must_use]
    pub fn sharing_exchanges(self) -> Self {
        self.state.share();
        Self {
            frames: Some(Box::new(FrameReader::after_preface())),
            ..self
        }
    }

    /// It is HTTP/2 that is spoken, with a server.
    #[must_use]
    pub fn to_http2_server(self) -> Self {
        Self {
            frames: Some(Box::new(FrameReader::of_server())),
            ..self
        }
    }

    /// Lets interim answers be written as well.
    #[must_use]
    pub fn with_interim(self, interim: Interim) -> Self {
        interim.flushed();
        Self {
            interim: Some(interim),
            ..self
        }
    }

    fn poll_read_time_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let timed_out = self.state.poll_time_out(context);
        // Whoever serves a shared connection asks the peer to go first.
        if self.frames.is_some() && self.state.phase() == Phase::Idle {
            return Poll::Pending;
        }
        ready!(timed_out);
        // Who has not taken the whole answer yet does not keep anybody waiting for a request.
        if self.writing.is_waiting() && self.state.phase() == Phase::Idle {
            return Poll::Pending;
        }
        Poll::Ready(Err(time_out("the peer sent nothing in time")))
    }

    fn poll_write_time_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.state.set_unwritten(true);
        ready!(self.writing.poll_passed(context));
        Poll::Ready(Err(time_out("the peer took nothing in time")))
    }

    fn wrote(&mut self) {
        if let Some(interim) = &self.interim {
            interim.written();
        }
        self.progressed();
    }

    fn progressed(&mut self) {
        self.state.set_unwritten(false);
        self.is_flushing = false;
        self.writing.moved();
        // The last of an answer may be written long after its end was handed over.
        if self.state.phase() == Phase::Idle && self.frames.is_none() {
            self.state.rest();
        }
    }
}

impl<S: AsyncWrite + Unpin> TimeoutStream<S> {
    fn write_interim(&mut self, context: &mut Context<'_>) {
        let Some(interim) = &self.interim else { return };
        let mut stream = Pin::new(&mut self.stream);
        // Whoever writes next will meet an error again: nothing may stand before that.
        interim.write_with(|bytes| match stream.as_mut().poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => Some(written),
            Poll::Ready(Err(_)) => Some(bytes.len()),
            Poll::Pending => None,
        });
        let _ = stream.poll_flush(context);
    }

    // Whether the way is free for another write.
    #[inline]
    fn poll_interim_written(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.interim.as_ref().is_some_and(Interim::has_priority) {
            self.write_interim(context);
            if self.interim.as_ref().is_some_and(Interim::has_priority) {
                return Poll::Pending;
            }
            self.writing.moved();
        }
        Poll::Ready(())
    }
}

impl<S: ResetOnDrop> TimeoutStream<S> {
    /// Closes it as usual after a response that was delimited by its end, where that has come to its own.
    pub fn settle(&mut self) {
        if self.resets && !self.state.is_delimited_by_close() {
            self.reset_when_dropped(false);
        }
    }

    // Before the first byte of the response, not when it breaks off: nobody may be there to do it then.
    #[inline]
    fn before_write(&mut self) {
        if self.state.is_delimited_by_close() && !self.resets {
            self.reset_when_dropped(true);
        }
    }

    #[cold]
    fn reset_when_dropped(&mut self, resets: bool) {
        self.resets = resets;
        self.stream.reset_when_dropped(resets);
    }
}

impl<S: AsyncRead + Unpin> TimeoutStream<S> {
    fn poll_read_anew(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        }
        buf.put_slice(&self.unread.split_to(self.unread.len().min(buf.remaining())));
        if self.unread.is_empty() {
            // What is left of it would hold the whole buffer for as long as the connection lasts.
            self.unread = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

fn time_out(what: &'static str) -> io::Error {
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
        let Poll::Ready(outcome) = this.poll_read_anew(context, buf) else {
            return this.poll_read_time_out(context);
        };
        let read = buf.filled().len() - before;
        this.state.count(read, this.ticker.now());
        if let Some(frames) = &mut this.frames {
            let counted = frames.read(
                &buf.filled()[before..],
                this.state.frame_budget(),
                this.ticker.now(),
            );
            counted.map_err(io::Error::other)?;
            if let Some(streams) = frames.take_malformed() {
                this.state.found_malformed(streams)?;
            }
            if frames.are_of_client() {
                this.state.read_frames(frames);
            }
        } else {
            if this.state.phase() == Phase::Idle {
                this.state.enter(Phase::Head);
                this.request_line.begin();
            }
            if let Some(bytes_before) = this.request_line.read(&buf.filled()[before..]) {
                this.state.found_fragment(bytes_before);
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
            return this.poll_write_time_out(context);
        }
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_write(context, buf) else {
            return this.poll_write_time_out(context);
        };
        this.wrote();
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
            return this.poll_write_time_out(context);
        }
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_write_vectored(context, bufs)
        else {
            return this.poll_write_time_out(context);
        };
        this.wrote();
        Poll::Ready(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_flush(context) else {
            this.is_flushing = true;
            return this.poll_write_time_out(context).map_ok(|_| ());
        };
        if let Some(interim) = &this.interim {
            interim.flushed();
            if this.poll_interim_written(context).is_pending() {
                return this.poll_write_time_out(context).map_ok(|_| ());
            }
        }
        // Plain TCP flushes at once whatever was written before: what ends a stalled write is a write.
        if this.is_flushing {
            this.progressed();
        }
        Poll::Ready(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.resets && this.state.is_delimited_by_close() {
            // Half a body must not look whole.
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

    /// Takes everything at once, sends nothing, and flushes when it is told to, as TLS over a full socket does.
    struct Held {
        is_full: bool,
    }

    impl ResetOnDrop for Held {
        fn reset_when_dropped(&self, _: bool) {}
    }

    impl AsyncRead for Held {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Held {
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
    fn connection_is_idle_when_its_peer_has_taken_what_a_flush_waited_for() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime starts");
        runtime.block_on(async {
            let (ticker, state) = (Ticker::new(Clock::system()), ConnectionState::idle());
            let day = Duration::from_secs(86_400);
            let timeouts = ConnectionTimeouts { keep_alive: Duration::from_millis(1), header: day, write: day };
            let mut paced = TimeoutStream::new(Held { is_full: true }, Rc::clone(&state), timeouts, &ticker);
            let mut noop = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut paced).poll_flush(&mut noop).is_pending());
            assert_eq!(state.idle_since(), None, "it has not taken everything");
            paced.stream.is_full = false;
            assert!(Pin::new(&mut paced).poll_flush(&mut noop).is_ready());
            assert!(state.idle_since().is_some());
            let mut bytes = [0];
            let mut read = ReadBuf::new(&mut bytes);
            let ended = async { poll_fn(|context| Pin::new(&mut paced).poll_read(context, &mut read)).await };
            let error = tokio::select! {
                () = Rc::clone(&ticker).run(|| ()) => unreachable!("a ticker runs for ever"),
                ended = tokio::time::timeout(Duration::from_secs(10), ended) => ended.expect("it ends by itself"),
            };
            assert_eq!(error.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        });
    }
}

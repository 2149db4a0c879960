//! A connection, plain or with TLS.

use std::future::poll_fn;
use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smallvec::SmallVec;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio_rustls::TlsStream;

use super::tls::HTTP2;

/// Slices with at most this total length are copied and written as one. A vectored write of short
/// slices costs more: 3 % of a request with a short response.
const MAX_COPIED: usize = 2048;

/// A connection that can be reset instead of closed.
pub trait ResetOnDrop {
    /// Sets whether dropping it resets it, so that its peer cannot read the end of the connection
    /// as the end of a message. Over TLS no close alert is sent either (RFC 8446 §6.1).
    fn set_reset_on_drop(&self, resets: bool);
}

/// A connection to a client or an upstream.
#[derive(Debug)]
pub enum Stream {
    /// Without TLS. A Unix socket is one as well: see [`from_unix`](super::from_unix).
    Plain(TcpStream),
    /// TLS. Boxed: its state is more than a kilobyte.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether HTTP/2 was negotiated by ALPN (RFC 7301).
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }

    /// Reads raw bytes from the socket without waiting; zero bytes at its end. Over TLS the
    /// connection cannot be used after any byte was read.
    ///
    /// This is a system call. The reactor knows only what had arrived when it was last polled.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has arrived, or what broke the connection.
    pub fn read_raw(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self.socket())).read(buf)
    }

    /// Reads what has arrived, as far as the reactor knows, without waiting and without a system call
    /// for nothing.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has arrived, or what broke the connection.
    pub fn read_arrived(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let stream = match self {
            Self::Plain(socket) => return socket.try_read(buf),
            Self::Tls(stream) => stream,
        };
        let mut read = ReadBuf::new(buf);
        // Without `unconstrained`, a task that has used up tokio's budget would always see `Pending`.
        let reading = poll_fn(|context| Pin::new(&mut **stream).poll_read(context, &mut read));
        let reading = pin!(unconstrained(reading));
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            Poll::Ready(outcome) => outcome.map(|()| read.filled().len()),
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl ResetOnDrop for Stream {
    fn set_reset_on_drop(&self, resets: bool) {
        // The kernel resets it, even when this process is killed: no incomplete body looks
        // complete. An error means that the connection is gone.
        let _ = SockRef::from(self.socket()).set_linger(resets.then_some(Duration::ZERO));
    }
}

// Calls the method of the inner stream.
macro_rules! either {
    ($self:ident, $method:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).$method($($argument),*),
            Self::Tls(stream) => Pin::new(stream.as_mut()).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, poll_read(context, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, poll_write(context, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = bufs.iter().map(|piece| piece.len()).sum();
        if length > MAX_COPIED {
            return either!(self, poll_write_vectored(context, bufs));
        }
        // Not an array, which would be filled with zeros first.
        let mut whole = SmallVec::<[u8; MAX_COPIED]>::new();
        bufs.iter().for_each(|piece| whole.extend_from_slice(piece));
        self.poll_write(context, &whole)
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown(context))
    }
}

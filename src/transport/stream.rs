//! A TCP connection, in the clear or inside TLS.

use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::tls::HTTP2;

/// Pieces that are no longer together are written as one: to copy them costs less than to tell the system of each (3 % of
/// a request with a short answer).
const SMALL: usize = 2048;

/// A connection that can be broken off.
pub trait ResetOnDrop {
    /// Whether it is reset instead of closed when it is dropped, by whomever and for whatever reason: its peer cannot take
    /// what came before for all there is. Over TLS nothing is said of an end either (RFC 8446 §6.1).
    fn reset_when_dropped(&self, resets: bool);
}

/// A connection to a client or an upstream.
#[derive(Debug)]
pub enum Stream {
    /// Bytes go as they are.
    Plain(TcpStream),
    /// Bytes go encrypted. Boxed: the TLS state is a kilobyte and more.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether both sides have agreed to HTTP/2 (RFC 7301).
    #[must_use]
    pub fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(HTTP2),
        }
    }

    /// Reads what has come by now, past the reactor and past the session of TLS: a connection on which something came is of
    /// no more use. Nothing at its end.
    ///
    /// The system itself is asked, which costs a call: the reactor knows only what had come when it last turned.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where nothing has come, or what broke the connection.
    pub fn read_at_once(&self, buf: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(self.socket())).read(buf)
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

impl ResetOnDrop for Stream {
    fn reset_when_dropped(&self, resets: bool) {
        // The kernel does it, so that nothing has to be run for it: not even the end of this process leaves half a body
        // that looks whole. An error means that the connection is gone.
        let _ = SockRef::from(self.socket()).set_linger(resets.then_some(Duration::ZERO));
    }
}

// Every method hands the call to whichever stream it is.
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
        let length = bufs.iter().map(|piece| piece.len()).sum();
        if length > SMALL {
            return either!(self, poll_write_vectored(context, bufs));
        }
        let (mut whole, mut filled) = ([0; SMALL], 0);
        for piece in bufs {
            whole[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        }
        self.poll_write(context, &whole[..length])
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

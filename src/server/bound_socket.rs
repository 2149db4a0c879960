//! A listening socket that no runtime knows yet.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::transport::ListeningSocket;

/// A listening socket that no runtime knows yet.
#[derive(Debug)]
pub(super) enum BoundSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl BoundSocket {
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }

    /// Registers it with the current runtime.
    pub(super) fn with_runtime(self) -> io::Result<ListeningSocket> {
        Ok(match self {
            Self::Tcp(socket) => ListeningSocket::Tcp(tokio::net::TcpListener::from_std(socket)?),
            Self::Unix(socket) => {
                ListeningSocket::Unix(tokio::net::UnixListener::from_std(socket)?)
            }
        })
    }
}

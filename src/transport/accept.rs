//! Accepts connections, for every listener of the process.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::unix::from_unix;
use crate::client_limits::{ClientAddress, PeerCredentials};

/// How long accepting pauses when the process or the machine lacks descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// A socket that accepts connections.
#[derive(Debug)]
pub enum ListeningSocket {
    /// Over TCP.
    Tcp(TcpListener),
    /// Of processes of this machine.
    Unix(UnixListener),
}

/// The other end of an accepted connection.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    /// Over TCP.
    Ip(SocketAddr),
    /// A process of this machine.
    Unix(PeerCredentials),
}

/// A connection that a Unix socket has accepted, and its peer.
///
/// # Errors
/// What the kernel or the reactor reports.
pub fn accepted_unix(socket: UnixStream) -> io::Result<(TcpStream, Peer)> {
    let credentials = socket.peer_cred()?;
    // The kernel says 0 for a process of another PID namespace.
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok());
    let peer = PeerCredentials {
        uid: credentials.uid(),
        gid: credentials.gid(),
        pid: pid.filter(|pid| *pid != 0),
    };
    Ok((from_unix(socket.into_std()?)?, Peer::Unix(peer)))
}

impl Peer {
    /// Where it connects from.
    #[must_use]
    pub fn client(&self) -> ClientAddress {
        match self {
            Self::Ip(address) => ClientAddress::Ip(address.ip()),
            Self::Unix(_) => ClientAddress::Unix,
        }
    }

    /// Its process, if it is one of this machine.
    #[must_use]
    pub fn credentials(&self) -> Option<PeerCredentials> {
        match self {
            Self::Ip(_) => None,
            Self::Unix(credentials) => Some(*credentials),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(PeerCredentials { uid, gid, pid }) => {
                write!(f, "unix (uid {uid}, gid {gid}, pid ")?;
                match pid {
                    Some(pid) => write!(f, "{pid})"),
                    None => f.write_str("unknown)"),
                }
            }
        }
    }
}

/// Accepts the next connection.
///
/// An error that concerns one client is skipped. Any other, such as too many open files, would
/// repeat at once: `on_exhausted` is called, and accepting pauses for 100 ms.
pub async fn accept(
    listener: &TcpListener,
    mut on_exhausted: impl AsyncFnMut(io::Error),
) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                on_exhausted(error).await;
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// As [`accept`], from a socket of either kind.
pub async fn accept_peer(
    listener: &ListeningSocket,
    mut on_exhausted: impl AsyncFnMut(io::Error),
) -> (TcpStream, Peer) {
    match listener {
        ListeningSocket::Tcp(listener) => {
            let (socket, address) = accept(listener, on_exhausted).await;
            (socket, Peer::Ip(address))
        }
        ListeningSocket::Unix(listener) => loop {
            let accepted = listener.accept().await;
            match accepted.and_then(|(socket, _)| accepted_unix(socket)) {
                Ok(accepted) => return accepted,
                Err(error) if is_connection_error(&error) => {}
                Err(error) => {
                    on_exhausted(error).await;
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        },
    }
}

/// Whether an error of accepting concerns one client, which left between its handshake and being
/// accepted (accept(2)).
pub fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

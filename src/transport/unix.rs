//! Unix sockets, as the connections of this crate carry them.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::TcpStream;

/// Takes a connected Unix socket as the byte stream that it is.
///
/// To the kernel both kinds are stream sockets: reading, writing, peeking and shutting down are the
/// same system calls. One type for both spares every read and write on TCP a branch. What exists for
/// TCP alone fails on such a stream without an effect: its addresses, `TCP_NODELAY`, and `SO_LINGER`
/// as a reset.
///
/// # Errors
/// What the reactor reports.
pub fn from_unix(socket: UnixStream) -> io::Result<TcpStream> {
    socket.set_nonblocking(true)?;
    TcpStream::from_std(std::os::fd::OwnedFd::from(socket).into())
}

/// Creates a Unix stream socket that does not block.
///
/// # Errors
/// What the kernel lacks: descriptors or memory.
pub fn unix_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connects to the Unix socket at `path`. This does not wait: the kernel connects at once, or fails.
///
/// # Errors
/// Why there is no connection. A listener whose queue is full is one reason.
pub fn connect_unix(socket: Socket, path: &Path) -> io::Result<TcpStream> {
    socket.connect(&SockAddr::unix(path)?).map_err(|error| {
        if error.kind() == io::ErrorKind::WouldBlock {
            io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the listener's queue of connections is full",
            )
        } else {
            error
        }
    })?;
    from_unix(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn unix_socket_reads_peeks_writes_and_ends_like_a_tcp_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).expect("a new socket");
        let socket = unix_socket().expect("a socket");
        let mut one = connect_unix(socket, &path).expect("it listens");
        let mut other = from_unix(listener.accept().expect("a peer").0).expect("a stream");
        one.write_all(b"hello").await.expect("an open socket");
        let mut seen = [0; 2];
        assert_eq!(other.peek(&mut seen).await.expect("bytes"), 2);
        assert_eq!(&seen, b"he");
        one.shutdown().await.expect("an open socket");
        let mut read = String::new();
        other.read_to_string(&mut read).await.expect("the end");
        assert_eq!(read, "hello");
        drop(one);
        other.set_nodelay(true).expect_err("TCP only");
    }

    #[tokio::test]
    async fn full_queue_and_missing_listener_are_errors_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let connect = || connect_unix(unix_socket().expect("a socket"), &path);
        assert_eq!(
            connect().expect_err("no file").kind(),
            io::ErrorKind::NotFound
        );
        let listening = unix_socket().expect("a socket");
        let address = SockAddr::unix(&path).expect("a short path");
        listening.bind(&address).expect("a new socket");
        assert_eq!(
            connect().expect_err("no listener").kind(),
            io::ErrorKind::ConnectionRefused
        );
        listening.listen(0).expect("a bound socket");
        let _waiting = connect().expect("a place in the queue");
        let error = connect().expect_err("no place left");
        assert!(error.to_string().contains("queue"), "{error}");
    }
}

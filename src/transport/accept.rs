//! Accepts connections, for every listener of the process.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// How long accepting pauses when the process or the machine lacks descriptors or memory.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

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

//! Opens a connection over TCP or a Unix socket, with TLS where the upstream has it.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::clock::Ticker;
use crate::transport::{self, ConnectionState, ConnectionTimeouts, Stream, TimeoutStream};
use crate::upstream::local_error::{classified, classified_unix, new_unix_socket, socket_for};
use crate::values::Protocol;

/// Connects to an address.
///
/// # Errors
/// A failure that this machine causes is a [`local_error`](crate::upstream::local_error).
pub(in crate::upstream) async fn connect_tcp(
    address: SocketAddr,
    receive_buffer: Option<u32>,
) -> io::Result<TcpStream> {
    let socket = socket_for(address)?;
    if let Some(size) = receive_buffer {
        // A failure leaves the kernel's own limit.
        let _ = socket.set_recv_buffer_size(size);
    }
    socket
        .connect(address)
        .await
        .map_err(|error| classified(error, address))
}

/// Connects to a Unix socket.
///
/// # Errors
/// As [`connect_tcp`].
pub(in crate::upstream) fn connect_unix(path: &Path) -> io::Result<TcpStream> {
    transport::connect_unix(new_unix_socket()?, path).map_err(classified_unix)
}

/// Completes a TLS handshake.
///
/// # Errors
/// When the handshake fails, or the server does not agree to HTTP/2 where that is the protocol.
pub(in crate::upstream) async fn start_tls(
    socket: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    protocol: Protocol,
) -> io::Result<Stream> {
    let stream = TlsConnector::from(config).connect(name, socket).await?;
    let stream = Stream::Tls(Box::new(stream.into()));
    match protocol {
        Protocol::Http2 if !stream.speaks_http2() => Err(io::Error::other(
            "expected the upstream to negotiate HTTP/2 (ALPN \"h2\"), but found that it does not",
        )),
        Protocol::Http1 | Protocol::Http2 => Ok(stream),
    }
}

/// Puts timeouts on a connection whose protocol has none of its own. An HTTP/1.1 exchange has: see
/// [`ExchangeTimeouts`](super::exchange::ExchangeTimeouts).
pub(in crate::upstream) fn with_timeouts(
    stream: Stream,
    timeouts: ConnectionTimeouts,
    ticker: &Rc<Ticker>,
) -> (TimeoutStream<Stream>, Rc<ConnectionState>) {
    let state = ConnectionState::outbound();
    (
        TimeoutStream::new(stream, Rc::clone(&state), timeouts, ticker),
        state,
    )
}

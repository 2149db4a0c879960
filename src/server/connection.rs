//! One client connection, from accept to close.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::clients::CountedConnection;
use super::connection_limit::ConnectionPermit;
use super::worker_state::{AcceptedConnection, FIRST_READ, WorkerState};
use super::{http1, http2};
use crate::telemetry::Connections;
use crate::telemetry::metrics::GaugeGuard;
use crate::transport::{ConnectionState, Stream, TimeoutStream};

/// The first bytes of a client that speaks HTTP/2 with prior knowledge (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one connection in a task of its own.
pub(super) fn serve(
    worker: &Rc<WorkerState>,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    guards: ConnectionGuards,
) {
    let open = OpenGuard::new(Rc::clone(worker), guards);
    tokio::task::spawn_local(async move {
        let state = ConnectionState::idle();
        let ended = serve_accepted(&open.worker, socket, peer, tls, &state).await;
        if state.is_evicted() {
            open.guards.connections.evicted.count();
        }
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    });
}

async fn serve_accepted(
    worker: &Rc<WorkerState>,
    socket: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    state: &Rc<ConnectionState>,
) -> io::Result<()> {
    // Otherwise small responses wait for the client's acknowledgement. It fails only on a closed
    // socket.
    let _ = socket.set_nodelay(true);
    let is_tls = tls.is_some();
    let config = worker.connection_config();
    state.start_timeouts(config.timeouts, &worker.ticker);
    let _listed = worker.connections.add(state);
    let securing = accept_tls(socket, tls, config.timeouts.header, state);
    let Some(stream) = worker.until_first_request(state, securing).await else {
        return Ok(());
    };
    let stream = stream?;
    let negotiated_http2 = stream.speaks_http2();
    let mut stream = TimeoutStream::new(stream, Rc::clone(state), config.timeouts, &worker.ticker);
    let is_http2 = if negotiated_http2 {
        true
    } else {
        let Some(has_preface) = worker
            .until_first_request(state, starts_with_preface(&mut stream))
            .await
        else {
            return Ok(());
        };
        // Over TLS the protocol is the negotiated one (RFC 9113 §3.2).
        has_preface? && !is_tls
    };
    let accepted = AcceptedConnection {
        stream,
        state: Rc::clone(state),
        connection_config: config,
        peer,
        is_tls,
    };
    if is_http2 {
        http2::serve(worker, accepted)
            .await
            .map_err(io::Error::other)
    } else {
        http1::serve(worker, accepted)
            .await
            .map_err(io::Error::other)
    }
}

// A handshake has the timeout of a request head, which includes the time before its first byte.
// Until that byte the connection is idle and can be evicted.
async fn accept_tls(
    socket: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    handshake_timeout: Duration,
    state: &ConnectionState,
) -> io::Result<Stream> {
    let Some(tls) = tls else {
        return Ok(Stream::Plain(socket));
    };
    let handshake = async {
        // Not `readable()`, which may be ready although no byte has arrived.
        socket.peek(&mut [0]).await?;
        state.begin_handshake();
        TlsAcceptor::from(tls).accept(socket).await
    };
    let stream = timeout(handshake_timeout, handshake).await??;
    state.end_handshake();
    Ok(Stream::Tls(Box::new(stream.into())))
}

// Puts the bytes back into the stream, for the parser of the protocol.
async fn starts_with_preface(stream: &mut TimeoutStream<Stream>) -> io::Result<bool> {
    let mut read = BytesMut::with_capacity(FIRST_READ);
    let has_preface = loop {
        if stream.read_buf(&mut read).await? == 0 {
            break false;
        }
        let length = read.len().min(HTTP2_PREFACE.len());
        if read[..length] != HTTP2_PREFACE[..length] {
            break false;
        }
        if length == HTTP2_PREFACE.len() {
            break true;
        }
    };
    stream.rewind(read.freeze());
    Ok(has_preface)
}

/// Counts a connection among the worker's open ones until it is dropped.
struct OpenGuard {
    worker: Rc<WorkerState>,
    guards: ConnectionGuards,
}

/// Guards that a connection holds until it is closed.
pub(super) struct ConnectionGuards {
    pub(super) _permit: Option<ConnectionPermit>,
    pub(super) _counted: Option<CountedConnection>,
    pub(super) _gauge: GaugeGuard,
    pub(super) connections: Arc<Connections>,
}

impl OpenGuard {
    fn new(worker: Rc<WorkerState>, guards: ConnectionGuards) -> Self {
        worker.open.set(worker.open.get() + 1);
        Self { worker, guards }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.worker.open.set(self.worker.open.get() - 1);
        self.worker.closed.notify_one();
    }
}

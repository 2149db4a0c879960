//! One client connection, from accept to close.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::clients::{Clients, CountedConnection};
use super::connection_limit::ConnectionPermit;
use super::worker_state::{AcceptedConnection, WorkerState};
use super::{http1, http2, proxy_protocol};
use crate::client_limits::ClientAddress;
use crate::telemetry::Connections;
use crate::telemetry::metrics::GaugeGuard;
use crate::transport::{ConnectionState, Peer, Stream, TimeoutStream};

/// The first bytes of a client that speaks HTTP/2 with prior knowledge (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The client of an accepted connection.
pub(super) enum Identified {
    /// The peer itself. The guard is for as long as the connection is open.
    Peer(Option<CountedConnection>),
    /// The one that the PROXY header names, which is counted among these.
    ByProxyHeader(Arc<Clients>),
}

/// Where a connection comes from.
pub(super) struct Origin {
    /// The index of the listener that accepted it.
    pub(super) listener: usize,
    /// For a client that speaks TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    pub(super) peer: Peer,
}

/// Serves one connection in a task of its own.
pub(super) fn serve(
    worker: &Rc<WorkerState>,
    socket: TcpStream,
    identified: Identified,
    origin: Origin,
    guards: ConnectionGuards,
) {
    let open = OpenGuard::new(Rc::clone(worker), guards);
    let peer = origin.peer;
    // Boxed: moving the future of a connection when its task begins and ends cost 4 % of the
    // instructions of a connection with one request.
    tokio::task::spawn_local(Box::pin(async move {
        let state = ConnectionState::idle();
        let ended = match identified {
            Identified::Peer(_counted) => {
                serve_accepted(&open.worker, socket, peer.client(), origin, &state).await
            }
            // Boxed: a connection without a header must not take more memory for it.
            Identified::ByProxyHeader(clients) => {
                Box::pin(serve_proxied(&open, &clients, socket, origin, &state)).await
            }
        };
        if state.is_evicted() {
            open.guards.connections.evicted.count();
        }
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended");
        }
    }));
}

// The header has the timeout of a request head, which includes the time before its first byte.
async fn serve_proxied(
    open: &OpenGuard,
    clients: &Arc<Clients>,
    mut socket: TcpStream,
    origin: Origin,
    state: &Rc<ConnectionState>,
) -> io::Result<()> {
    let (worker, connections) = (&open.worker, &open.guards.connections);
    let peer = origin.peer.client();
    let timeouts = worker.connection_config().timeouts;
    // It is idle, and can be evicted, until the header is complete.
    state.start_timeouts(timeouts, &worker.ticker);
    let reading = async {
        let listed = worker.connections.add(state);
        let reading = timeout(timeouts.header, async {
            // Some load balancers check only whether the port is open.
            if socket.peek(&mut [0]).await? == 0 {
                return Ok(None);
            }
            proxy_protocol::read_header(&mut socket).await.map(Some)
        });
        let read = worker.until_first_request(state, reading).await;
        drop(listed);
        read
    };
    let client = match reading.await {
        None | Some(Ok(Ok(None))) => return Ok(()),
        Some(Ok(Ok(Some(client)))) => client.map_or(peer, ClientAddress::Ip),
        Some(invalid) => {
            let error = invalid.map_or_else(io::Error::from, |read| {
                read.err().unwrap_or(io::ErrorKind::TimedOut.into())
            });
            connections.without_proxy_header.count();
            let now = worker.ticker.now();
            clients.log_invalid_header(peer, &error.to_string(), now);
            return Err(error);
        }
    };
    let Ok(_counted) = clients.admit(client, worker, connections) else {
        return Ok(());
    };
    serve_accepted(worker, socket, client, origin, state).await
}

// A plain HTTP/1 connection is served by this future itself. What only others need is boxed, so that
// it takes no memory for them.
async fn serve_accepted(
    worker: &Rc<WorkerState>,
    socket: TcpStream,
    client: ClientAddress,
    origin: Origin,
    state: &Rc<ConnectionState>,
) -> io::Result<()> {
    let Origin {
        listener,
        tls,
        peer,
    } = origin;
    let is_tls = tls.is_some();
    let config = worker.connection_config();
    state.start_timeouts(config.timeouts, &worker.ticker);
    let _listed = worker.connections.add(state);
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(tls) => {
            let securing = Box::pin(accept_tls(socket, tls, config.timeouts.header, state));
            let Some(stream) = worker.until_first_request(state, securing).await else {
                return Ok(());
            };
            stream?
        }
    };
    let negotiated_http2 = stream.speaks_http2();
    let mut stream = TimeoutStream::new(stream, Rc::clone(state), config.timeouts, &worker.ticker);
    let is_http2 = if negotiated_http2 {
        true
    } else {
        let Some(has_preface) = worker
            .until_first_request(state, starts_with_preface(&mut stream, worker))
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
        client,
        peer: peer.credentials(),
        is_tls,
        listener,
    };
    if is_http2 {
        Box::pin(http2::serve(worker, accepted))
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
    tls: Arc<ServerConfig>,
    handshake_timeout: Duration,
    state: &ConnectionState,
) -> io::Result<Stream> {
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
async fn starts_with_preface(
    stream: &mut TimeoutStream<Stream>,
    worker: &WorkerState,
) -> io::Result<bool> {
    let mut read = BytesMut::new();
    let has_preface = loop {
        let take = |bytes: &[u8]| read.extend_from_slice(bytes);
        if worker.read(stream, take).await? == 0 {
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
    // Dropped in this order: a connection that the metric no longer counts is on no worker.
    pub(super) _workload: GaugeGuard,
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

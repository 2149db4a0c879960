//! A new connection to an endpoint.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connection::http1::Http1Connection;
use super::endpoint::Endpoint;
use super::endpoint::http2_pool::{Http2Connection, MAX_STREAMS};
use super::endpoint::state::{EndpointState, InFlight};
use super::local_error::{classified, socket_for};
use super::settings::Settings;
use super::stats::EndpointStats;
use crate::clock::{self, Ticker};
use crate::telemetry::numbers::GaugeGuard;
use crate::transport::{ConnectionState, ConnectionTimeouts, Stream, TimeoutStream};
use crate::values::Protocol;

/// What an answer's body may fill of our memory before the client takes it. The connection's window is that of all its
/// streams together: clients who take nothing leave the others theirs.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;
/// What a request's body may fill of our memory before the target takes it.
const SEND_BUFFER: usize = 64 * 1024;
/// What frames of a few bytes may cost beside their bytes. Clients who take nothing must not end the others' connection,
/// so it is what full windows of messages of 20 bytes cost.
const SMALL_FRAMES: usize = 12 * CONNECTION_WINDOW as usize;
/// The head of an answer, unpacked.
const HEADER_LIST: u32 = 128 * 1024;

/// What the kernel may hold of a response that its client does not take, where the target is [near](Endpoint::is_near); it
/// takes twice as much for its own accounts. By itself it would let the buffer grow to several MiB as soon as it is read
/// from fast.
const NEAR_RECEIVE_BUFFER: u32 = 256 * 1024;

/// A connection whose protocol was switched, and what came on it after the 101.
pub struct UpgradedConnection {
    /// The connection.
    pub stream: TimeoutStream<Stream>,
    /// Its first bytes in the new protocol.
    pub early: Bytes,
    /// It counts as an exchange and as a connection for as long as it lasts.
    pub(super) _held: (InFlight, GaugeGuard),
}

/// Connects to the endpoint of `peer`, in the clear or over TLS, to speak HTTP/1.1.
///
/// # Errors
/// The last address's, where the endpoint is a name not yet looked up; [`io::ErrorKind::TimedOut`] after `connect_timeout`.
pub(super) async fn connect(
    settings: &Settings,
    peer: &EndpointState,
) -> io::Result<Http1Connection> {
    let opening = open(settings, &peer.endpoint);
    let stream = timeout(settings.connect_timeout, opening)
        .await
        .map_err(|_| too_slow())??;
    Ok(Http1Connection::new(
        stream,
        peer.traffic.connections.enter(),
    ))
}

/// Connects to `endpoint` and speaks HTTP/2 on it: over TLS as the target agrees to (RFC 7301), in the clear by prior
/// knowledge (RFC 9113 §3.3).
///
/// # Errors
/// As [`connect`]; and when the target does not answer in HTTP/2.
pub(super) async fn connect_shared(
    settings: &Settings,
    endpoint: &Endpoint,
    traffic: &Arc<EndpointStats>,
    ticker: &Rc<Ticker>,
) -> io::Result<Rc<Http2Connection>> {
    let connecting = async {
        let stream = open(settings, endpoint).await?;
        let (paced, pace) = paced(stream, settings, ticker);
        let (sender, mut driver) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .max_send_buffer_size(SEND_BUFFER)
            .data_frame_budget(SMALL_FRAMES)
            .handshake(paced.to_http2_server())
            .await
            .map_err(io::Error::other)?;
        // The target's SETTINGS come first and tell how many streams it allows (RFC 9113 §3.4).
        poll_fn(|context| match pin!(&mut driver).poll(context) {
            Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(no_http2(error))),
            Poll::Pending if pace.bytes_read() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let shared = Http2Connection::new(sender, pace, ticker.now());
        // Not the connection itself: it ends when nobody else has any use for it.
        let driven = Rc::downgrade(&shared);
        let counted = traffic.connections.enter();
        // Its errors reach the exchanges that it breaks.
        tokio::task::spawn_local(async move {
            let _ = driver.await;
            drop(counted);
            if let Some(shared) = driven.upgrade() {
                shared.is_going();
            }
        });
        Ok(shared)
    };
    timeout(settings.connect_timeout, connecting)
        .await
        .map_err(|_| too_slow())?
}

/// Watches a connection on which something else than HTTP/1.1 is spoken: that watches itself.
pub(super) fn paced(
    stream: Stream,
    settings: &Settings,
    ticker: &Rc<Ticker>,
) -> (TimeoutStream<Stream>, Rc<ConnectionState>) {
    let pace = ConnectionState::ours();
    let limits = ConnectionTimeouts {
        keep_alive: settings.pool_idle_timeout,
        header: settings.response_timeout,
        write: settings.body_idle_timeout,
    };
    (
        TimeoutStream::new(stream, Rc::clone(&pace), limits, ticker),
        pace,
    )
}

/// A connection on which nothing is spoken yet; it takes as long as it takes.
///
/// # Errors
/// As [`connect`], without a time-out.
pub(super) async fn open(settings: &Settings, endpoint: &Endpoint) -> io::Result<Stream> {
    let socket = dial(settings, endpoint).await?;
    let target = &settings.targets[endpoint.target];
    socket.set_nodelay(true)?;
    let Some(name) = &target.tls_name else {
        return Ok(Stream::Plain(socket));
    };
    let connector = TlsConnector::from(settings.tls.current());
    let stream = Stream::Tls(Box::new(
        connector.connect(name.clone(), socket).await?.into(),
    ));
    match settings.protocol {
        Protocol::Http2 if !stream.speaks_http2() => Err(io::Error::other(
            "expected the target to agree to HTTP/2 (ALPN \"h2\"), but found that it does not",
        )),
        Protocol::Http1 | Protocol::Http2 => Ok(stream),
    }
}

async fn dial(settings: &Settings, endpoint: &Endpoint) -> io::Result<TcpStream> {
    if let Some(address) = endpoint.address {
        return reach(settings, endpoint, address).await;
    }
    let target = &settings.targets[endpoint.target];
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in settings.resolver.look_up(&target.host, target.port).await? {
        match reach(settings, endpoint, address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn reach(
    settings: &Settings,
    endpoint: &Endpoint,
    address: SocketAddr,
) -> io::Result<TcpStream> {
    let socket = socket_for(address)?;
    // Over HTTP/2 windows bound each response, and what the kernel holds is for all of them.
    if settings.protocol == Protocol::Http1 && endpoint.is_near() {
        // Without it the kernel has a bound of its own.
        let _ = socket.set_recv_buffer_size(NEAR_RECEIVE_BUFFER);
    }
    let began = clock::now();
    let stream = socket
        .connect(address)
        .await
        .map_err(|error| classified(error, address))?;
    endpoint.took_to_connect(clock::since(began));
    Ok(stream)
}

fn too_slow() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "no connection within connect_timeout",
    )
}

fn no_http2(error: h2::Error) -> io::Error {
    io::Error::other(format!(
        "expected HTTP/2 (protocol = \"http2\"), but found something else: {error}"
    ))
}

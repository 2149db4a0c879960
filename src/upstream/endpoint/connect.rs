//! Opens connections to an endpoint.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::state::EndpointState;
use super::{Endpoint, EndpointAddress};
use crate::clock::{self, Ticker};
use crate::transport::{ConnectionTimeouts, Stream};
use crate::upstream::connection::http1::Http1Connection;
use crate::upstream::connection::http2::{self, Http2Connection};
use crate::upstream::connection::socket::{connect_tcp, connect_unix, start_tls};
use crate::upstream::settings::{TargetAddress, UpstreamSettings};
use crate::upstream::shared::SharedUpstream;
use crate::upstream::stats::EndpointStats;
use crate::values::Protocol;

/// The receive buffer for a [near](Endpoint::is_near) endpoint: what the kernel holds of a response
/// that its client does not read. The kernel doubles it for its bookkeeping. By itself it would
/// grow the buffer to several MiB when the gateway reads fast. With half as much, responses of 1 MiB
/// take 1.8 times the CPU time over loopback, and long ones a tenth more. `net.core.rmem_max` caps it.
const NEAR_RECEIVE_BUFFER: u32 = 512 * 1024;

/// Opens an HTTP/1.1 connection, in the clear or over TLS.
///
/// # Errors
/// That of the last address, where the endpoint is a name that was not looked up yet.
/// [`io::ErrorKind::TimedOut`] after `connect_timeout`.
pub(in crate::upstream) async fn connect_http1(
    shared: &SharedUpstream,
    state: &EndpointState,
) -> io::Result<Http1Connection> {
    let opening = open(shared, &state.endpoint);
    let stream = timeout(shared.settings().connect_timeout, opening)
        .await
        .map_err(|_| timed_out())??;
    Ok(Http1Connection::new(
        stream,
        state.stats.connections.enter(),
    ))
}

/// Opens an HTTP/2 connection: over TLS by ALPN (RFC 7301), in the clear by prior knowledge
/// (RFC 9113 §3.3).
///
/// # Errors
/// As [`connect_http1`]; and when the upstream does not speak HTTP/2.
pub(in crate::upstream) async fn connect_http2(
    shared: &SharedUpstream,
    endpoint: &Endpoint,
    stats: &EndpointStats,
    ticker: &Rc<Ticker>,
) -> io::Result<Rc<Http2Connection>> {
    let settings = shared.settings();
    let connecting = async {
        let stream = open(shared, endpoint).await?;
        let timeouts = connection_timeouts(settings);
        http2::connect(stream, timeouts, ticker, &stats.connections).await
    };
    timeout(settings.connect_timeout, connecting)
        .await
        .map_err(|_| timed_out())?
}

/// Opens a connection on which nothing is sent yet, without a timeout.
///
/// # Errors
/// As [`connect_http1`].
pub(in crate::upstream) async fn open(
    shared: &SharedUpstream,
    endpoint: &Endpoint,
) -> io::Result<Stream> {
    let settings = shared.settings();
    let socket = connect_endpoint(shared, endpoint).await?;
    match &settings.targets[endpoint.target].tls_name {
        None => Ok(Stream::Plain(socket)),
        Some(name) => {
            let config = shared.tls.current();
            start_tls(socket, config, name.clone(), settings.protocol).await
        }
    }
}

/// The timeouts of a connection on which no HTTP/1.1 exchange keeps its own.
pub(in crate::upstream) fn connection_timeouts(settings: &UpstreamSettings) -> ConnectionTimeouts {
    ConnectionTimeouts {
        keep_alive: settings.pool_idle_timeout,
        header: settings.response_timeout,
        write: settings.body_idle_timeout,
    }
}

async fn connect_endpoint(shared: &SharedUpstream, endpoint: &Endpoint) -> io::Result<TcpStream> {
    let settings = shared.settings();
    if let EndpointAddress::Network(address) = endpoint.address {
        return connect_address(settings.protocol, endpoint, address).await;
    }
    let (host, port) = match &settings.targets[endpoint.target].address {
        TargetAddress::Unix(path) => return connect_unix(path),
        TargetAddress::Network { host, port } => (host, *port),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in shared.resolver.look_up(host, port).await? {
        match connect_address(settings.protocol, endpoint, address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn connect_address(
    protocol: Protocol,
    endpoint: &Endpoint,
    address: SocketAddr,
) -> io::Result<TcpStream> {
    // HTTP/2 bounds each response by its window, and the kernel's buffer is for all of them.
    let is_bounded = protocol == Protocol::Http1 && endpoint.is_near();
    let began = clock::now();
    let socket = connect_tcp(address, is_bounded.then_some(NEAR_RECEIVE_BUFFER)).await?;
    endpoint.record_connect_time(clock::since(began));
    socket.set_nodelay(true)?;
    Ok(socket)
}

fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "no connection within connect_timeout",
    )
}

//! HTTP/2 with clients and upstreams, frame by frame.

mod bodies;
mod body_limits;
mod client;
mod drain;
mod fixed_responses;
mod floods;
mod flow_control;
mod frame_connection;
mod frame_upstream;
mod frames;
mod identity;
mod limits;
mod malformed_requests;
mod mcp;
mod outlier;
mod rate_limits;
mod request_headers;
mod requests;
mod resources;
mod response_headers;
mod responses;
mod retries;
mod security_events;
mod timeouts;
mod uploads;
mod upstreams;

use std::net::SocketAddr;
use std::thread;

/// A port that refuses connections, reserved while the socket is open.
fn refusing_port() -> (socket2::Socket, SocketAddr) {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("a free port");
    let address = socket
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .expect("a bound socket");
    (socket, address)
}

/// Runs all cases concurrently, because each one waits.
fn concurrently<T: Send>(cases: impl IntoIterator<Item = T>, claim: impl Fn(T) + Sync) {
    let claim = &claim;
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || claim(case));
        }
    });
}

//! HTTP/2 on either side of the gateway, down to the single frame.

mod bodies;
mod client;
mod drain;
mod floods;
mod flow_control;
mod frame_connection;
mod frame_upstream;
mod frames;
mod identity;
mod limits;
mod requests;
mod responses;
mod retries;
mod timeouts;
mod uploads;
mod upstreams;

use std::net::SocketAddr;
use std::thread;

/// A port where nobody listens, for as long as the socket is kept: nobody else gets it.
fn held() -> (socket2::Socket, SocketAddr) {
    let held =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    held.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("a free port");
    let address = held
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .expect("a bound socket");
    (held, address)
}

/// Has every case wait beside the others.
fn at_once<T: Send>(cases: impl IntoIterator<Item = T>, claim: impl Fn(T) + Sync) {
    let claim = &claim;
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || claim(case));
        }
    });
}

//! Real servers on loopback: a scripted issuer, a scripted upstream, a gateway between them, and a
//! client that reads every byte. The kernel picks the ports. No wait is longer than [`TIMEOUT`].

mod client;
mod deadline;
mod gateway;
mod grpc_upstream;
mod hyper_server;
mod issuer;
mod logs;
mod recording_upstream;
mod server;
mod test_bed;
mod tls;
mod tunnel_proxy;
mod unix;

use std::time::{Duration, Instant};

pub use client::{Connection, Response, get, send};
pub use deadline::bounded;
pub use gateway::Gateway;
pub use grpc_upstream::{GrpcServices, GrpcUpstream};
pub use hyper_server::{HyperServer, TruncatedBody};
pub use issuer::{Issuer, Key, NOW, claims};
pub use logs::logged;
pub use recording_upstream::recording_upstream;
pub use server::{Received, Reply, Server};
pub use test_bed::TestBed;
pub use tls::{Authority, SelfSigned};
pub use tunnel_proxy::TunnelProxy;
pub use unix::UnixRelay;

/// Maximum time that a test waits for one condition.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; `what` names it in the failure.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "did not happen within {TIMEOUT:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

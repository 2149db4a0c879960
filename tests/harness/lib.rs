//! Real servers on loopback: an issuer and an upstream that do what a test tells them, a gateway between them, and a
//! client that sees every byte. Ports are picked by the kernel, and no wait is longer than [`TIMEOUT`].

mod client;
mod deadline;
mod gateway;
mod grpc_upstream;
mod hyper_server;
mod issuer;
mod logs;
mod server;
mod test_bed;
mod tls;

use std::time::{Duration, Instant};

pub use client::{Connection, Response, get, send};
pub use deadline::bounded;
pub use gateway::Gateway;
pub use grpc_upstream::{GrpcServices, GrpcUpstream};
pub use hyper_server::{HyperServer, TruncatedBody};
pub use issuer::{Issuer, Key, NOW, claims};
pub use logs::logged;
pub use server::{Received, Reply, Server};
pub use test_bed::TestBed;
pub use tls::Authority;

/// How long anything may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "not in {TIMEOUT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

//! Real servers on loopback: an issuer and an upstream that do what a test tells them, a gateway between them, and a
//! client that sees every byte. Ports are picked by the kernel, and no wait is longer than [`PATIENCE`].

mod bounded;
mod calls;
mod client;
mod gateway;
mod hyper_server;
mod issuer;
mod logs;
mod server;
mod stand;
mod tls;

use std::time::{Duration, Instant};

pub use bounded::bounded;
pub use calls::{Both, Calls};
pub use client::{Answer, Connection, get, send};
pub use gateway::Gateway;
pub use hyper_server::{Half, HyperServer};
pub use issuer::{Issuer, Key, NOW, claims};
pub use logs::logged;
pub use server::{Received, Reply, Server};
pub use stand::Stand;
pub use tls::Authority;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

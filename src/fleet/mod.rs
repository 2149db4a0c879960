//! Several gateways as one: what they share over Redis or Valkey, and how old it is.
//!
//! 1. Everything here runs on the control plane. A worker reads when the fleet was heard, and takes requests from what
//!    was leased.
//! 2. Redis is not trusted. It holds nothing in the clear; what it returns is bounded, and counts
//!    only if a gateway of this fleet has sealed it for this place.
//! 3. A revocation is active here before the fleet hears of it. While Redis is away, it waits.
//! 4. A gateway that has not heard the fleet for `max_revocation_age` says so, and refuses requests
//!    with tokens if `stale_revocations = "closed"`.
//!
//! - `seal`: encrypts and authenticates what is stored
//! - `redis`: a connection: timeouts and bounds
//! - `message`: the bytes of messages; `feed`: whether something is missing; `stream_length`: whether
//!   the stream has lost something
//! - `publisher`: what this gateway has to publish; `session`: reads and writes on one connection
//! - `service`: a connection for one purpose; `limits`: leases requests from shared limits;
//!   `responses`: introspection responses
//! - `status`: how old the revocations are, and counts

mod feed;
mod limits;
mod message;
mod publisher;
mod redis;
mod responses;
mod seal;
mod service;
mod session;
mod status;
mod stream_length;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;

pub use redis::{RedisServer, RedisSettings};
pub use seal::{FleetKey, Seal, SealError};
pub use status::{FleetReport, FleetStatus};

use crate::clock::{self, Clock};
use crate::revocation::Revocations;
use crate::text::truncated;
use feed::Feed;
use limits::LimitService;
use message::Sender;
use publisher::Publisher;
use redis::FleetError;
use responses::ResponseService;
use service::{Failures, RECONNECT};
use session::Session;
use stream_length::StreamLength;

/// The name of the stream of revocations.
const REVOCATIONS: &str = "revocations";
/// The name of the stream of heartbeats.
const HEARTBEATS: &str = "heartbeats";

/// What a fleet needs to know.
#[derive(Debug)]
pub struct FleetSettings {
    /// How the servers are reached.
    pub redis: RedisSettings,
    /// Seals what is stored.
    pub seal: Seal,
    /// What the names of all keys begin with.
    pub prefix: String,
    /// How long the stream keeps a revocation.
    pub retention: Duration,
    /// Timeout of one command.
    pub timeout: Duration,
}

impl FleetSettings {
    /// The key in Redis of what has this name. All keys are in one slot of a cluster.
    fn key(&self, name: &str) -> String {
        format!("{}{{fleet}}:{name}", self.prefix)
    }

    /// The secret of the keys of limits, which all gateways of the fleet have.
    #[must_use]
    pub fn limits_secret(&self) -> [u8; 16] {
        self.seal.secret("keys of limits")
    }
}

/// Takes part in the fleet until the process ends.
pub fn start(
    settings: FleetSettings,
    status: Arc<FleetStatus>,
    revocations: Arc<Revocations>,
    clock: Clock,
) {
    let settings = Arc::new(settings);
    tokio::spawn(status::watch(Arc::clone(&status)));
    if let Some(requested) = status.take_lease_requests() {
        let limits = LimitService {
            settings: Arc::clone(&settings),
            sharing: Arc::clone(status.limits()),
            requested,
        };
        tokio::spawn(service::keep(Arc::clone(&settings), limits));
    }
    if let Some(queries) = status.take_response_queries() {
        let responses = ResponseService {
            settings: Arc::clone(&settings),
            shared: Arc::clone(status.responses()),
            queries,
            clock: clock.clone(),
        };
        tokio::spawn(service::keep(Arc::clone(&settings), responses));
    }
    tokio::spawn(take_part(settings, status, revocations, clock));
}

async fn take_part(
    settings: Arc<FleetSettings>,
    status: Arc<FleetStatus>,
    revocations: Arc<Revocations>,
    clock: Clock,
) {
    let mut id = [0; 16];
    if rand::fill(&mut id).is_err() {
        tracing::error!("no randomness for the fleet; revocations are not shared");
        return;
    }
    let me = Sender(id);
    let mut session = Session {
        feed: Feed::new(me, status.max_age(), clock::now()),
        publisher: Publisher::new(me, revocations.listen()),
        position: session::Position::default(),
        length: StreamLength::default(),
        asks_since: None,
        unanswered: 0,
        is_rereading: false,
        settings,
        status,
        revocations,
        clock,
    };
    // What the file had, and what was revoked before the fleet was there.
    session.publisher.publish_all();
    let mut failures = Failures::default();
    loop {
        let started = clock::now();
        let error = match session.run().await {
            Err(error) => error,
            Ok(never) => match never {},
        };
        let was_connected = session.status.set_connected(false);
        let is_reachable = matches!(error, FleetError::Lost | FleetError::Unanswered);
        let has_lasted = clock::since(started) > RECONNECT.max || is_reachable;
        // A part of it may be from the server.
        let error = truncated(&error.to_string());
        session.status.failed(error.clone());
        if failures.count(was_connected && has_lasted) {
            tracing::warn!(error, "connection to Redis failed");
        }
        failures.pause().await;
    }
}

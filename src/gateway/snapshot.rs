//! The configuration compiled: everything that a request is judged and forwarded by.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::claim_headers::ClaimHeader;
use super::compile::Fingerprints;
use super::respond::ChallengeSettings;
use super::trusted_proxies::TrustedProxies;
use crate::clock;
use crate::policy::known_hosts::KnownHosts;
use crate::policy::route_table::RouteTable;
use crate::telemetry::{RequestLog, SampleRatio};
use crate::upstream::headers::ReservedHeaders;
use crate::upstream::{self, SharedUpstream};
use crate::values::PathParameters;
use crate::verify::{Issuer, Verifier};

/// The snapshot in force. Workers load it for each request; whoever reloads stores a new one.
pub type SharedSnapshot = Arc<ArcSwap<Snapshot>>;

/// One configuration, compiled. It never changes; another one takes its place.
pub struct Snapshot {
    /// Which route a request takes.
    pub routes: RouteTable,
    /// What becomes of a request, by the index of its route.
    pub forwarding: Vec<Forwarding>,
    /// Judges tokens.
    pub verifier: Verifier,
    /// Where requests go.
    pub upstreams: Vec<Arc<SharedUpstream>>,
    /// Header names that no client may set.
    pub reserved: Arc<ReservedHeaders>,
    /// How a refusal is worded.
    pub challenge: ChallengeSettings,
    /// Whether `;` may stand in a path.
    pub path_parameters: PathParameters,
    /// The proxies whose word on the clients behind them is taken.
    pub trusted_proxies: TrustedProxies,
    /// `http` or `https`, as clients see us; where it is not told, as they connect to us.
    pub external_scheme: Option<HeaderValue>,
    /// Between two reads of a request's body.
    pub body_idle_timeout: Duration,
    /// What is logged of requests.
    pub request_log: RequestLog,
    /// How many of the traces are recorded that requests are a part of; none where there are no traces.
    pub traces: Option<SampleRatio>,
    /// Whether each request has a name that everybody on its way is told.
    pub request_ids: bool,
    /// The hosts that the admin listener answers to.
    pub admin_hosts: KnownHosts,
    /// What its parts were compiled from, for the snapshot that replaces it.
    pub(super) fingerprints: Fingerprints,
}

/// What becomes of the requests of one route.
#[derive(Debug)]
pub struct Forwarding {
    /// The index of its upstream in [`Snapshot::upstreams`].
    pub upstream: usize,
    /// The route as its pattern, for logs.
    pub label: Arc<str>,
    /// The patterns of its hosts, for logs; none where it is for any.
    pub host: Option<Box<str>>,
    /// How many segments are taken off the front of the path.
    pub strip_segments: usize,
    /// Whether the upstream sees the access token.
    pub forward_token: bool,
    /// Whether a stream ends when the token ends that it was let through by.
    pub close_at_expiry: bool,
    /// How many bytes of the request body the rules see. No key of gateway.toml sets it yet.
    pub body_read: Option<usize>,
    /// Headers that the token's claims are told in.
    pub claim_headers: Vec<ClaimHeader>,
}

/// Does in the background what has to be done for the issuers and upstreams of a snapshot, on the runtime that this is
/// called on; of those that `earlier` has as well, it is done already.
pub fn start_background_tasks(snapshot: &Snapshot, earlier: Option<&Snapshot>) {
    let (issuers, upstreams) = (snapshot.verifier.issuers(), &snapshot.upstreams);
    let known = earlier.map_or(&[][..], |earlier| earlier.verifier.issuers());
    added(known, issuers).for_each(|issuer| issuer.start());
    let known = earlier.map_or(&[][..], |earlier| &earlier.upstreams);
    added(known, upstreams).for_each(upstream::start_background_tasks);
}

/// The issuers that `earlier` does not have, and whose keys are fetched.
pub fn new_key_issuers<'s>(snapshot: &'s Snapshot, earlier: &'s Snapshot) -> Vec<&'s Arc<Issuer>> {
    let new = added(earlier.verifier.issuers(), snapshot.verifier.issuers());
    new.filter(|issuer| issuer.fetches_keys()).collect()
}

/// Waits until it is known of every issuer whether its keys can be had, for at most `timeout` together.
pub async fn wait_for_keys(issuers: &[&Arc<Issuer>], timeout: Duration) {
    let deadline = clock::now() + timeout;
    for issuer in issuers {
        issuer
            .wait_for_keys(deadline.saturating_duration_since(clock::now()))
            .await;
    }
}

fn added<'s, T>(known: &'s [Arc<T>], all: &'s [Arc<T>]) -> impl Iterator<Item = &'s Arc<T>> {
    all.iter()
        .filter(|one| !known.iter().any(|known| Arc::ptr_eq(known, one)))
}

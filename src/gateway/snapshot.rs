//! The compiled configuration, by which requests are judged and forwarded.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::admin_token::AdminToken;
use super::claim_headers::ClaimHeader;
use super::compile::Fingerprints;
use super::fixed_response::FixedResponse;
use super::networks::Networks;
use super::resource_metadata::ResourceDocuments;
use super::respond::{ChallengeSettings, ClientProtocol, RefusalContext};
use super::response_rules::ResponseRules;
use super::route_limits::RouteLimits;
use super::security_events::SecurityEventReceiver;
use crate::clock::{self, Clock};
use crate::config::{self, Config, Spanned};
use crate::fleet::FleetStatus;
use crate::oauth::UnixTime;
use crate::oauth::bearer::{self, BearerToken};
use crate::policy::cors::CorsPolicy;
use crate::policy::known_hosts::KnownHosts;
use crate::policy::rewrite::PathRewrite;
use crate::policy::route_table::RouteTable;
use crate::policy::token_sources::{DecodedToken, TokenError, TokenSources};
use crate::rate_limits::Limit;
use crate::revocation::FileFault;
use crate::telemetry::{RequestLog, SampleRatio};
use crate::upstream::headers::{ReservedHeaders, is_websocket_handshake};
use crate::upstream::{self, BodyLimit, SharedUpstream};
use crate::values::PathParameters;
use crate::verify::{Issuer, Verifier};

/// How often expired revocations are removed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// The active snapshot. Workers load it for each request, and a reload replaces it.
pub type SharedSnapshot = Arc<ArcSwap<Snapshot>>;

/// One compiled configuration. It never changes; a reload replaces it.
pub struct Snapshot {
    /// Which route a request takes.
    pub routes: RouteTable,
    /// How the requests of each route are forwarded, by the index of the route.
    pub forwarding: Vec<Forwarding>,
    /// The rules for responses to requests that belong to no route.
    pub unrouted_response: ResponseRules,
    /// Whether any rule is about CORS.
    pub has_cors: bool,
    /// The metadata of the protected resources; none without one.
    pub resource_documents: Option<Box<ResourceDocuments>>,
    /// Where Security Event Tokens are pushed to; none if they are not.
    pub security_events: Option<Box<SecurityEventReceiver>>,
    /// Verifies access tokens.
    pub verifier: Verifier,
    /// Where requests are forwarded.
    pub upstreams: Vec<Arc<SharedUpstream>>,
    /// How many requests clients may send.
    pub limits: Vec<Arc<Limit>>,
    /// Header names that no client may set on any route.
    pub reserved: Arc<ReservedHeaders>,
    /// What challenges contain.
    pub challenge: ChallengeSettings,
    /// Whether `;` may occur in a path.
    pub path_parameters: PathParameters,
    /// Proxies whose statements about their clients are believed.
    pub trusted_proxies: Networks,
    /// `http` or `https`, as clients see the gateway; none to go by the connection.
    pub external_scheme: Option<HeaderValue>,
    /// The longest pause between two reads of a request body.
    pub body_idle_timeout: Duration,
    /// What the access log contains.
    pub request_log: RequestLog,
    /// The share of traces that is recorded; none if tracing is off.
    pub traces: Option<SampleRatio>,
    /// Whether requests have an `X-Request-Id`.
    pub request_ids: bool,
    /// The hosts that the admin listener accepts.
    pub admin_hosts: KnownHosts,
    /// The token that changes by the admin listener need; none if it accepts no change.
    pub admin_token: Option<AdminToken>,
    /// How old the revocations of the fleet are; none without a fleet.
    pub fleet: Option<Arc<FleetStatus>>,
    /// What its parts were compiled from, for the snapshot that replaces it.
    pub(super) fingerprints: Fingerprints,
}

/// Where gateway.toml declares a route: each path of `path` is a route of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The index in `routes`.
    pub route: usize,
    /// The index in its `path`.
    pub path: usize,
}

/// The index of the upstream of routes that respond themselves. No upstream has it, so a request that
/// was forwarded there by mistake would fail.
pub(super) const NO_UPSTREAM: usize = usize::MAX;

/// How the requests of one route are forwarded.
#[derive(Debug)]
pub struct Forwarding {
    /// Where the route is declared.
    pub declaration: Declaration,
    /// The index of its upstream in [`Snapshot::upstreams`], or `NO_UPSTREAM`.
    pub upstream: usize,
    /// The response to permitted requests, if they have no upstream.
    pub respond: Option<Box<FixedResponse>>,
    /// The path pattern of the route, for logs.
    pub label: Arc<str>,
    /// The host patterns of the route, for logs; none if it accepts any host.
    pub host: Option<Box<str>>,
    /// The clients that may use the route; none for all.
    pub allow_from: Option<Networks>,
    /// Where requests have their token; none for the `Authorization` header alone.
    pub token_from: Option<TokenSources>,
    /// The limits that its requests count in; none without one.
    pub limits: Option<Arc<RouteLimits>>,
    /// How many segments are removed from the front of the path.
    pub strip_segments: usize,
    /// What replaces the path.
    pub rewrite: Option<Box<PathRewrite>>,
    /// Whether the upstream gets the access token.
    pub forward_token: bool,
    /// Whether a stream ends when its token expires.
    pub close_at_expiry: bool,
    /// The limit of request bodies; none if any size is accepted.
    pub max_body_size: Option<BodyLimit>,
    /// Replaces the response timeout of the upstream.
    pub response_timeout: Option<Duration>,
    /// Whether an MCP server is behind the route. It gets no other protocol, in which messages would
    /// not be judged.
    pub is_mcp: bool,
    /// Headers that no client may send here, in place of [`Snapshot::reserved`].
    pub reserved: Option<Arc<ReservedHeaders>>,
    /// Whether `Authorization` is forwarded only with a verified token, because another route gives
    /// this upstream a secret there.
    pub forwards_verified_only: bool,
    /// Headers that the upstream gets, whatever the client sent.
    pub set_headers: Box<[(HeaderName, HeaderValue)]>,
    /// Headers that pass claims of the token to the upstream.
    pub claim_headers: Vec<ClaimHeader>,
    /// What changes in its responses.
    pub response: ResponseRules,
}

impl Forwarding {
    /// Extracts the token of a request. `known` is one that was parsed before; it is not parsed
    /// again if it is the one in the header.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub(crate) fn token<'h>(
        &self,
        parts: &'h Parts,
        decoded: &'h DecodedToken,
        known: Option<&'h str>,
    ) -> Result<BearerToken<'h>, TokenError> {
        match &self.token_from {
            None => Ok(bearer::extract_or_reuse(&parts.headers, known)?),
            Some(sources) => {
                sources.extract(&parts.headers, is_websocket_handshake(parts), decoded)
            }
        }
    }
}

impl Snapshot {
    /// The declaration of a route, and its path there; `config` is what this was compiled from.
    #[must_use]
    pub fn declaration<'c>(
        &self,
        index: usize,
        config: &'c Config,
    ) -> (&'c config::Route, &'c Spanned<String>) {
        let Declaration { route, path } = self.forwarding[index].declaration;
        let route = &config.routes[route];
        (route, &route.path[path])
    }

    /// The rules for responses to requests of this route, or of none.
    pub(super) fn response_rules(&self, route: Option<usize>) -> &ResponseRules {
        // Nothing here may panic: a request whose judgement panicked has a response as well.
        route
            .and_then(|route| self.forwarding.get(route))
            .map_or(&self.unrouted_response, |route| &route.response)
    }

    /// What the response to a refused request of this route depends on, or of none.
    pub(super) fn refusal_context(
        &self,
        route: Option<usize>,
        protocol: ClientProtocol,
    ) -> RefusalContext<'_> {
        // Nothing here may panic, as above.
        let route = route.and_then(|route| self.routes.routes().get(route));
        let resource = route.and_then(|route| route.resource.as_ref());
        RefusalContext {
            settings: &self.challenge,
            resource_metadata: resource.map(|resource| &*resource.metadata_url),
            protocol,
        }
    }

    /// Which pages of other origins may use this route, or a path without one.
    pub(super) fn cors_of(&self, route: Option<usize>) -> Option<&CorsPolicy> {
        self.response_rules(route).cors.as_deref()
    }
}

/// Reads the file of revocations, and warns if there is none. Without `[revocations]`, nothing.
///
/// # Errors
/// [`FileFault`]: the gateway must not start.
pub fn open_revocations(
    snapshot: &Snapshot,
    config: &Config,
    now: UnixTime,
) -> Result<(), FileFault> {
    let written = config.revocations.as_ref();
    let Some((revocations, written)) = snapshot.verifier.revocations().zip(written) else {
        return Ok(());
    };
    match &written.file {
        Some(file) => {
            let entries = revocations.open(&file.value, now)?;
            tracing::info!(file = %file.value.display(), entries, "revocations read");
        }
        None => tracing::warn!("revocations are forgotten at a restart; set file in [revocations]"),
    }
    Ok(())
}

/// Removes expired revocations once a minute, for ever.
pub async fn sweep_revocations(snapshot: SharedSnapshot, clock: Clock) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        if let Some(revocations) = snapshot.load().verifier.revocations() {
            revocations.remove_expired(clock.now());
        }
    }
}

/// Starts the background tasks of the issuers and upstreams that `earlier` does not have, on the
/// current runtime.
pub fn start_background_tasks(snapshot: &Snapshot, earlier: Option<&Snapshot>) {
    let (issuers, upstreams) = (snapshot.verifier.issuers(), &snapshot.upstreams);
    let known = earlier.map_or(&[][..], |earlier| earlier.verifier.issuers());
    let fleet = snapshot.fleet.as_ref();
    let responses = fleet.map(|fleet| fleet.responses());
    added(known, issuers).for_each(|issuer| issuer.start(responses));
    let known = earlier.map_or(&[][..], |earlier| &earlier.upstreams);
    added(known, upstreams).for_each(upstream::start_background_tasks);
}

/// The issuers that `earlier` does not have and whose keys are fetched.
pub fn new_key_issuers<'s>(snapshot: &'s Snapshot, earlier: &'s Snapshot) -> Vec<&'s Arc<Issuer>> {
    let new = added(earlier.verifier.issuers(), snapshot.verifier.issuers());
    new.filter(|issuer| issuer.fetches_keys()).collect()
}

/// Waits, for at most `timeout` in total, until each issuer has keys or has failed to fetch them.
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

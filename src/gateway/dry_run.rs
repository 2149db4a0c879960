//! Judges and prepares a request without forwarding it, for `scopegate explain`.
//!
//! A dry run uses the same [`judge`] and [`prepare`] as the gateway, so its report cannot differ from
//! what the gateway does. Neither of them knows of it.

use std::borrow::Cow;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};

use super::admission;
use super::claim_headers::OmittedClaim;
use super::connection::{Connection, ConnectionOrigin};
use super::facts::{Decision, Facts, RequestHead};
use super::judge::{Judgement, RequestContext, STEPS, judge};
use super::panics::catch_panic;
use super::prepare::{Prepared, prepare};
use super::refusal::Refusal;
use super::request_id::RequestIds;
use super::respond::{ClientProtocol, respond};
use super::snapshot::Snapshot;
use crate::clock::Ticker;
use crate::oauth::claims::ActiveToken;
use crate::policy::cors;
use crate::policy::path::NormalPath;
use crate::rate_limits::WorkerLimits;
use crate::telemetry::{Outcome, Trace, WorkerTelemetry};
use crate::transport::{ConnectionState, IncomingBody, Interim, UnreadBody};
use crate::upstream::RequestBody;
use crate::upstream::headers::{ClientInfo, X_REQUEST_ID};
use crate::verify::{ConnectionCache, WorkerCache};

/// Judges and prepares requests of one client connection, and forwards none.
pub struct DryRun {
    snapshot: Arc<Snapshot>,
    limits: WorkerLimits,
    ticker: Rc<Ticker>,
    telemetry: Rc<WorkerTelemetry>,
    connection: Connection,
}

/// What the gateway would do with a request, and why.
#[derive(Debug)]
pub struct DryRunReport {
    /// What was decided.
    pub outcome: Outcome,
    /// The index of the route that the response belongs to.
    pub route: Option<usize>,
    /// Why it was refused, for the operator.
    pub cause: Option<String>,
    /// The issuer that a refusal has to do with.
    pub issuer: Option<Arc<str>>,
    /// The access token, if it is active.
    pub token: Option<Arc<ActiveToken>>,
    /// The index of the rule for the operation, if the request asks an MCP server for one.
    pub operation: Option<usize>,
    /// Whether the gateway would respond itself, without a refusal.
    pub is_reply: bool,
    /// What would be sent to the upstream.
    pub outgoing: Option<Outgoing>,
}

/// A request, ready for its upstream.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The index of its route.
    pub route: usize,
    /// The name of the upstream in gateway.toml.
    pub upstream: Arc<str>,
    /// What it would get; its `Host`, where that is not the client's, depends on the endpoint that is
    /// selected.
    pub parts: Parts,
    /// How long the gateway would wait for the response head, where the route says so.
    pub response_timeout: Option<Duration>,
    /// The largest body that the request may have, in bytes.
    pub max_body_size: Option<u64>,
    /// The claim headers that it does not get, because they cannot express their claims.
    pub omitted: Vec<OmittedClaim>,
}

/// What a request asks for, as the gateway reads it; each is `None` where it can be read in more than
/// one way.
#[derive(Debug)]
pub struct RequestTarget<'r> {
    /// In lower case, without port.
    pub host: Option<Cow<'r, str>>,
    /// In normal form.
    pub path: Option<NormalPath<'r>>,
}

impl DryRun {
    /// For a client that has connected.
    #[must_use]
    pub fn new(
        snapshot: Arc<Snapshot>,
        ticker: Rc<Ticker>,
        telemetry: Rc<WorkerTelemetry>,
        origin: ConnectionOrigin,
    ) -> Self {
        let tokens = WorkerCache::new(Arc::clone(telemetry.tokens()));
        let (state, interim) = (ConnectionState::idle(), Interim::default());
        let connection = Connection::new(origin, state, interim, ConnectionCache::new(tokens));
        Self {
            limits: WorkerLimits::new(&snapshot.limits),
            snapshot,
            ticker,
            telemetry,
            connection,
        }
    }

    /// What the gateway would do with this request, and what it would respond if it refused it.
    pub async fn run(&self, request: Request<IncomingBody>) -> (Response<Bytes>, DryRunReport) {
        let snapshot = &self.snapshot;
        let client = self.connection.client(snapshot);
        let (parts, incoming) = request.into_parts();
        let idle_timeout = snapshot.body_idle_timeout;
        let mut body = RequestBody::new(incoming, &snapshot.reserved, idle_timeout, &self.ticker);
        let request_ids = snapshot.request_ids.then(RequestIds::new);
        let request_id = request_ids.map(|ids| ids.select(&parts.headers, client.is_trusted));
        let trace = self.begin_trace(&parts, &client);
        let context = RequestContext {
            snapshot,
            limits: &self.limits,
            connection_cache: &self.connection.connection_cache,
            ticker: &self.ticker,
            client: &client,
            redirect: self.connection.origin.redirect.as_ref(),
        };
        let head = RequestHead::new(&parts, None);
        let mut facts = Facts::default();
        let trace = trace.as_deref();
        let judging = judge(&STEPS, &context, &head, &mut body, trace, &mut facts);
        let judged = catch_panic(pin!(judging)).await;
        let mut report = DryRunReport::of(&facts);
        let protocol = ClientProtocol::of(&parts.headers);
        let refusal_context = snapshot.refusal_context(facts.route, protocol);
        let mut response = match judged {
            Ok(Judgement::Reply(response)) => {
                report.is_reply = true;
                *response
            }
            Ok(Judgement::Forward(judged)) => {
                let request_id = request_id.as_ref();
                let mut parts = parts.clone();
                match prepare(judged, &mut parts, &body, &context, request_id, trace) {
                    Ok(prepared) => {
                        report.outgoing = Some(Outgoing::of(prepared, parts, snapshot));
                        Response::default()
                    }
                    Err(refusal) => {
                        report.refuse(&refusal);
                        respond(&refusal, refusal_context)
                    }
                }
            }
            Err(refusal) => {
                report.refuse(&refusal);
                let mut response = respond(&refusal, refusal_context);
                let unread = UnreadBody::new(&parts, body.into_unread(), &self.ticker);
                unread.set_connection(response.headers_mut());
                response
            }
        };
        self.set_fields(response.headers_mut(), &facts, &parts, request_id);
        (response, report)
    }

    // Sets the fields that every response has.
    fn set_fields(
        &self,
        response: &mut HeaderMap,
        facts: &Facts<'_>,
        request: &Parts,
        id: Option<HeaderValue>,
    ) {
        if let Some(counted) = &facts.counted {
            counted.set_fields(&self.limits, response);
        }
        let rules = self.snapshot.response_rules(facts.route);
        rules.apply(cors::origin(&request.headers), false, response);
        if let Some(id) = id {
            response.insert(X_REQUEST_ID, id);
        }
    }

    fn begin_trace(&self, parts: &Parts, client: &ClientInfo) -> Option<Box<Trace>> {
        let ratio = self.snapshot.traces?;
        let is_https = client.scheme == "https";
        let begun = self
            .telemetry
            .begin_trace(ratio, &parts.headers, client.is_trusted, is_https);
        Some(begun)
    }
}

impl DryRunReport {
    fn of(facts: &Facts<'_>) -> Self {
        let mut report = Self {
            outcome: facts.outcome(),
            route: facts.route,
            cause: None,
            issuer: None,
            token: facts.token.clone(),
            operation: facts.operation,
            is_reply: false,
            outgoing: None,
        };
        if let Decision::Shadowed(refusal) = &facts.decision {
            report.blame(refusal);
        }
        report
    }

    fn refuse(&mut self, refusal: &Refusal) {
        self.outcome = Outcome::Refused(refusal.reason());
        self.blame(refusal);
    }

    fn blame(&mut self, refusal: &Refusal) {
        self.cause = refusal.cause();
        self.issuer = refusal.issuer().cloned();
    }
}

impl Outgoing {
    fn of(prepared: Prepared<'_>, mut parts: Parts, snapshot: &Snapshot) -> Self {
        prepared.added.append_to(&mut parts.headers);
        let forwarding = prepared.forwarding;
        let upstream = snapshot.upstreams[forwarding.upstream].settings();
        let omitted = prepared.omitted.into_iter();
        Self {
            route: prepared.permit.route(),
            upstream: Arc::clone(&upstream.name),
            parts,
            response_timeout: forwarding.response_timeout,
            max_body_size: forwarding.max_body_size.map(|limit| limit.bytes),
            omitted: omitted
                .map(|(header, found)| header.omitted(found))
                .collect(),
        }
    }
}

impl<'r> RequestTarget<'r> {
    /// Reads what a request asks for.
    #[must_use]
    pub fn of(parts: &'r Parts, snapshot: &Snapshot) -> Self {
        Self {
            host: admission::host(parts).ok(),
            path: NormalPath::parse(parts.uri.path(), snapshot.path_parameters).ok(),
        }
    }
}

//! Decides whether a request may pass, by a list of steps. Each continues, permits, replies or
//! refuses.
//!
//! 1. The steps run in the order of [`STEPS`], and what they learn goes into [`Facts`].
//! 2. Only three of them wait: the one that verifies the token, and those that read a body: the
//!    message of a request to an MCP server, or a Security Event Token. The others are lists of plain
//!    functions: a future for each of them would make the state of every request larger.
//! 3. A route in shadow mode forwards what it would refuse for lack of a sufficient token, without looking
//!    at the message of such a request. All other refusals hold there as well.
//! 4. Nothing is forwarded without a [`Permit`]. A list of steps that ends without one is a fault
//!    of ours, and refuses the request.

mod limits;
mod metadata;
mod operation;
mod preflight;
mod redirect;
mod security_event;

pub use preflight::Preflight;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

use super::admission;
use super::facts::{Decision, Facts, RequestHead};
use super::https_redirect::HttpsRedirect;
use super::refusal::{OriginRule, Refusal};
use super::snapshot::Snapshot;
use crate::client_limits::ClientAddress;
use crate::clock::Ticker;
use crate::oauth::bearer::BearerError;
use crate::policy::cors;
use crate::policy::decision::{self, Permit};
use crate::policy::path::NormalPath;
use crate::policy::rewrite::PathRewrite;
use crate::policy::route_table::{MatchedRoute, NoRoute};
use crate::policy::token_sources::TokenError;
use crate::rate_limits::WorkerLimits;
use crate::telemetry::Trace;
use crate::transport::content_length;
use crate::upstream::headers::ClientInfo;
use crate::upstream::{BodyTooLarge, RequestBody, RequestBodyFault};
use crate::verify::{ConnectionCache, VerificationRequest, VerifiedToken};

/// What one worker knows while it judges a request.
pub(super) struct RequestContext<'c> {
    pub(super) snapshot: &'c Arc<Snapshot>,
    /// The limits of the snapshot, as this worker uses them.
    pub(super) limits: &'c WorkerLimits,
    /// What is cached of tokens.
    pub(super) connection_cache: &'c ConnectionCache,
    pub(super) ticker: &'c Rc<Ticker>,
    /// The client by its connection: its address, and whether it is a trusted proxy.
    pub(super) client: &'c ClientInfo,
    /// Where the listener redirects every request; none if it serves routes.
    pub(super) redirect: Option<&'c HttpsRedirect>,
}

impl RequestContext<'_> {
    /// The client address of a request: the peer's, or what trusted proxies report.
    fn client_address(&self, headers: &HeaderMap) -> ClientAddress {
        let is_trusted = |address: IpAddr| self.snapshot.trusted_proxies.contains(address);
        self.client.client_address(headers, is_trusted)
    }
}

/// One step of the judgement.
#[derive(Clone, Copy)]
pub(super) enum Step {
    /// Judge by what is at hand, one after the other.
    Checks(&'static [Check]),
    /// Receives a Security Event Token, on the path for those.
    ReceiveSecurityEvent,
    /// Verifies the access token, if the route requires one.
    VerifyToken,
    /// Finds the rule for the operation, if an MCP server is behind the route.
    JudgeOperation,
}

/// A part of a step that does not wait.
pub(super) type Check =
    for<'h> fn(&RequestContext<'h>, &'h RequestHead<'_>, &mut Facts<'h>) -> Result<Flow, Refusal>;

/// What follows a step.
pub(super) enum Flow {
    /// The next step.
    Continue,
    /// The judgement ends: the request may pass.
    Permit(Permit),
    /// The judgement ends with this response, which is no refusal.
    Reply(Box<Response<Bytes>>),
}

/// The outcome for a request that was not refused.
pub(super) enum Judgement {
    /// Forward it to its upstream.
    Forward(Judged),
    /// Respond without an upstream.
    Reply(Box<Response<Bytes>>),
}

/// A request that may be forwarded.
pub(super) struct Judged {
    pub(super) permit: Permit,
    /// The token that it is permitted by; none on a public route and in shadow mode.
    pub(super) token: Option<Arc<VerifiedToken>>,
    /// The path to send, where that is not the path that came.
    pub(super) path: Option<String>,
}

/// The steps of every request.
pub(super) const STEPS: [Step; 7] = [
    Step::Checks(&[redirect::redirect_to_https, admit, normalize_path]),
    Step::ReceiveSecurityEvent,
    Step::Checks(&[
        metadata::respond_with_metadata,
        preflight::respond_to_preflight,
        find_route,
        check_address,
        operation::check_origin,
        limits::count_before_token,
    ]),
    Step::VerifyToken,
    Step::Checks(&[limits::count_after_token]),
    Step::JudgeOperation,
    Step::Checks(&[decide]),
];

/// Runs the steps until one of them ends the judgement.
///
/// # Errors
/// The refusal of the step that refused.
pub(super) async fn judge<'h>(
    steps: &[Step],
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    body: &mut RequestBody,
    trace: Option<&Trace>,
    facts: &mut Facts<'h>,
) -> Result<Judgement, Refusal> {
    for step in steps {
        let flow = match step {
            Step::Checks(checks) => run_checks(checks, context, head, facts),
            Step::ReceiveSecurityEvent => receive_security_event(context, head, body, facts).await,
            Step::VerifyToken => verify_token(context, head, trace, facts).await,
            Step::JudgeOperation => judge_operation(context, head, body, facts).await,
        };
        if !matches!(flow, Ok(Flow::Continue)) {
            return end(flow, context, head, body, facts);
        }
    }
    Err(Refusal::Internal)
}

fn run_checks<'h>(
    checks: &[Check],
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    for check in checks {
        let flow = check(context, head, facts);
        if !matches!(flow, Ok(Flow::Continue)) {
            return flow;
        }
    }
    Ok(Flow::Continue)
}

// A function of its own: a step that continues moves nothing.
fn end(
    flow: Result<Flow, Refusal>,
    context: &RequestContext<'_>,
    head: &RequestHead<'_>,
    body: &mut RequestBody,
    facts: &mut Facts<'_>,
) -> Result<Judgement, Refusal> {
    match flow {
        // A judgement that ends without a permit is a fault of ours.
        Ok(Flow::Continue) => Err(Refusal::Internal),
        Ok(Flow::Permit(permit)) => {
            apply_body_rules(context, permit.route(), head, body)?;
            let token = facts.verified.take();
            let judgement = use_permit(permit, token, context, head, facts)?;
            if matches!(judgement, Judgement::Reply(_)) {
                facts.decision = Decision::Replied;
            }
            Ok(judgement)
        }
        Ok(Flow::Reply(response)) => {
            facts.decision = Decision::Replied;
            Ok(Judgement::Reply(response))
        }
        Err(refusal) => refuse_or_shadow(refusal, context, head, body, facts),
    }
}

#[cold]
fn refuse_or_shadow(
    mut refusal: Refusal,
    context: &RequestContext<'_>,
    head: &RequestHead<'_>,
    body: &mut RequestBody,
    facts: &mut Facts<'_>,
) -> Result<Judgement, Refusal> {
    // RFC 9728 and MCP: a client that comes without a usable token learns what to ask for.
    if let Some(found) = &facts.matched
        && (found.route.resource.is_some() || found.route.mcp.is_some())
    {
        refusal.name_scope(|| decision::needed_scope(found));
    }
    let shadow = facts.matched.as_ref().and_then(decision::unenforced);
    let Some(permit) = shadow.filter(|_| refusal.is_waived_in_shadow_mode()) else {
        return Err(refusal);
    };
    apply_body_rules(context, permit.route(), head, body)?;
    facts.decision = Decision::Shadowed(refusal);
    use_permit(permit, None, context, head, facts)
}

/// Consumes the permit: by the fixed response of its route, or to forward the request.
fn use_permit(
    permit: Permit,
    token: Option<Arc<VerifiedToken>>,
    context: &RequestContext<'_>,
    head: &RequestHead<'_>,
    facts: &Facts<'_>,
) -> Result<Judgement, Refusal> {
    if let Some(fixed) = &context.snapshot.forwarding[permit.route()].respond {
        let response = fixed.respond(permit, head.parts);
        return Ok(Judgement::Reply(Box::new(response)));
    }
    Judged::new(permit, token, context, head, facts).map(Judgement::Forward)
}

impl Judged {
    fn new(
        permit: Permit,
        token: Option<Arc<VerifiedToken>>,
        context: &RequestContext<'_>,
        head: &RequestHead<'_>,
        facts: &Facts<'_>,
    ) -> Result<Self, Refusal> {
        let forwarding = &context.snapshot.forwarding[permit.route()];
        let path = match &forwarding.rewrite {
            None => {
                let came = head.parts.uri.path();
                let judged = facts.path.map_or(came, NormalPath::as_str);
                let sent = without_first_segments(judged, forwarding.strip_segments);
                (sent != came).then(|| sent.to_owned())
            }
            Some(rewrite) => Some(rewritten(rewrite, context, facts)?),
        };
        Ok(Self {
            permit,
            token,
            path,
        })
    }
}

#[cold]
fn rewritten(
    rewrite: &PathRewrite,
    context: &RequestContext<'_>,
    facts: &Facts<'_>,
) -> Result<String, Refusal> {
    let (Some(path), Some(found)) = (facts.path, &facts.matched) else {
        return Err(Refusal::Internal);
    };
    let rules = context.snapshot.path_parameters;
    Ok(rewrite.apply(path, &found.parameters, rules)?)
}

/// Refuses requests that servers could read in different ways, and methods that are never forwarded.
fn admit<'h>(
    _: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let parts = head.parts;
    if let Some(offset) = head.fragment_offset {
        admission::check_fragment(parts, offset)?;
    }
    if !admission::is_forwardable(&parts.method) {
        return Err(Refusal::MethodNotAllowed {
            allow: HeaderValue::from_static(admission::FORWARDABLE_METHODS),
            found: parts.method.clone(),
        });
    }
    let host = admission::check(parts)?;
    facts.host = Some(head.host.get_or_init(|| host));
    Ok(Flow::Continue)
}

fn normalize_path<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let path = NormalPath::parse(head.parts.uri.path(), context.snapshot.path_parameters)?;
    facts.path = Some(head.path.get_or_init(|| path));
    Ok(Flow::Continue)
}

fn find_route<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let (Some(host), Some(path)) = (facts.host, facts.path) else {
        return Err(Refusal::Internal);
    };
    let snapshot: &'h Snapshot = context.snapshot;
    let method = &head.parts.method;
    let found = snapshot.routes.find(host, path, method);
    // A method that the route does not allow is counted for the route.
    if let Ok(MatchedRoute { index, .. }) | Err(NoRoute::MethodNotAllowed { of: index, .. }) = found
    {
        facts.route = Some(index);
    }
    let path_of = |index: usize| snapshot.routes.routes()[index].path.as_str().to_owned();
    let found = found.map_err(|error| Refusal::from_no_route(error, host, method, path_of))?;
    facts.matched = Some(found);
    Ok(Flow::Continue)
}

/// Refuses clients of networks that the route does not list, before their token costs anything.
fn check_address<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(found) = facts.matched.as_ref() else {
        return Err(Refusal::Internal);
    };
    let Some(networks) = &context.snapshot.forwarding[found.index].allow_from else {
        return Ok(Flow::Continue);
    };
    let is_trusted = |address: IpAddr| context.snapshot.trusted_proxies.contains(address);
    let reported = context
        .client
        .reported_address(&head.parts.headers, is_trusted);
    if reported.is_ok_and(|address| networks.contains(address)) {
        Ok(Flow::Continue)
    } else {
        Err(Refusal::AddressNotAllowed { found: reported })
    }
}

async fn verify_token<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    trace: Option<&Trace>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(found) = facts.matched.as_ref() else {
        return Err(Refusal::Internal);
    };
    if found.route.requirement.is_public() {
        return Ok(Flow::Continue);
    }
    let snapshot = context.snapshot;
    let headers = &head.parts.headers;
    let last = context.connection_cache.last();
    let token = snapshot.forwarding[found.index]
        .token(
            head.parts,
            &head.decoded_token,
            last.as_ref().map(|last| last.text()),
        )
        .map_err(|error| refuse_without_token(error, found, snapshot, headers))?;
    if let Some(fleet) = &snapshot.fleet
        && fleet.refuses_tokens()
    {
        return Err(Refusal::RevocationsStale);
    }
    let request = VerificationRequest {
        token,
        connection_cache: context.connection_cache,
        accepts: |issuer: &str| found.route.accepts_issuer(issuer),
        client: || context.client_address(headers).for_limits(),
        now: context.ticker.wall(),
        trace,
    };
    let verified = snapshot.verifier.verify(&request).await;
    let verified = verified.map_err(Refusal::from_verify_error)?;
    facts.token = Some(Arc::clone(verified.token()));
    facts.verified = Some(verified);
    Ok(Flow::Continue)
}

fn refuse_without_token(
    error: TokenError,
    found: &MatchedRoute<'_, '_>,
    snapshot: &Snapshot,
    headers: &HeaderMap,
) -> Refusal {
    match error {
        TokenError::NotSent
        | TokenError::Header(BearerError::Missing | BearerError::OtherScheme) => {
            let scope = if snapshot.challenge.scope_when_unauthenticated {
                decision::needed_scope(found)
            } else {
                None
            };
            Refusal::NoToken { scope, error }
        }
        // No challenge: a page of a foreign origin must not get one to act on.
        TokenError::ForeignPage => Refusal::OriginNotAllowed {
            rule: OriginRule::Cookie,
            found: cors::describe_origin(headers),
        },
        TokenError::SeveralSources
        | TokenError::MalformedProtocols
        | TokenError::NoOtherProtocol
        | TokenError::MalformedCookie
        | TokenError::RepeatedCookie
        | TokenError::Header(BearerError::Malformed | BearerError::Repeated) => {
            Refusal::BadAuthorization(error)
        }
    }
}

// Before any route, as the metadata is. Boxed for the same reason as `judge_operation`.
async fn receive_security_event<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    body: &mut RequestBody,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(receiver) = &context.snapshot.security_events else {
        return Ok(Flow::Continue);
    };
    let Some(path) = facts.path else {
        return Err(Refusal::Internal);
    };
    if *path.as_str() != *receiver.path {
        return Ok(Flow::Continue);
    }
    let received = Box::pin(security_event::receive(receiver, context, head, body)).await;
    received.map(|response| Flow::Reply(Box::new(response)))
}

// Boxed, so that other requests do not pay for the state of reading a body.
async fn judge_operation<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    body: &mut RequestBody,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(found) = facts.matched.as_ref() else {
        return Err(Refusal::Internal);
    };
    let Some(mcp) = found.route.mcp.as_deref() else {
        return Ok(Flow::Continue);
    };
    Box::pin(operation::judge_operation(mcp, context, head, body, facts)).await?;
    Ok(Flow::Continue)
}

// Before the first byte of the body is read: a client that waits for a 100 gets 413 instead.
#[inline]
fn apply_body_rules(
    context: &RequestContext<'_>,
    route: usize,
    head: &RequestHead<'_>,
    body: &mut RequestBody,
) -> Result<(), Refusal> {
    let forwarding = &context.snapshot.forwarding[route];
    if let Some(reserved) = &forwarding.reserved {
        body.set_reserved_headers(reserved);
    }
    let Some(limit) = forwarding.max_body_size else {
        return Ok(());
    };
    body.set_limit(limit);
    let announced = content_length(&head.parts.headers);
    if announced.is_some_and(|announced| announced > limit.bytes) {
        let too_large = BodyTooLarge { limit, announced };
        return Err(Refusal::BodyFault(RequestBodyFault::TooLarge(too_large)));
    }
    Ok(())
}

fn decide<'h>(
    context: &RequestContext<'h>,
    _: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(found) = facts.matched.as_ref() else {
        return Err(Refusal::Internal);
    };
    let token = facts.token.as_ref();
    let rules = found.route.mcp.as_ref().zip(facts.operation);
    let rule = rules.and_then(|(mcp, index)| mcp.rules.all().get(index));
    let scope = rule.and_then(|rule| rule.scope.as_ref());
    let now = || context.ticker.wall();
    let permit = decision::decide(found, scope, token.map(|token| &**token), now)
        .map_err(|denial| Refusal::from_denial(denial, token))?;
    facts.decision = if token.is_some() {
        Decision::Permitted
    } else {
        Decision::Public
    };
    Ok(Flow::Permit(permit))
}

// Without its first segment, `/push/apps` is `/apps` and `/push` is `/`. Segments are counted, not
// compared: a route's literal may be spelt in more than one way.
fn without_first_segments(path: &str, segments: usize) -> &str {
    if segments == 0 {
        return path;
    }
    match path.match_indices('/').nth(segments) {
        Some((slash, _)) => &path[slash..],
        None => "/",
    }
}

#[cfg(test)]
mod tests;

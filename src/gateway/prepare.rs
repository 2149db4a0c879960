//! From a request that may pass to the request that its upstream gets: headers, target and claim
//! headers.
//!
//! This is pure: it reads no clock, waits for nothing, and logs nothing.

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri, Version, header};

use super::claim_headers::ClaimHeader;
use super::judge::{Judged, RequestContext};
use super::refusal::{Ambiguity, Refusal};
use super::snapshot::Forwarding;
use super::token_end::TokenEnd;
use crate::oauth::claims::InexactClaim;
use crate::policy::decision::Permit;
use crate::policy::token_sources::OfferedProtocols;
use crate::telemetry::Trace;
use crate::upstream::RequestBody;
use crate::upstream::headers::{self, AddedHeaders};

/// What a request has for its upstream beside its rewritten head and its body. The head stays where it
/// is: it is large, and every move of it is a copy.
pub(super) struct Prepared<'c> {
    pub(super) permit: Permit,
    pub(super) forwarding: &'c Forwarding,
    /// Headers that follow those of the request.
    pub(super) added: AddedHeaders,
    /// Whether it asks for another protocol.
    pub(super) is_upgrade: bool,
    /// The protocols of a WebSocket that had its token among them.
    pub(super) websocket: Option<Box<OfferedProtocols>>,
    /// What ends its token, where the response is to end with it.
    pub(super) token_end: Option<TokenEnd>,
    /// Claim headers that it does not have, because a header cannot express their claims.
    pub(super) omitted: Vec<(&'c ClaimHeader, InexactClaim)>,
}

/// Prepares a request that may pass, and rewrites its head in place; `parts.version` stays the
/// client's. `request_id` and `trace` are the names that its upstream knows it by.
///
/// # Errors
/// The request is ambiguous: its `Connection` names a header that the gateway needs, or its target
/// cannot be sent.
pub(super) fn prepare<'c>(
    judged: Judged,
    parts: &mut Parts,
    body: &RequestBody,
    context: &RequestContext<'c>,
    request_id: Option<&HeaderValue>,
    trace: Option<&Trace>,
) -> Result<Prepared<'c>, Refusal> {
    let snapshot = context.snapshot;
    let forwarding = &snapshot.forwarding[judged.permit.route()];
    let upstream = snapshot.upstreams[forwarding.upstream].settings();
    let can_upgrade = upstream.supports_upgrade() && !forwarding.is_mcp;
    let protocol = if parts.version == Version::HTTP_11 && can_upgrade {
        headers::requested_protocols(&parts.headers)
    } else {
        None
    };
    let websocket = detach_token(parts, forwarding);
    let mut added = headers::rewrite_request(
        &mut parts.headers,
        parts.version,
        forwarding.reserved.as_ref().unwrap_or(&snapshot.reserved),
        context.client,
    )?;
    added.request_id = request_id.cloned();
    if let Some(trace) = trace {
        trace.propagate(&mut parts.headers);
    }
    let mut omitted = Vec::new();
    if let Some(verified) = &judged.token {
        if let Some(replacement) = verified.replacement() {
            let replacement = replacement.clone();
            parts.headers.insert(header::AUTHORIZATION, replacement);
        }
        for header in &forwarding.claim_headers {
            match header.value(verified.token()) {
                Ok(Some(value)) => _ = parts.headers.insert(header.name().clone(), value),
                Ok(None) => {}
                Err(inexact) => omitted.push((header, inexact)),
            }
        }
    }
    if !forwarding.forward_token || (forwarding.forwards_verified_only && judged.token.is_none()) {
        parts.headers.remove(header::AUTHORIZATION);
    }
    for (name, value) in &forwarding.set_headers {
        parts.headers.insert(name, value.clone());
    }
    set_target(parts, judged.path.as_deref())?;
    if forwarding.is_mcp {
        set_length(parts, body);
    }
    let is_upgrade = protocol.is_some();
    if let Some(protocol) = protocol {
        headers::set_upgrade(&mut parts.headers, protocol);
    }
    let token = judged.token.filter(|_| forwarding.close_at_expiry);
    Ok(Prepared {
        permit: judged.permit,
        forwarding,
        added,
        is_upgrade,
        websocket,
        token_end: token.and_then(|verified| TokenEnd::of(verified, &snapshot.verifier)),
        omitted,
    })
}

// What was read in chunks is sent as the one piece that was judged.
fn set_length(parts: &mut Parts, body: &RequestBody) {
    if let Some(length) = body.buffered_length().filter(|length| *length > 0) {
        parts.headers.remove(header::TRAILER);
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

// Moves a token in a cookie or in the protocols of a WebSocket to `Authorization`. Returns the other
// protocols.
fn detach_token(parts: &mut Parts, forwarding: &Forwarding) -> Option<Box<OfferedProtocols>> {
    let sources = forwarding.token_from.as_ref()?;
    let is_handshake = headers::is_websocket_handshake(parts);
    let detached = sources.detach(&mut parts.headers, is_handshake);
    if let Some(authorization) = detached.authorization {
        parts.headers.insert(header::AUTHORIZATION, authorization);
    }
    detached.protocols
}

// Origin-form, whatever form it came in: the path that was judged, and the query as it came (RFC 9112
// §3.2.1). Over HTTP/2 a query may come alone, and its path is `/`.
fn set_target(parts: &mut Parts, path: Option<&str>) -> Result<(), Ambiguity> {
    let begins_with_path = parts
        .uri
        .path_and_query()
        .is_some_and(|target| target.as_str().starts_with('/'));
    if path.is_none() && parts.uri.authority().is_none() && begins_with_path {
        return Ok(());
    }
    let path = path.unwrap_or_else(|| parts.uri.path());
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    parts.uri = Uri::from(PathAndQuery::try_from(target)?);
    Ok(())
}

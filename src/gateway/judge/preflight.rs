//! Responds to preflights (Fetch standard, "CORS-preflight request").
//!
//! A browser asks before many requests of a script whether it may send them. That protects its
//! user, not the API: any other client does not ask.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};

use super::{Flow, RequestContext};
use crate::gateway::admission;
use crate::gateway::facts::{Facts, RequestHead};
use crate::gateway::refusal::{OriginRule, Refusal};
use crate::gateway::snapshot::Snapshot;
use crate::policy::cors::{
    self, ALLOW_PRIVATE_NETWORK, AllowedHeaders, CorsPolicy, REQUEST_PRIVATE_NETWORK,
};
use crate::policy::path::NormalPath;
use crate::policy::route_table::{MatchedRoute, NoRoute};

/// A preflight that the gateway answers, by a `cors` table.
#[derive(Debug)]
pub struct Preflight<'s> {
    /// The method of the request that the script wants to send.
    pub method: Method,
    /// The index of the route of that request. Its path may have none that takes this method: the
    /// browser learns that from the methods that it reads.
    pub route: Option<usize>,
    /// The table.
    pub policy: &'s CorsPolicy,
}

impl<'s> Preflight<'s> {
    /// None for other requests, and where no `cors` applies.
    #[must_use]
    pub fn of(
        parts: &Parts,
        snapshot: &'s Snapshot,
        host: &str,
        path: &NormalPath<'_>,
    ) -> Option<Self> {
        if !cors::is_preflight(&parts.method, &parts.headers) {
            return None;
        }
        let requested = parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let method = Method::from_bytes(requested.as_bytes()).ok()?;
        let route = match snapshot.routes.find(host, path, &method) {
            Ok(MatchedRoute { index, .. }) | Err(NoRoute::MethodNotAllowed { of: index, .. }) => {
                Some(index)
            }
            Err(NoRoute::NotFound { .. }) => None,
            Err(NoRoute::Lookalike { .. }) => return None,
        };
        let policy = snapshot.cors_of(route)?;
        Some(Self {
            method,
            route,
            policy,
        })
    }

    /// The origin of the request, if the table allows it.
    #[must_use]
    pub fn allowed_origin<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        cors::origin(headers).filter(|origin| self.policy.allows(origin))
    }
}

/// Responds to a preflight, before anything is known of a token.
pub(super) fn respond_to_preflight<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let snapshot: &'h Snapshot = context.snapshot;
    let parts = head.parts;
    if !snapshot.has_cors || !cors::is_preflight(&parts.method, &parts.headers) {
        return Ok(Flow::Continue);
    }
    let (Some(host), Some(path)) = (facts.host, facts.path) else {
        return Err(Refusal::Internal);
    };
    let Some(preflight) = Preflight::of(parts, snapshot, host, path) else {
        return Ok(Flow::Continue);
    };
    let policy = preflight.policy;
    facts.route = preflight.route;
    let Some(origin) = preflight.allowed_origin(&parts.headers) else {
        return Err(Refusal::OriginNotAllowed {
            rule: OriginRule::Cors,
            found: cors::describe_origin(&parts.headers),
        });
    };
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let same_path = snapshot.routes.same_path(host, path);
    if let Some(methods) = allowed_methods(snapshot, same_path, policy, origin, &preflight.method) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    let requested = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let headers_allowed = match &policy.headers {
        AllowedHeaders::Listed(listed) => Some(listed),
        AllowedHeaders::Requested => requested,
    };
    if let Some(value) = headers_allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, policy.max_age.clone());
    let asks_for_private_network = parts
        .headers
        .get(REQUEST_PRIVATE_NETWORK)
        .is_some_and(|value| value == "true");
    if asks_for_private_network && policy.lists(origin) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    Ok(Flow::Reply(Box::new(response)))
}

/// The methods of those routes of a path that a page of this origin may use in the same way.
fn allowed_methods(
    snapshot: &Snapshot,
    same_path: &[usize],
    policy: &CorsPolicy,
    origin: &HeaderValue,
    requested: &Method,
) -> Option<HeaderValue> {
    let mut names = Vec::new();
    for &index in same_path {
        let is_alike = snapshot
            .cors_of(Some(index))
            .is_some_and(|other| other.allows(origin) && other.credentials == policy.credentials);
        if !is_alike {
            continue;
        }
        match snapshot.routes.routes()[index].methods.listed() {
            Some(listed) => names.extend(listed.iter().map(Method::as_str)),
            // Any method: the standard ones, and what is asked for.
            None => {
                names.extend(admission::FORWARDABLE_METHODS.split(", "));
                if admission::is_forwardable(requested) {
                    names.push(requested.as_str());
                }
            }
        }
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        let is_new = !seen.contains(name);
        seen.push(*name);
        is_new
    });
    HeaderValue::try_from(names.join(", "))
        .ok()
        .filter(|methods| !methods.is_empty())
}

//! Responds with the metadata of a resource, which needs no token (RFC 9728 §3).

use http::Method;
use http::header::HeaderValue;

use super::{Flow, RequestContext};
use crate::gateway::facts::{Facts, RequestHead};
use crate::gateway::refusal::Refusal;
use crate::gateway::resource_metadata::{METHODS, respond_to_preflight};
use crate::policy::cors;

/// Responds before any route is found: a route that takes every path must not hide the metadata.
pub(super) fn respond_with_metadata<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(documents) = &context.snapshot.resource_documents else {
        return Ok(Flow::Continue);
    };
    let (Some(host), Some(path)) = (facts.host, facts.path) else {
        return Err(Refusal::Internal);
    };
    let Some(document) = documents.find(&context.snapshot.routes, host, path.as_str()) else {
        return Ok(Flow::Continue);
    };
    let (method, headers) = (&head.parts.method, &head.parts.headers);
    let response = if cors::is_preflight(method, headers) {
        respond_to_preflight()
    } else if matches!(*method, Method::GET | Method::HEAD) {
        document.respond(method, headers)
    } else {
        return Err(Refusal::MethodNotAllowed {
            allow: HeaderValue::from_static(METHODS),
            found: method.clone(),
        });
    };
    Ok(Flow::Reply(Box::new(response)))
}

//! Redirects the requests of a listener that serves no routes.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use super::{Flow, RequestContext, admit};
use crate::gateway::facts::{Facts, RequestHead};
use crate::gateway::refusal::Refusal;
use crate::policy::path::NormalPath;

/// Redirects to https, if the listener says so.
///
/// The framing and the `Host` of the request are checked first, as everywhere. Its path is not: the
/// client sends it again, and then it is judged.
pub(super) fn redirect_to_https<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(redirect) = context.redirect else {
        return Ok(Flow::Continue);
    };
    admit(context, head, facts)?;
    let host = facts.host.ok_or(Refusal::Internal)?;
    let location = redirect.location(host, head.parts)?;
    // For the log only.
    let path = NormalPath::parse(head.parts.uri.path(), context.snapshot.path_parameters);
    facts.path = path.ok().map(|path| head.path.get_or_init(|| path));
    let mut response = Response::new(Bytes::new());
    // Not 301: clients may repeat a POST as a GET after that (RFC 9110 §15.4.2, §15.4.9).
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(Flow::Reply(Box::new(response)))
}

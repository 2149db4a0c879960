//! Judges the operation that a request asks an MCP server for.

use http_body::Body as _;

use super::{Flow, RequestContext, apply_body_rules};
use crate::gateway::facts::{Facts, RequestHead};
use crate::gateway::refusal::{OriginRule, Refusal};
use crate::policy::cors;
use crate::policy::mcp::{McpFault, McpPolicy, check_head};
use crate::upstream::{RequestBody, RequestBodyFault};
use crate::values::JudgedBy;

/// Refuses pages of foreign origins, before their token costs anything.
pub(super) fn check_origin<'h>(
    _: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let mcp = facts.matched.and_then(|found| found.route.mcp.as_deref());
    let headers = &head.parts.headers;
    if mcp.is_none_or(|mcp| mcp.allows_origin(headers)) {
        return Ok(Flow::Continue);
    }
    Err(Refusal::OriginNotAllowed {
        rule: OriginRule::Mcp,
        found: cors::describe_origin(headers),
    })
}

/// Finds the rule for the operation of a request. The body is read whole first, if it is judged.
pub(super) async fn judge_operation<'h>(
    mcp: &'h McpPolicy,
    context: &RequestContext<'_>,
    head: &RequestHead<'_>,
    body: &mut RequestBody,
    facts: &mut Facts<'h>,
) -> Result<(), Refusal> {
    let (method, headers) = (&head.parts.method, &head.parts.headers);
    let refuse = |fault: McpFault| Refusal::Mcp(Box::new(fault));
    let judged = match mcp.judged_by {
        JudgedBy::Headers => mcp.judge_headers(method, headers, !body.is_end_stream()),
        JudgedBy::Message => {
            check_head(method, headers).map_err(refuse)?;
            let message = read_message(context, head, body, facts).await?;
            mcp.judge_message(method, headers, &message)
        }
    };
    facts.operation = judged.map_err(refuse)?.map(|(index, _)| index);
    Ok(())
}

// The whole of it must come within the time for one part of other bodies: a client that sends a byte
// now and then would hold a message in memory.
async fn read_message(
    context: &RequestContext<'_>,
    head: &RequestHead<'_>,
    body: &mut RequestBody,
    facts: &Facts<'_>,
) -> Result<bytes::Bytes, Refusal> {
    let route = facts.route.ok_or(Refusal::Internal)?;
    apply_body_rules(context, route, head, body)?;
    let deadline = context.ticker.deadline();
    deadline.arm(context.snapshot.body_idle_timeout);
    body.buffer(&deadline).await.map_err(|_| {
        let progress = body.progress();
        let fault = progress.and_then(|progress| progress.fault());
        Refusal::BodyFault(fault.unwrap_or(RequestBodyFault::Broken))
    })
}

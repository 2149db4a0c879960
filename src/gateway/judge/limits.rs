//! Counts requests in the limits of their route.
//!
//! 1. Limits by address or route count before the token: they also bound what forged tokens cost.
//! 2. The others count once the token is verified, so that nobody spends the quota of another with a
//!    forged token. What follows, such as a 403 for want of a scope, does not give the request back.
//! 3. A preflight is answered before, and counts nowhere.

use std::net::IpAddr;

use super::{Flow, RequestContext};
use crate::client_limits::client_network;
use crate::clock;
use crate::gateway::facts::{Facts, RequestHead};
use crate::gateway::refusal::Refusal;
use crate::gateway::route_limits::RouteLimits;
use crate::rate_limits::{ClientIdentity, Counted};

/// Limits by address or route.
pub(super) fn count_before_token<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    count(|limits| &limits.before_token, context, head, facts)
}

/// Limits by what a verified token says.
pub(super) fn count_after_token<'h>(
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    count(|limits| &limits.after_token, context, head, facts)
}

fn count<'h>(
    select: fn(&RouteLimits) -> &[usize],
    context: &RequestContext<'h>,
    head: &'h RequestHead<'_>,
    facts: &mut Facts<'h>,
) -> Result<Flow, Refusal> {
    let Some(found) = facts.matched.as_ref() else {
        return Err(Refusal::Internal);
    };
    let Some(limits) = &context.snapshot.forwarding[found.index].limits else {
        return Ok(Flow::Continue);
    };
    let indices = select(limits);
    if indices.is_empty() {
        return Ok(Flow::Continue);
    }
    let address = || -> IpAddr {
        let address = context.client_address(&head.parts.headers);
        client_network(address.for_limits())
    };
    let client = ClientIdentity {
        token: facts.token.as_ref(),
        address: limits.needs_address.then(address),
        route: &limits.route,
    };
    // The ticker's time is up to a tick old: at a high rate, that is many requests.
    let (limits, now) = (context.limits, clock::now());
    Counted::count(&mut facts.counted, indices, limits, client, now)
        .map_err(Refusal::RateLimited)?;
    Ok(Flow::Continue)
}

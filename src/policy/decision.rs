//! The decision about one request: a [`Permit`] or a [`Denial`].
//!
//! Every request is decided anew: facts about a token may be cached, decisions may not.

use super::claim_rules::UnmetClaim;
use super::requirement::{Requirement, ScopeRequirement, UnusableParameter};
use super::route::Route;
use super::route_table::MatchedRoute;
use super::step_up::UnmetStepUp;
use crate::oauth::UnixTime;
use crate::oauth::claims::ActiveToken;

/// Proof that a request may be forwarded; forwarding consumes it.
///
/// Only [`decide`], and [`unenforced`] for a route in shadow mode, construct one.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    route: usize,
}

impl Permit {
    /// The position of the route in its table.
    #[must_use]
    pub fn route(&self) -> usize {
        self.route
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The route requires a token: 401.
    #[error("expected an access token, but found none")]
    NoToken,
    /// The route does not accept the issuer of the token: 401 `invalid_token`.
    #[error("expected a token of one of the route's issuers, but found one of another")]
    IssuerNotAccepted,
    /// The token was issued for another audience, or for none: 401 `invalid_token`.
    #[error("{detail}")]
    AudienceNotAccepted {
        /// From a closed set of names.
        reason: &'static str,
        /// For the operator.
        detail: String,
    },
    /// The user of the token must sign in again: 401 `insufficient_user_authentication`.
    #[error(transparent)]
    StepUp(Box<UnmetStepUp>),
    /// The token lacks a scope: 403 `insufficient_scope`.
    #[error("expected a token that grants {needed:?}, but found one that grants less")]
    InsufficientScope {
        /// The scopes that this request needs; of several sets, the first.
        needed: String,
    },
    /// The token does not meet a rule over its claims: 403 without a challenge.
    #[error(transparent)]
    ClaimNotMet(UnmetClaim),
    /// The value of a path parameter is not allowed in a scope: 400.
    #[error(transparent)]
    UnusableParameter(#[from] UnusableParameter),
}

/// Decides whether a request may pass; `token` is `None` if the request has none. `operation` holds
/// the scopes that it requires in addition to those of the route, if an MCP server is behind it.
/// `now` is called only if the route requires a step-up: a clock costs every request.
///
/// # Errors
/// See [`Denial`].
pub fn decide(
    found: &MatchedRoute<'_, '_>,
    operation: Option<&ScopeRequirement>,
    token: Option<&ActiveToken>,
    now: impl FnOnce() -> UnixTime,
) -> Result<Permit, Denial> {
    let any_of = match &found.route.requirement {
        Requirement::Public => return Ok(Permit { route: found.index }),
        Requirement::Token { any_of } => any_of,
    };
    let token = token.ok_or(Denial::NoToken)?;
    if !found.route.accepts_issuer(token.issuer_name()) {
        return Err(Denial::IssuerNotAccepted);
    }
    check_audience(found.route, token)?;
    let mut is_met = any_of.is_empty();
    for required in any_of {
        is_met |= required.is_met_by(token.scopes(), &found.parameters)?;
    }
    if let Some(scopes) = operation {
        is_met &= scopes.is_met_by(token.scopes(), &found.parameters)?;
    }
    let needed = if is_met {
        None
    } else {
        Some(needed_by_operation(found, any_of.first(), operation)?)
    };
    // Before the scope: a new token must meet both, so one 401 names both (RFC 9470 §3).
    if let Some(step_up) = &found.route.step_up
        && let Err(mut unmet) = step_up.check(token, now())
    {
        unmet.scope = needed;
        return Err(Denial::StepUp(unmet));
    }
    if let Some(needed) = needed {
        return Err(Denial::InsufficientScope { needed });
    }
    match found.route.claims.first_unmet(token, &found.parameters) {
        Some(unmet) => Err(Denial::ClaimNotMet(unmet)),
        None => Ok(Permit { route: found.index }),
    }
}

// The scopes of this operation alone, each once. A client asks for what the challenge names (RFC 6750 §3.1),
// and must not get more than it needs.
#[cold]
fn needed_by_operation(
    found: &MatchedRoute<'_, '_>,
    of_route: Option<&ScopeRequirement>,
    of_operation: Option<&ScopeRequirement>,
) -> Result<String, UnusableParameter> {
    let mut needed: Vec<String> = Vec::new();
    for scopes in of_route.into_iter().chain(of_operation) {
        for scope in scopes.filled(&found.parameters)?.split(' ') {
            if !needed.iter().any(|known| known == scope) {
                needed.push(scope.to_owned());
            }
        }
    }
    Ok(needed.join(" "))
}

// The audience of a token is judged for each request: a cached token may be for another route.
fn check_audience(route: &Route, token: &ActiveToken) -> Result<(), Denial> {
    let checked = match &route.resource {
        Some(resource) => resource.check_audience(token),
        None if token.has_audience_of_issuer() => return Ok(()),
        None => Err(token.other_audience()),
    };
    checked.map_err(|error| Denial::AudienceNotAccepted {
        reason: error.reason(),
        detail: error.to_string(),
    })
}

/// A permit for a request without a sufficient token on a route in shadow mode; `None` on others.
#[must_use]
pub fn unenforced(found: &MatchedRoute<'_, '_>) -> Option<Permit> {
    (!found.route.is_enforced).then_some(Permit { route: found.index })
}

/// The scopes that a request needs, for the challenge if it has no token; of several sets, the
/// first.
///
/// `None` if no particular scope is needed, or a path parameter is not allowed in a scope.
#[must_use]
pub fn needed_scope(found: &MatchedRoute<'_, '_>) -> Option<String> {
    match &found.route.requirement {
        Requirement::Public => None,
        Requirement::Token { any_of } => any_of.first()?.filled(&found.parameters).ok(),
    }
}

#[cfg(test)]
mod tests;

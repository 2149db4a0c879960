//! A route: which requests it matches, and what it requires of them.

use std::sync::Arc;

use super::claim_rules::ClaimRules;
use super::host::HostPattern;
use super::mcp::McpPolicy;
use super::methods::Methods;
use super::pattern::RoutePattern;
use super::requirement::{Requirement, SharedParameters};
use super::resource::Resource;
use super::step_up::StepUp;

/// Which requests match, and what a token must grant.
#[derive(Clone, Debug)]
pub struct Route {
    /// The hosts that it matches; empty for any.
    pub hosts: Vec<HostPattern>,
    /// The path; its text is the name of the route in logs.
    pub path: RoutePattern,
    /// The methods that it matches.
    pub methods: Methods,
    /// What a token must grant.
    pub requirement: Requirement,
    /// What the claims of a token must be.
    pub claims: ClaimRules,
    /// The names of the accepted issuers; empty for all.
    pub issuers: Vec<Arc<str>>,
    /// What its operations require, if an MCP server is behind it.
    pub mcp: Option<Arc<McpPolicy>>,
    /// The resource that it belongs to. Its tokens must be issued for that resource; otherwise for
    /// an audience of their issuer.
    pub resource: Option<Arc<Resource>>,
    /// How the user of a token must have signed in.
    pub step_up: Option<Box<StepUp>>,
    /// Whether it refuses requests without a sufficient token. If not, it only records what it
    /// would refuse (shadow mode).
    pub is_enforced: bool,
}

impl Route {
    /// Whether it accepts tokens of the issuer of this name.
    #[must_use]
    pub fn accepts_issuer(&self, name: &str) -> bool {
        self.issuers.is_empty() || self.issuers.iter().any(|accepted| **accepted == *name)
    }

    /// Whether every token that passes this route certainly passes `other`.
    ///
    /// Paths and methods are not compared. `shared` states which parameters have equal values.
    #[must_use]
    pub fn is_as_strict_as(&self, other: &Self, shared: SharedParameters) -> bool {
        // A new field that decides who may pass must be compared here.
        let Self {
            hosts: _,
            path: _,
            methods: _,
            requirement,
            claims,
            issuers,
            mcp,
            resource,
            step_up,
            is_enforced,
        } = other;
        // Its operations are checked even without a token, and in shadow mode with one.
        if let Some(other) = mcp {
            let is_as_strict = |own: &Arc<McpPolicy>| own.is_as_strict_as(other, shared);
            let is_enforced = self.is_enforced || !is_enforced;
            if !is_enforced || !self.mcp.as_ref().is_some_and(is_as_strict) {
                return false;
            }
        }
        if requirement.is_public() || !is_enforced {
            return true;
        }
        let accepts_ours = || {
            !self.issuers.is_empty() && self.issuers.iter().all(|name| other.accepts_issuer(name))
        };
        self.is_enforced
            && self.resource == *resource
            && implies_step_up(self.step_up.as_deref(), step_up.as_deref())
            && (issuers.is_empty() || accepts_ours())
            && self.requirement.implies(requirement, shared)
            && self.claims.imply(claims, shared)
    }
}

fn implies_step_up(one: Option<&StepUp>, other: Option<&StepUp>) -> bool {
    other.is_none_or(|other| one.is_some_and(|one| one.implies(other)))
}

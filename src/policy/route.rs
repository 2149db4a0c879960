//! One route: which requests it is for, and what they must show.

use std::sync::Arc;

use super::host::HostPattern;
use super::methods::Methods;
use super::pattern::RoutePattern;
use super::requirement::{Requirement, SharedParameters};

/// Which requests may pass, and on which condition.
#[derive(Clone, Debug)]
pub struct Route {
    /// The hosts it answers to; empty for any.
    pub hosts: Vec<HostPattern>,
    /// Its path; as text it is the route's name in logs.
    pub path: RoutePattern,
    /// The methods it takes.
    pub methods: Methods,
    /// What a token must grant.
    pub requirement: Requirement,
    /// The names of the issuers whose tokens it takes; empty for all.
    pub issuers: Vec<Arc<str>>,
    /// Whether it refuses requests without a valid token; if not, it only records what it would refuse (shadow mode).
    pub is_enforced: bool,
}

impl Route {
    /// Whether it takes tokens of the issuer of this name.
    #[must_use]
    pub fn accepts_issuer(&self, name: &str) -> bool {
        self.issuers.is_empty() || self.issuers.iter().any(|accepted| **accepted == *name)
    }

    /// Whether every request that passes this route would certainly pass `other` with the same token, path and methods
    /// aside. `shared` says which parameters of the two paths have the same value.
    #[must_use]
    pub fn is_as_strict_as(&self, other: &Self, shared: SharedParameters) -> bool {
        // A new field that decides who may pass must be compared here.
        let Self {
            hosts: _,
            path: _,
            methods: _,
            requirement,
            issuers,
            is_enforced,
        } = other;
        if requirement.is_public() || !is_enforced {
            return true;
        }
        let accepts_ours = || {
            !self.issuers.is_empty() && self.issuers.iter().all(|name| other.accepts_issuer(name))
        };
        self.is_enforced
            && (issuers.is_empty() || accepts_ours())
            && self.requirement.implies(requirement, shared)
    }
}

//! Classes of routes with the same requirement, so that each implication is computed once.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use super::UpstreamRewrite;
use crate::policy::pattern::{MAX_PARAMETERS, Segment};
use crate::policy::requirement::SharedParameters;
use crate::policy::route::Route;

/// The class of each route.
pub(super) struct RequirementClasses<'r> {
    /// The routes, with the parameters at their segments of the upstream path.
    routes: Vec<Cow<'r, Route>>,
    rewrites: &'r [UpstreamRewrite<'r>],
    of: Vec<u32>,
    /// The first route of each class.
    first: Vec<usize>,
    /// The implications computed so far.
    known: RefCell<HashMap<(u32, u32), bool>>,
}

impl<'r> RequirementClasses<'r> {
    pub(super) fn new(routes: &'r [Route], rewrites: &'r [UpstreamRewrite<'r>]) -> Self {
        let seen = routes.iter().zip(rewrites).enumerate();
        let routes: Vec<_> = seen
            .map(|(index, (route, rewrite))| as_rewritten(index, route, *rewrite))
            .collect();
        let mut of = Vec::new();
        let mut first = Vec::new();
        let mut by_text = HashMap::new();
        for (index, (route, rewrite)) in routes.iter().zip(rewrites).enumerate() {
            let next = u32::try_from(first.len()).unwrap_or(u32::MAX);
            let class = *by_text.entry(text(route, *rewrite)).or_insert_with(|| {
                first.push(index);
                next
            });
            of.push(class);
        }
        Self {
            routes,
            rewrites,
            of,
            first,
            known: RefCell::default(),
        }
    }

    pub(super) fn class(&self, index: usize) -> u32 {
        self.of[index]
    }

    /// Whether every request that passes a route of `class` would pass one of `other`, or they
    /// share no method.
    pub(super) fn implies(&self, class: u32, other: u32) -> bool {
        if class == other {
            return true;
        }
        if let Some(known) = self.known.borrow().get(&(class, other)) {
            return *known;
        }
        let [one, two] = [class, other].map(|class| self.first[class as usize]);
        let shared = SharedParameters::AtSameSegment {
            stripped: self.rewrites[one].stripped,
            stripped_of_other: self.rewrites[two].stripped,
        };
        let [one, two] = [one, two].map(|index| &*self.routes[index]);
        let implies =
            one.methods.in_common(&two.methods).is_none() || one.is_as_strict_as(two, shared);
        self.known.borrow_mut().insert((class, other), implies);
        implies
    }
}

/// The first segment that stands for a parameter without one in the rewritten path. No path has as
/// many segments.
const FIRST_UNKNOWN: usize = 0x1000;

// A parameter that is not part of the rewritten path equals no parameter of another route.
fn as_rewritten<'r>(
    index: usize,
    route: &'r Route,
    rewrite: UpstreamRewrite<'_>,
) -> Cow<'r, Route> {
    let Some(rewritten) = rewrite.rewritten else {
        return Cow::Borrowed(route);
    };
    let segment = |name: &str| {
        let number = || route.path.parameters().position(|known| known == name);
        rewritten.segment_of(name).unwrap_or_else(|| {
            FIRST_UNKNOWN + index * MAX_PARAMETERS + number().unwrap_or_default()
        })
    };
    Cow::Owned(Route {
        requirement: route.requirement.moved(&segment),
        claims: route.claims.moved(&segment),
        mcp: route.mcp.as_ref().map(|mcp| Arc::new(mcp.moved(&segment))),
        ..route.clone()
    })
}

// Everything that decides whether one route implies another. Scopes and rules with parameters are equal only
// if the parameters are the same segments of the upstream path.
fn text(route: &Route, rewrite: UpstreamRewrite<'_>) -> String {
    let Route {
        hosts: _,
        path,
        methods,
        requirement,
        claims,
        issuers,
        mcp,
        resource,
        step_up,
        is_enforced,
    } = route;
    let resource = resource.as_ref().map(|resource| &resource.url);
    let mut text = format!(
        "{requirement:?} {claims:?} {issuers:?} {mcp:?} {resource:?} {step_up:?} {is_enforced} {methods:?}"
    );
    if text.contains('{') {
        let placeholders = path
            .segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| !matches!(segment, Segment::Literal(_)));
        let positions: Vec<_> = path
            .parameters()
            .zip(placeholders.map(|(index, _)| index.checked_sub(rewrite.stripped)))
            .map(|(name, index)| {
                let rewritten = rewrite.rewritten.map(|path| path.segment_of(name));
                (name, rewritten.unwrap_or(index))
            })
            .collect();
        text += &format!(" {positions:?}");
    }
    text
}

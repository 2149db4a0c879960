//! Classes of routes with the same requirement, so that each implication is computed once.

use std::cell::RefCell;
use std::collections::HashMap;

use super::UpstreamRewrite;
use crate::policy::pattern::Segment;
use crate::policy::requirement::SharedParameters;
use crate::policy::route::Route;

/// The class of each route.
pub(super) struct RequirementClasses<'r> {
    routes: &'r [Route],
    rewrites: &'r [UpstreamRewrite],
    of: Vec<u32>,
    /// The first route of each class.
    first: Vec<usize>,
    /// The implications computed so far.
    known: RefCell<HashMap<(u32, u32), bool>>,
}

impl<'r> RequirementClasses<'r> {
    pub(super) fn new(routes: &'r [Route], rewrites: &'r [UpstreamRewrite]) -> Self {
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
        let [one, two] = [one, two].map(|index| &self.routes[index]);
        let implies =
            one.methods.in_common(&two.methods).is_none() || one.is_as_strict_as(two, shared);
        self.known.borrow_mut().insert((class, other), implies);
        implies
    }
}

// Everything that decides whether one route implies another. Scopes with parameters are equal only
// if the parameters are the same segments of the upstream path.
fn text(route: &Route, rewrite: UpstreamRewrite) -> String {
    let Route {
        hosts: _,
        path,
        methods,
        requirement,
        issuers,
        is_enforced,
    } = route;
    let mut text = format!("{requirement:?} {issuers:?} {is_enforced} {methods:?}");
    if text.contains('{') {
        let placeholders = path
            .segments
            .iter()
            .enumerate()
            .filter(|(_, segment)| !matches!(segment, Segment::Literal(_)));
        let positions: Vec<_> = path
            .parameters()
            .zip(placeholders.map(|(index, _)| index.checked_sub(rewrite.stripped)))
            .collect();
        text += &format!(" {positions:?}");
    }
    text
}

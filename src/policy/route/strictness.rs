//! Whether one route is as strict as another, and which paths are refused because it is not.

use std::ops::ControlFlow;

use http::Method;

use super::{Route, RouteTable};
use crate::policy::lookalike::LenientPaths;
use crate::policy::path::NormalPath;
use crate::policy::requirement::SharedParameters;

impl Route {
    /// Whether every request that this route lets pass would pass `other` with the same token, for certain. Path and
    /// methods aside: `shared` says which parameters of their paths have the same value.
    #[must_use]
    pub fn is_as_strict_as(&self, other: &Self, shared: SharedParameters) -> bool {
        // Whatever else comes to decide who may pass has to be compared here.
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

impl RouteTable {
    pub(super) fn taking(&self, method: &Method, same_path: &[usize]) -> Option<usize> {
        same_path
            .iter()
            .copied()
            .find(|&index| self.routes[index].methods.contains(method))
    }

    // Stops at a route whose path some server may take `path` for, and which asks for what the chosen one does not.
    pub(super) fn lookalike(
        &self,
        chosen: usize,
        paths: &LenientPaths,
        path: &NormalPath<'_>,
        method: &Method,
    ) -> ControlFlow<usize> {
        let route = &self.routes[chosen];
        paths.find_all(path, &route.path, |same_path, shared| {
            if same_path.contains(&chosen) {
                return ControlFlow::Continue(());
            }
            let asks_for_more =
                |index: &usize| !route.is_as_strict_as(&self.routes[*index], shared);
            let of = match self.taking(method, same_path) {
                Some(index) => Some(index).filter(asks_for_more),
                // That path is a 405. Whoever may do all else there may read there as well, but not change anything.
                None => {
                    let unsafe_method = || same_path.first().filter(|_| !method.is_safe());
                    same_path
                        .iter()
                        .find(|index| asks_for_more(index))
                        .or_else(unsafe_method)
                        .copied()
                }
            };
            of.map_or(ControlFlow::Continue(()), ControlFlow::Break)
        })
    }
}

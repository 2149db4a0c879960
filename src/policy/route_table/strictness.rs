//! Paths that are refused because a server may read them as those of a stricter route.

use std::ops::ControlFlow;

use http::Method;

use super::RouteTable;
use crate::policy::lookalike::LenientPaths;
use crate::policy::path::NormalPath;

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

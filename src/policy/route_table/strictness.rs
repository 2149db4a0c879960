//! Refuses paths that a server may interpret as those of a stricter route.

use std::ops::ControlFlow;

use http::Method;

use super::RouteTable;
use crate::policy::lookalike::LenientPaths;
use crate::policy::path::NormalPath;

impl RouteTable {
    /// The route with this method among the routes of one path.
    pub(super) fn with_method(&self, method: &Method, same_path: &[usize]) -> Option<usize> {
        same_path
            .iter()
            .copied()
            .find(|&index| self.routes[index].methods.contains(method))
    }

    // Breaks with a route that an upstream may find for `path`, and that requires more than the
    // chosen one.
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
            let is_stricter = |index: &usize| !route.is_as_strict_as(&self.routes[*index], shared);
            let of = match self.with_method(method, same_path) {
                Some(index) => Some(index).filter(is_stricter),
                // The other path would get a 405. A client that meets all its routes may send a
                // safe method, but not an unsafe one.
                None => {
                    let unsafe_method = || same_path.first().filter(|_| !method.is_safe());
                    same_path
                        .iter()
                        .find(|index| is_stricter(index))
                        .or_else(unsafe_method)
                        .copied()
                }
            };
            of.map_or(ControlFlow::Continue(()), ControlFlow::Break)
        })
    }
}

//! Finds the route of a request: one total order, and a request without a route is refused.
//!
//! 1. Host first: the exact one, then the longest `*.` suffix, then routes for any host. A host that has routes has
//!    those only.
//! 2. Then the path, as `tree` has it. A path owns its form with a trailing slash unless that is
//!    declared, and `/files/{*rest}` takes `/files` and `/files/` as well.
//! 3. Then the method. Nothing falls through to a route that is less specific: it may ask for less.
//! 4. A path that an upstream might take for another route's is refused, as `lookalike` has it, unless the route that it
//!    belongs to is as strict as that one.
//! 5. Two routes that could both answer are an error when the table is built, so order in the file means nothing.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use http::{HeaderValue, Method};

use super::lookalike::LenientPaths;
use super::methods::Methods;
use super::parameters::{Parameters, Values};
use super::path::NormalPath;
use super::route::Route;
use super::tree::Node;

/// All routes of a gateway.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    // By `api.example.com` and, for everything beneath, by `.example.com`. No normal host starts with a dot.
    hosts: BTreeMap<Box<str>, Paths>,
    any_host: Paths,
}

/// The paths of a host.
#[derive(Debug, Default)]
struct Paths {
    tree: Node,
    lenient: LenientPaths,
}

impl Paths {
    // `indices` are those of the host's routes, in their order.
    fn build(mut indices: Vec<usize>, routes: &[Route], overlaps: &mut Vec<Overlap>) -> Self {
        // Sorting brings the routes of one path together, and leaves them in their order.
        let segments = |index: usize| &routes[index].path.segments;
        indices.sort_by(|&one, &other| segments(one).cmp(segments(other)));
        for same_path in indices.chunk_by(|&one, &other| segments(one) == segments(other)) {
            let mut taken = MethodOwners::default();
            for &second in same_path {
                let methods = &routes[second].methods;
                let overlap = taken.earliest_beside(methods).and_then(|first| {
                    let method = routes[first].methods.in_common(methods)?;
                    Some(Overlap {
                        first,
                        second,
                        method,
                    })
                });
                overlaps.extend(overlap);
                taken.take(second, methods);
            }
        }
        let tree = Node::build(indices.iter().map(|&index| (segments(index), index)));
        let lenient = LenientPaths::build(
            indices.iter().map(|&index| (index, &routes[index].path)),
            &tree,
        );
        Self { tree, lenient }
    }

    // The routes whose pattern fits best, whatever their methods.
    fn find<'p>(&self, path: &'p NormalPath<'_>, values: &mut Values<'p>) -> Option<&[usize]> {
        self.tree.find(path.as_str().strip_prefix('/'), values)
    }
}

/// Two routes that could both answer a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The position of the earlier route.
    pub first: usize,
    /// The position of the later one.
    pub second: usize,
    /// A method that both take.
    pub method: Method,
}

/// The route that a request belongs to.
#[derive(Clone, Copy, Debug)]
pub struct MatchedRoute<'t, 'p> {
    /// Its position among the routes that the table was built from.
    pub index: usize,
    /// The route.
    pub route: &'t Route,
    /// What the path gives to its parameters.
    pub parameters: Parameters<'t, 'p>,
}

/// A request belongs to no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The host has no such path: 404.
    #[error("expected the path of a route, but found another one")]
    NotFound {
        /// Which routes the path was looked for in.
        among: HostRoutes,
    },
    /// An upstream may read the path as that of a stricter route: 400.
    #[error(
        "expected a path that can be read in one way, but found one that looks like another route's"
    )]
    Lookalike {
        /// The position of that route.
        of: usize,
        /// The position of the route that the path belongs to.
        through: usize,
    },
    /// The path has routes, but not for this method: 405.
    #[error("expected one of the methods {allow:?}, but found another one")]
    MethodNotAllowed {
        /// Every method of the path (RFC 9110 §10.2.1).
        allow: HeaderValue,
        /// The position of the first route of that path.
        of: usize,
    },
}

/// The routes that a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRoutes {
    /// Those for this host, or for all hosts beneath one that it is beneath.
    Own,
    /// Those for any host.
    Any,
    /// None at all.
    None,
}

impl RouteTable {
    /// Makes the table.
    ///
    /// Takes time in proportion to `n log n` of the routes.
    ///
    /// # Errors
    /// Every route that has a host, a path and a method in common with an earlier one, beside the earliest of those.
    pub fn build(routes: Vec<Route>) -> Result<Self, Vec<Overlap>> {
        let (mut any_host, mut by_host) = (Vec::new(), BTreeMap::<Box<str>, Vec<usize>>::new());
        for (index, route) in routes.iter().enumerate() {
            if route.hosts.is_empty() {
                any_host.push(index);
            }
            for host in &route.hosts {
                let of_host = by_host.entry(host.name.clone()).or_default();
                // A route that names a host twice does not overlap with itself.
                if of_host.last() != Some(&index) {
                    of_host.push(index);
                }
            }
        }
        let mut overlaps = Vec::new();
        let any_host = Paths::build(any_host, &routes, &mut overlaps);
        let paths_of = |(host, of_host)| (host, Paths::build(of_host, &routes, &mut overlaps));
        let hosts = by_host.into_iter().map(paths_of).collect();
        // Two routes may meet at several hosts.
        overlaps.sort_by_key(|overlap| (overlap.second, overlap.first));
        overlaps.dedup();
        if overlaps.is_empty() {
            Ok(Self {
                routes,
                hosts,
                any_host,
            })
        } else {
            Err(overlaps)
        }
    }

    /// The routes, in the order they were given.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The routes in shadow mode, which turn nobody away for lack of a good token.
    pub fn unenforced(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(|route| !route.is_enforced)
    }

    /// Finds the route of a request, without allocating. `host` is as [`normal_host`](super::host::normal_host) leaves
    /// it, or empty where a request names none.
    ///
    /// # Errors
    /// See [`NoRoute`].
    pub fn find<'t, 'p>(
        &'t self,
        host: &str,
        path: &'p NormalPath<'_>,
        method: &Method,
    ) -> Result<MatchedRoute<'t, 'p>, NoRoute> {
        let mut values = Values::default();
        let paths = self.paths(host);
        let same_path = paths
            .find(path, &mut values)
            .ok_or_else(|| self.not_found(host))?;
        let Some(index) = self.taking(method, same_path) else {
            let of = same_path.first().copied().unwrap_or_default();
            return Err(NoRoute::MethodNotAllowed {
                allow: self.allow(same_path),
                of,
            });
        };
        // A path of literals alone is what its route says it is.
        if values.len() > 0
            && paths.lenient.may_be_misread(path, &values)
            && let ControlFlow::Break(of) = self.lookalike(index, &paths.lenient, path, method)
        {
            return Err(NoRoute::Lookalike { of, through: index });
        }
        let route = &self.routes[index];
        Ok(MatchedRoute {
            index,
            route,
            parameters: Parameters::new(&route.path.parameters, values),
        })
    }

    fn not_found(&self, host: &str) -> NoRoute {
        let among = match self.most_specific_host(host) {
            Some(_) => HostRoutes::Own,
            None if self.any_host.tree.is_empty() => HostRoutes::None,
            None => HostRoutes::Any,
        };
        NoRoute::NotFound { among }
    }

    fn paths(&self, host: &str) -> &Paths {
        self.most_specific_host(host)
            .map_or(&self.any_host, |(_, paths)| paths)
    }

    // The name that stands for a host most closely; none where only routes for any host do.
    fn most_specific_host(&self, host: &str) -> Option<(&str, &Paths)> {
        if self.hosts.is_empty() {
            return None;
        }
        // The first dot starts the longest suffix.
        let suffixes = host.match_indices('.').map(|(dot, _)| &host[dot..]);
        let mut names = std::iter::once(host).chain(suffixes);
        names
            .find_map(|name| self.hosts.get_key_value(name))
            .map(|(name, paths)| (&**name, paths))
    }

    fn allow(&self, same_path: &[usize]) -> HeaderValue {
        let listed = same_path
            .iter()
            .filter_map(|&index| self.routes[index].methods.listed());
        let names: Vec<&str> = listed.flatten().map(Method::as_str).collect();
        HeaderValue::try_from(names.join(", "))
            .expect("methods, commas and spaces can stand in a header")
    }
}

/// The routes of one host and path, while overlaps are looked for: who takes what.
///
/// Each route is compared with what is taken, and not with each of the others: a path may have many routes.
#[derive(Default)]
struct MethodOwners<'r> {
    first: Option<usize>,
    first_for_all: Option<usize>,
    first_for: HashMap<&'r Method, usize>,
}

impl<'r> MethodOwners<'r> {
    /// The earliest of the routes so far that takes a method of this one.
    fn earliest_beside(&self, methods: &Methods) -> Option<usize> {
        match methods.listed() {
            None => self.first,
            Some(listed) => {
                let for_one = listed
                    .iter()
                    .filter_map(|method| self.first_for.get(method).copied());
                for_one.chain(self.first_for_all).min()
            }
        }
    }

    fn take(&mut self, index: usize, methods: &'r Methods) {
        self.first.get_or_insert(index);
        match methods.listed() {
            None => _ = self.first_for_all.get_or_insert(index),
            Some(listed) => listed
                .iter()
                .for_each(|method| _ = self.first_for.entry(method).or_insert(index)),
        }
    }
}

mod bypasses;
mod precedence;
mod route_match;
mod shadowed;
mod strictness;

pub use bypasses::{Bypass, Bypasses, UpstreamRewrite};
pub use route_match::RouteMatch;
pub use shadowed::{RefusedLookalikes, UnreachableMethods};

#[cfg(test)]
mod lookalikes;
#[cfg(test)]
mod ranking;
#[cfg(test)]
mod tests;

//! Finds the route of a request: one total order, and a request without a route is refused.
//!
//! 1. Host first: the exact host, then the longest `*.` suffix, then routes for any host. A host
//!    with routes of its own uses only those.
//! 2. Then the path, by the rules of `tree`. A path includes its form with a trailing slash unless
//!    that is declared; `/files/{*rest}` also matches `/files` and `/files/`.
//! 3. Then the method. There is no fallback to a less specific route: it may require less.
//! 4. A path that an upstream might interpret as another route's is refused (`lookalike`), unless
//!    the chosen route is as strict as that one.
//! 5. Two routes that match the same requests are an error, so the order in the file does not
//!    matter.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use http::{HeaderValue, Method};

use super::lookalike::LenientPaths;
use super::methods::Methods;
use super::parameters::{Parameters, Values};
use super::path::NormalPath;
use super::route::Route;
use super::tree::Node;
use crate::oauth::claims::RuleSet;

/// All routes of a gateway.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    // Keys are `api.example.com` or, for subdomains, `.example.com`. No normal host starts with a
    // dot.
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
    // `indices` are those of the host's routes, in ascending order.
    fn build(mut indices: Vec<usize>, routes: &[Route], overlaps: &mut Vec<Overlap>) -> Self {
        // A stable sort groups the routes of one path and preserves their order.
        let segments = |index: usize| &routes[index].path.segments;
        indices.sort_by(|&one, &other| segments(one).cmp(segments(other)));
        for same_path in indices.chunk_by(|&one, &other| segments(one) == segments(other)) {
            let mut owners = MethodOwners::default();
            for &second in same_path {
                let methods = &routes[second].methods;
                let overlap = owners.earliest_overlap(methods).and_then(|first| {
                    let method = routes[first].methods.in_common(methods)?;
                    Some(Overlap {
                        first,
                        second,
                        method,
                    })
                });
                overlaps.extend(overlap);
                owners.insert(second, methods);
            }
        }
        let tree = Node::build(indices.iter().map(|&index| (segments(index), index)));
        let lenient = LenientPaths::build(
            indices.iter().map(|&index| (index, &routes[index].path)),
            &tree,
        );
        Self { tree, lenient }
    }

    // The routes with the most specific matching pattern, whatever their methods.
    fn find<'p>(&self, path: &'p NormalPath<'_>, values: &mut Values<'p>) -> Option<&[usize]> {
        self.tree.find(path.as_str().strip_prefix('/'), values)
    }
}

/// Two routes that match the same requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The index of the earlier route.
    pub first: usize,
    /// The index of the later one.
    pub second: usize,
    /// A method that both have.
    pub method: Method,
}

/// The route that a request belongs to.
#[derive(Clone, Copy, Debug)]
pub struct MatchedRoute<'t, 'p> {
    /// The index of the route in the table.
    pub index: usize,
    /// The route.
    pub route: &'t Route,
    /// The values of its path parameters.
    pub parameters: Parameters<'t, 'p>,
}

/// Why a request belongs to no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRoute {
    /// The host has no route for the path: 404.
    #[error("expected the path of a route, but found another one")]
    NotFound {
        /// Which routes were searched.
        among: HostRoutes,
    },
    /// An upstream may interpret the path as that of a stricter route: 400.
    #[error("expected an unambiguous path, but found one that looks like another route's")]
    Lookalike {
        /// The index of that route.
        of: usize,
        /// The index of the route that the path belongs to.
        through: usize,
    },
    /// No route of the path has this method: 405.
    #[error("expected one of the methods {allow:?}, but found another one")]
    MethodNotAllowed {
        /// Every method of the path (RFC 9110 §10.2.1).
        allow: HeaderValue,
        /// The index of the first route of that path.
        of: usize,
    },
}

/// The routes that a host uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRoutes {
    /// Those for this host, or for the subdomains of a parent domain.
    Own,
    /// Those for any host.
    Any,
    /// None.
    None,
}

impl RouteTable {
    /// Builds the table, in time proportional to `n log n` for `n` routes.
    ///
    /// # Errors
    /// Every route that shares a host, a path and a method with an earlier one, with the earliest
    /// of those.
    pub fn build(routes: Vec<Route>) -> Result<Self, Vec<Overlap>> {
        let mut any_host = Vec::new();
        let mut by_host = BTreeMap::<Box<str>, Vec<usize>>::new();
        for (index, route) in routes.iter().enumerate() {
            if route.hosts.is_empty() {
                any_host.push(index);
            }
            for host in &route.hosts {
                let of_host = by_host.entry(host.name.clone()).or_default();
                // A route that names a host twice does not overlap itself.
                if of_host.last() != Some(&index) {
                    of_host.push(index);
                }
            }
        }
        let mut overlaps = Vec::new();
        let any_host = Paths::build(any_host, &routes, &mut overlaps);
        let paths_of = |(host, of_host)| (host, Paths::build(of_host, &routes, &mut overlaps));
        let hosts = by_host.into_iter().map(paths_of).collect();
        // Two routes may overlap at several hosts.
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

    /// The routes in their order.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Uses the outcomes of these rules over claims, where a token has them.
    pub fn remember(&mut self, rules: &Arc<RuleSet>) {
        for route in &mut self.routes {
            route.claims.remember(rules);
        }
    }

    /// The routes in shadow mode.
    pub fn unenforced(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(|route| !route.is_enforced)
    }

    /// Finds the route of a request without allocating.
    ///
    /// [`normal_host`](super::host::normal_host) returned `host`; it is empty if the request has
    /// none.
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
        let Some(index) = self.with_method(method, same_path) else {
            let of = same_path.first().copied().unwrap_or_default();
            return Err(NoRoute::MethodNotAllowed {
                allow: self.allow(same_path),
                of,
            });
        };
        // A path that matches only literals has one interpretation.
        if values.len() > 0
            && paths.lenient.has_interpretations(path, &values)
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

    /// The routes of the most specific path that matches, whatever their methods.
    #[must_use]
    pub fn same_path(&self, host: &str, path: &NormalPath<'_>) -> &[usize] {
        let mut values = Values::default();
        self.paths(host).find(path, &mut values).unwrap_or_default()
    }

    /// The host pattern whose routes a host uses; none if it uses those for any host.
    #[must_use]
    pub fn host_pattern(&self, host: &str) -> Option<&str> {
        self.most_specific_host(host).map(|(name, _)| name)
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

    // The most specific key for a host; `None` if only routes for any host match.
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
            .expect("methods, commas and spaces are allowed in a header")
    }
}

/// The methods of one host and path, with the first route that has each, to find overlaps.
///
/// Comparing each route with every other would take quadratic time: a path may have many routes.
#[derive(Default)]
struct MethodOwners<'r> {
    first: Option<usize>,
    first_for_all: Option<usize>,
    first_for: HashMap<&'r Method, usize>,
}

impl<'r> MethodOwners<'r> {
    /// The earliest route inserted so far that shares a method.
    fn earliest_overlap(&self, methods: &Methods) -> Option<usize> {
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

    fn insert(&mut self, index: usize, methods: &'r Methods) {
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

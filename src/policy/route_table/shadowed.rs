//! Paths and methods of a route that a more specific route shadows, for warnings.

use std::collections::HashSet;

use super::{Paths, RouteTable};
use crate::policy::methods::Methods;
use crate::policy::pattern::Segment;
use crate::policy::requirement::SharedParameters;

/// Methods of a route with a parameter that get a 405 where another route has a literal instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachableMethods {
    /// The index of the first route of the path with the literal.
    pub at: usize,
    /// The index of the route with the parameter.
    pub of: usize,
    /// The methods.
    pub methods: Methods,
}

/// Paths of one route that are refused because they look like those of a stricter route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLookalikes {
    /// The index of the route that the paths belong to.
    pub through: usize,
    /// The index of the stricter route.
    pub of: usize,
    /// One of the paths, with placeholders as written.
    pub example: String,
}

impl RouteTable {
    /// The methods that are unreachable at literal paths.
    #[must_use]
    pub fn unreachable_methods(&self) -> Vec<UnreachableMethods> {
        let mut known = HashSet::new();
        let entries = self
            .host_entries()
            .filter_map(|(paths, index)| self.unreachable_at(paths, index));
        entries
            .filter(|unreachable| known.insert((unreachable.at, unreachable.of)))
            .collect()
    }

    /// The refused lookalikes, one for each pair of routes.
    #[must_use]
    pub fn refused_lookalikes(&self) -> Vec<RefusedLookalikes> {
        let mut known = HashSet::new();
        let entries = self
            .host_entries()
            .filter_map(|(paths, index)| self.refused_beside(paths, index));
        entries
            .filter(|refused| known.insert((refused.through, refused.of)))
            .collect()
    }

    // Each route with the paths of each of its hosts.
    fn host_entries(&self) -> impl Iterator<Item = (&Paths, usize)> {
        self.routes.iter().enumerate().flat_map(|(index, route)| {
            let of_any_host = route.hosts.is_empty().then_some(&self.any_host);
            let of_hosts = route
                .hosts
                .iter()
                .filter_map(|host| self.hosts.get(&host.name));
            of_any_host
                .into_iter()
                .chain(of_hosts)
                .map(move |paths| (paths, index))
        })
    }

    fn unreachable_at(&self, paths: &Paths, at: usize) -> Option<UnreachableMethods> {
        let pattern = &self.routes[at].path;
        let same_path = paths.tree.exactly(&pattern.segments);
        let next = paths
            .tree
            .matching(&pattern.segments, false)
            .filter(|_| same_path.first() == Some(&at))?;
        let wider = &self.routes[*next.first()?].path;
        if wider.rest().is_some() || wider.segments.len() != pattern.segments.len() {
            return None;
        }
        let methods = |indices: &[usize]| {
            Methods::union(indices.iter().map(|index| &self.routes[*index].methods))
        };
        let lost = methods(next).without(&methods(same_path))?;
        let of = next
            .iter()
            .find(|index| self.routes[**index].methods.in_common(&lost).is_some())?;
        Some(UnreachableMethods {
            at,
            of: *of,
            methods: lost,
        })
    }

    // Replaces each literal by another name, the last one first.
    fn refused_beside(&self, paths: &Paths, of: usize) -> Option<RefusedLookalikes> {
        let route = &self.routes[of];
        let mut pattern = route.path.segments.clone();
        for position in (0..pattern.len()).rev() {
            if !matches!(&pattern[position], Segment::Literal(text) if !text.is_empty()) {
                continue;
            }
            let literal = std::mem::replace(&mut pattern[position], Segment::Parameter);
            let requires_less = |index: &&usize| {
                let through = &self.routes[**index];
                through.methods.in_common(&route.methods).is_some()
                    && !through.is_as_strict_as(route, SharedParameters::SAME_PATH)
            };
            let through = paths
                .tree
                .matching(&pattern, true)
                .and_then(|routes| routes.iter().find(requires_less));
            pattern[position] = literal;
            if let Some(&through) = through {
                let written = route.path.as_str().split('/').skip(1).enumerate();
                let suffix = |index| if index == position { ".json" } else { "" };
                let example = written
                    .map(|(index, text)| format!("/{text}{}", suffix(index)))
                    .collect();
                return Some(RefusedLookalikes {
                    through,
                    of,
                    example,
                });
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::Route;
    use super::super::tests::route;
    use super::*;
    use crate::policy::requirement::Requirement;

    fn lost(routes: &[(&str, &str)]) -> Vec<(usize, usize, String)> {
        let routes = routes
            .iter()
            .map(|(path, methods)| route("", path, methods))
            .collect();
        let table = RouteTable::build(routes).expect("no overlap");
        let names = |methods: &Methods| match methods.listed() {
            Some(listed) => listed
                .iter()
                .map(Method::as_str)
                .collect::<Vec<_>>()
                .join(" "),
            None => "all".to_owned(),
        };
        table
            .unreachable_methods()
            .iter()
            .map(|unreachable| (unreachable.at, unreachable.of, names(&unreachable.methods)))
            .collect()
    }

    #[test]
    fn methods_are_lost_if_a_literal_path_has_fewer_than_the_parameter() {
        for (literal, parameter, expected) in [
            ("POST", "GET", Some("GET HEAD")),
            ("POST", "GET POST DELETE", Some("GET HEAD DELETE")),
            ("GET", "GET", None),
            ("GET", "HEAD", None),
            ("HEAD", "GET", Some("GET")),
            ("", "GET", None),
            ("POST", "", Some("all")),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|methods| (0, 1, methods.to_owned()))
                .collect();
            assert_eq!(
                lost(&[("/orders/export", literal), ("/orders/{id}", parameter)]),
                expected
            );
            assert_eq!(
                lost(&[
                    ("/a/orders/x", literal),
                    ("/a/{id}/x", parameter),
                    ("/{*rest}", "")
                ]),
                expected
            );
        }
        // The routes of one path together.
        let split = [
            ("/a/{id}", "GET"),
            ("/a/{x}", "PUT"),
            ("/a/b", "GET"),
            ("/a/b", "POST"),
        ];
        assert_eq!(lost(&split), [(2, 1, "PUT".to_owned())]);
        // Methods of `{*rest}` do not count: it is a default for other paths.
        assert_eq!(lost(&[("/login", "POST"), ("/{*rest}", "GET")]), []);
        assert_eq!(lost(&[("/{a}/x", "POST"), ("/y/{b}", "GET")]), []);
    }

    #[test]
    fn lookalikes_of_stricter_routes_are_refused() {
        let guarded = |path: &str| Route {
            requirement: Requirement::Token { any_of: Vec::new() },
            ..route("", path, "GET")
        };
        let routes = vec![
            route("", "/{*rest}", ""),
            guarded("/vault/{*rest}"),
            route("", "/open", ""),
            guarded("/files"),
            route("", "/files/{*rest}", ""),
            guarded("/orders/{id}/keys"),
            route("", "/orders/{id}/{page}", "POST"),
            guarded("/{a}/{b}/{c}"),
        ];
        let table = RouteTable::build(routes).expect("no overlap");
        let found = table.refused_lookalikes();
        let found: Vec<_> = found
            .iter()
            .map(|found| (found.through, found.of, found.example.as_str()))
            .collect();
        assert_eq!(
            found,
            [(0, 1, "/vault.json/{*rest}"), (0, 3, "/files.json")]
        );
    }
}

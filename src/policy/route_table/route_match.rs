//! Why a request belongs to one route and not to the others, for explanations.
//!
//! The matching rules are not repeated here. [`RouteTable::find`] finds the route of the request.
//! To test whether another route would match, it searches a table with that route alone.

use http::Method;

use super::{NoRoute, Route, RouteTable};
use crate::policy::methods::Methods;
use crate::policy::parameters::Values;
use crate::policy::path::NormalPath;
use crate::policy::tree::Node;

/// How a route matches a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteMatch {
    /// The request belongs to it.
    Chosen,
    /// It would be chosen, but an upstream may interpret the path as that of the
    /// [`Lookalike`](Self::Lookalike).
    InDoubt,
    /// The path looks like one of its own, and it is stricter than the route that would be chosen.
    Lookalike,
    /// Host and path match, but not the method.
    OtherMethod,
    /// It matches, but a route with a more specific path matches too.
    LessSpecificPath,
    /// It matches, but the host has routes of its own and uses only those.
    LessSpecificHost,
    /// The path matches, but not the host.
    OtherHost,
    /// The path does not match.
    OtherPath,
}

impl RouteTable {
    /// The routes whose patterns match a path, whatever their hosts and methods, and whether or not
    /// another pattern is more specific.
    pub fn matching(&self, path: &NormalPath<'_>) -> impl Iterator<Item = usize> {
        let path = path.as_str().strip_prefix('/');
        let routes = self.routes.iter().enumerate();
        routes.filter_map(move |(index, route)| {
            let alone = Node::build([(route.path.segments.as_slice(), index)]);
            let is_match = alone.find(path, &mut Values::default()).is_some();
            is_match.then_some(index)
        })
    }

    /// How each route matches a request, in the order of the routes.
    ///
    /// Exactly one is [`RouteMatch::Chosen`] if [`find`](Self::find) succeeds.
    #[must_use]
    pub fn route_matches(
        &self,
        host: &str,
        path: &NormalPath<'_>,
        method: &Method,
    ) -> Vec<RouteMatch> {
        let outcome = self.find(host, path, method);
        let same_path = self
            .paths(host)
            .find(path, &mut Values::default())
            .unwrap_or_default();
        let route_match = |(index, route): (usize, &Route)| match &outcome {
            Ok(found) if found.index == index => RouteMatch::Chosen,
            Err(NoRoute::Lookalike { of, .. }) if *of == index => RouteMatch::Lookalike,
            Err(NoRoute::Lookalike { through, .. }) if *through == index => RouteMatch::InDoubt,
            Ok(_) | Err(_) if !same_path.contains(&index) => {
                self.match_of_other_path(route, host, path)
            }
            Ok(_) | Err(_) => RouteMatch::OtherMethod,
        };
        self.routes.iter().enumerate().map(route_match).collect()
    }

    fn match_of_other_path(&self, route: &Route, host: &str, path: &NormalPath<'_>) -> RouteMatch {
        let anywhere = Route {
            hosts: Vec::new(),
            ..route.clone()
        };
        if !matches_alone(anywhere, host, path) {
            return RouteMatch::OtherPath;
        }
        if !matches_alone(route.clone(), host, path) {
            return RouteMatch::OtherHost;
        }
        let is_of_owner = match self.most_specific_host(host) {
            Some((owner, _)) => route.hosts.iter().any(|host| *host.name == *owner),
            None => true,
        };
        if is_of_owner {
            RouteMatch::LessSpecificPath
        } else {
            RouteMatch::LessSpecificHost
        }
    }
}

fn matches_alone(route: Route, host: &str, path: &NormalPath<'_>) -> bool {
    let route = Route {
        methods: Methods::all(),
        ..route
    };
    RouteTable::build(vec![route]).is_ok_and(|table| table.find(host, path, &Method::GET).is_ok())
}

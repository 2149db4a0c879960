//! Routing of requests on random tables. The oracle ranks every matching route and takes the best.

use proptest::prelude::*;

use super::tests::{normal, route};
use super::*;
use crate::policy::host::HostPattern;

/// How specific a pattern is for a path, segment by segment; `None` if it does not match.
fn rank(pattern: &str, path: &str) -> Option<Vec<u8>> {
    let mut rank = Vec::new();
    let mut segments = path.split('/').skip(1);
    for expected in pattern.split('/').skip(1) {
        match segments.next() {
            _ if expected.starts_with("{*") => {
                rank.push(0);
                return Some(rank);
            }
            Some(segment) if segment == expected => rank.push(4),
            Some(segment) if expected.starts_with('{') && !segment.is_empty() => rank.push(3),
            _ => return None,
        }
    }
    match (segments.next(), segments.next()) {
        (None, _) => rank.push(2),
        (Some(""), None) => rank.push(1),
        _ => return None,
    }
    Some(rank)
}

fn host_rank(pattern: Option<&str>, host: &str) -> Option<usize> {
    match pattern {
        None => Some(0),
        Some(exact) if exact == host => Some(usize::MAX),
        Some(suffix) => suffix
            .strip_prefix('*')
            .filter(|suffix| host.ends_with(suffix))
            .map(str::len),
    }
}

type Written = (Option<&'static str>, String, &'static str);

fn find_by_ranking(
    routes: &[Written],
    host: &str,
    path: &str,
    method: &Method,
) -> Result<usize, Option<Vec<usize>>> {
    let best_host = routes
        .iter()
        .filter_map(|route| host_rank(route.0, host))
        .max();
    let of_host =
        |index: &usize| host_rank(routes[*index].0, host) == best_host && best_host.is_some();
    let fitting: Vec<usize> = (0..routes.len()).filter(of_host).collect();
    let best = fitting
        .iter()
        .filter_map(|&index| rank(&routes[index].1, path))
        .max()
        .ok_or(None)?;
    let same: Vec<usize> = fitting
        .into_iter()
        .filter(|&index| rank(&routes[index].1, path).as_ref() == Some(&best))
        .collect();
    let takes = |index: &&usize| route("", "/", routes[**index].2).methods.contains(method);
    same.iter().find(takes).copied().ok_or(Some(same.clone()))
}

fn build(written: &[Written]) -> Result<RouteTable, Vec<Overlap>> {
    let routes = written
        .iter()
        .map(|(host, path, methods)| route(host.unwrap_or(""), path, methods));
    RouteTable::build(routes.collect())
}

/// Host and path without the names of parameters.
fn host_and_path(written: &Written) -> (Option<&'static str>, String) {
    (written.0, written.1.replace(char::is_numeric, ""))
}

fn written_route() -> impl Strategy<Value = Written> {
    let host = prop_oneof![3 => Just(None), 1 => Just(Some("a.b")), 1 => Just(Some("*.b")), 1 => Just(Some("*.a.b"))];
    let segments = proptest::collection::vec(
        prop_oneof![2 => Just("a"), 1 => Just("b"), 2 => Just("{}")],
        0..4,
    );
    let end = prop_oneof![3 => Just(""), 1 => Just("/"), 2 => Just("/{*rest}")];
    let methods = prop_oneof![Just(""), Just("GET"), Just("POST"), Just("HEAD PUT")];
    (host, segments, end, methods).prop_map(|(host, segments, end, methods)| {
        let named = segments
            .iter()
            .enumerate()
            .map(|(index, segment)| match *segment {
                "{}" => format!("/{{x{index}}}"),
                literal => format!("/{literal}"),
            });
        let path = named.collect::<String>() + end;
        (
            host,
            if path.is_empty() {
                "/".to_owned()
            } else {
                path
            },
            methods,
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn find_agrees_with_ranking_every_route(
        written in proptest::collection::vec(written_route(), 0..10),
        requests in proptest::collection::vec(
            (
                prop_oneof![Just("a.b"), Just("x.b"), Just("x.a.b"), Just("b")],
                "(/[abc]){0,4}/?",
                prop_oneof![Just(Method::GET), Just(Method::HEAD), Just(Method::POST)],
            ),
            16,
        ),
    ) {
        // A route that overlaps an earlier one is dropped; nothing else may be refused.
        let mut accepted: Vec<Written> = Vec::new();
        for next in written {
            accepted.push(next);
            let Err(overlaps) = build(&accepted) else { continue };
            let second = accepted.pop().expect("just pushed");
            for overlap in overlaps {
                prop_assert_eq!(overlap.second, accepted.len());
                prop_assert_eq!(host_and_path(&accepted[overlap.first]), host_and_path(&second));
            }
        }
        let table = build(&accepted).expect("no overlap");
        for (host, path, method) in requests {
            let host_of_request = host;
            let path = if path.is_empty() { "/" } else { &path };
            let expected = find_by_ranking(&accepted, host, path, &method);
            let route_matches = table.route_matches(host, &normal(path), &method);
            let chosen: Vec<_> = (0..route_matches.len()).filter(|&index| route_matches[index] == RouteMatch::Chosen).collect();
            prop_assert_eq!(chosen, table.find(host, &normal(path), &method).map(|found| found.index).ok().into_iter().collect::<Vec<_>>());
            let fits = |&(host, index): &(Option<&HostPattern>, usize)| {
                let alone = Route {
                    hosts: host.cloned().into_iter().collect(),
                    methods: Methods::all(),
                    ..table.routes()[index].clone()
                };
                let alone = RouteTable::build(vec![alone]).expect("one route");
                alone.find(host_of_request, &normal(path), &Method::GET).is_ok()
            };
            let first = table.by_precedence().into_iter().find(fits).map(|(_, index)| route_matches[index]);
            // A host with routes of its own uses only those: the first match may be for another
            // host.
            let is_owned = !matches!(expected, Err(None));
            if is_owned {
                prop_assert!(matches!(first, Some(RouteMatch::Chosen | RouteMatch::OtherMethod)), "{first:?}");
            }
            let misses_only_the_method = route_matches.contains(&RouteMatch::OtherMethod) && !route_matches.contains(&RouteMatch::Chosen);
            prop_assert_eq!(misses_only_the_method, matches!(expected, Err(Some(_))));
            match (table.find(host, &normal(path), &method), expected) {
                (Ok(found), expected) => prop_assert_eq!(Ok(found.index), expected),
                (Err(NoRoute::NotFound { .. }), expected) => prop_assert_eq!(expected, Err(None)),
                (Err(NoRoute::MethodNotAllowed { allow, of }), Err(Some(same))) => {
                    prop_assert_eq!(Some(&of), same.first());
                    let names: Vec<&str> = allow.to_str().expect("ASCII").split(", ").collect();
                    let takes = |name: &str| same.iter().any(|&index| {
                        let method = Method::from_bytes(name.as_bytes()).expect("a method");
                        table.routes()[index].methods.contains(&method)
                    });
                    for name in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
                        prop_assert_eq!(names.contains(&name), takes(name));
                    }
                }
                // All names are in lower case, so nothing is a lookalike.
                (Err(refused), expected) => prop_assert!(false, "{refused:?} but {expected:?}"),
            }
        }
    }
}

//! A route table, and requests to look up in it. A route is `METHODS HOSTS PATH [SCOPE]`: commas
//! separate several, `*` means any, and the scope `-` means any valid token. A request is
//! `? METHOD HOST PATH`.
//!
//! The lookup must equal trying every route: the most specific host wins, then segment by segment a
//! literal before `{name}` before `{*rest}`, then the method. The parameters are the path's
//! segments. No lenient reading of the path reaches a route with other requirements.

mod lenient;

use http::Method;
use scopegate::policy::host::{HostPattern, normal_host};
use scopegate::policy::methods::Methods;
use scopegate::policy::path::NormalPath;
use scopegate::policy::pattern::RoutePattern;
use scopegate::policy::requirement::{Requirement, ScopeRequirement};
use scopegate::policy::route::Route;
use scopegate::policy::route_table::{NoRoute, RouteTable};
use scopegate::values::PathParameters;

// Each request tries every route, and each route is compared with every other.
const MAX_ROUTES: usize = 48;
const MAX_REQUESTS: usize = 48;

pub(crate) fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    let mut routes: Vec<Route> = Vec::new();
    for route in lines
        .iter()
        .filter_map(|words| route(words))
        .take(MAX_ROUTES)
    {
        // `build` rejects two routes for the same request, so the later one is omitted.
        let is_alone = routes.iter().all(|earlier| !are_ambiguous(earlier, &route));
        routes.push(route);
        assert_eq!(
            RouteTable::build(routes.clone()).is_ok(),
            is_alone,
            "{:?}",
            routes.last()
        );
        if !is_alone {
            routes.pop();
        }
    }
    let table = RouteTable::build(routes).expect("ambiguous routes were omitted");
    for words in lines
        .iter()
        .filter(|words| words[0] == "?")
        .take(MAX_REQUESTS)
    {
        let [_, method, host, path] = words[..] else {
            continue;
        };
        let (Ok(method), Ok(host)) = (Method::from_bytes(method.as_bytes()), normal_host(host))
        else {
            continue;
        };
        let Ok(path) = NormalPath::parse(path, PathParameters::Allow) else {
            continue;
        };
        assert_equals_trying_each(&table, &host, &path, &method);
    }
}

fn route(words: &[&str]) -> Option<Route> {
    let (methods, hosts, path, scope) = match words {
        [methods, hosts, path] => (methods, hosts, path, None),
        [methods, hosts, path, scope] => (methods, hosts, path, Some(*scope)),
        _ => return None,
    };
    let methods = match *methods {
        "*" => Methods::all(),
        listed => Methods::parse(listed.split(',')).ok()?,
    };
    let hosts = match *hosts {
        "*" => Vec::new(),
        listed => listed
            .split(',')
            .map(|host| HostPattern::parse(host).ok())
            .collect::<Option<_>>()?,
    };
    let path = RoutePattern::parse(path).ok()?;
    let requirement = match scope {
        None => Requirement::Public,
        Some("-") => Requirement::Token { any_of: Vec::new() },
        // Implications between scope patterns are tested elsewhere.
        Some(scope) if scope.contains(['*', '{']) => return None,
        Some(scope) => Requirement::Token {
            any_of: vec![ScopeRequirement::parse(scope, &path).ok()?],
        },
    };
    Some(Route {
        hosts,
        path,
        methods,
        requirement,
        issuers: Vec::new(),
        claims: Default::default(),
        mcp: None,
        resource: None,
        step_up: None,
        is_enforced: true,
    })
}

fn are_ambiguous(one: &Route, other: &Route) -> bool {
    let have_a_host = match (&one.hosts[..], &other.hosts[..]) {
        ([], []) => true,
        (of_one, of_other) => of_one.iter().any(|host| of_other.contains(host)),
    };
    // A method that no route lists represents all others.
    let mut tried = vec![Method::from_bytes(b"UNHEARD-OF").expect("a method")];
    tried.extend(
        [one, other]
            .iter()
            .filter_map(|route| route.methods.listed())
            .flatten()
            .cloned(),
    );
    let have_a_method = tried
        .iter()
        .any(|method| one.methods.contains(method) && other.methods.contains(method));
    have_a_host && have_a_method && shape(one) == shape(other)
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Vec<u8>),
    Name,
    Rest,
}

fn shape(route: &Route) -> Vec<Segment> {
    let segment = |written: &str| match written {
        rest if rest.starts_with("{*") => Segment::Rest,
        name if name.starts_with('{') => Segment::Name,
        literal => Segment::Literal(decoded(literal)),
    };
    route
        .path
        .as_str()
        .split('/')
        .skip(1)
        .map(segment)
        .collect()
}

fn decoded(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        octets.extend_from_slice(before.as_bytes());
        octets
            .push(u8::from_str_radix(&after[..2], 16).expect("an accepted path has valid escapes"));
        rest = &after[2..];
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}

/// The rank of a route for a path (greater is more specific), and its parameters. `None` if it does
/// not match.
fn fit(route: &Route, path: &str) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (mut rank, mut values) = (Vec::new(), Vec::new());
    let shape = shape(route);
    for (index, expected) in shape.iter().enumerate() {
        let found = segments.get(index);
        match (expected, found) {
            (Segment::Rest, _) => {
                rank.push(0);
                values.push(decoded(
                    &segments.get(index..).unwrap_or_default().join("/"),
                ));
                return Some((rank, values));
            }
            (Segment::Literal(literal), Some(found)) if decoded(found) == *literal => rank.push(4),
            (Segment::Name, Some(found)) if !found.is_empty() => {
                rank.push(3);
                values.push(decoded(found));
            }
            _ => return None,
        }
    }
    match segments.get(shape.len()..)? {
        [] => rank.push(2),
        // A route also matches its path with a trailing slash.
        [""] => rank.push(1),
        _ => return None,
    }
    Some((rank, values))
}

fn host_rank(route: &Route, host: &str) -> Option<usize> {
    let rank = |pattern: &HostPattern| match pattern.to_string() {
        exact if exact == host => Some(usize::MAX),
        pattern => pattern
            .strip_prefix('*')
            .filter(|suffix| host.ends_with(*suffix))
            .map(str::len),
    };
    if route.hosts.is_empty() {
        Some(0)
    } else {
        route.hosts.iter().filter_map(rank).max()
    }
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn assert_equals_trying_each(
    table: &RouteTable,
    host: &str,
    path: &NormalPath<'_>,
    method: &Method,
) {
    let best_host = table
        .routes()
        .iter()
        .filter_map(|route| host_rank(route, host))
        .max();
    let of_host = |route: &Route| best_host.is_some() && host_rank(route, host) == best_host;
    let fitting = || {
        table
            .routes()
            .iter()
            .enumerate()
            .filter(|(_, route)| of_host(route))
    };
    let best = fitting()
        .filter_map(|(_, route)| fit(route, path.as_str()))
        .map(|(rank, _)| rank)
        .max();
    let is_best =
        |route: &Route| fit(route, path.as_str()).is_some_and(|(rank, _)| Some(rank) == best);
    let same: Vec<(usize, &Route)> = fitting().filter(|(_, route)| is_best(route)).collect();
    let taking = same
        .iter()
        .find(|(_, route)| route.methods.contains(method));
    match (table.find(host, path, method), taking) {
        (Ok(found), Some((index, route))) => {
            assert_eq!(found.index, *index, "{method} {host} {path:?}");
            let (_, values) = fit(route, path.as_str()).expect("it fits");
            for (name, value) in route.path.parameters().zip(values) {
                let given = found
                    .parameters
                    .get(name)
                    .map(|text| text.as_bytes().to_owned());
                assert_eq!(given, Some(value), "{name} of {path:?}");
            }
            assert_no_reading_is_stricter(
                route,
                &fitting().collect::<Vec<_>>(),
                path.as_str(),
                method,
            );
        }
        (Err(NoRoute::NotFound { .. }), None) => {
            assert!(same.is_empty(), "{method} {host} {path:?}")
        }
        (Err(NoRoute::MethodNotAllowed { allow, .. }), None) => {
            let allowed: Vec<&str> = allow.to_str().expect("ASCII").split(", ").collect();
            for (_, route) in &same {
                let listed = route
                    .methods
                    .listed()
                    .expect("a route for every method would have been found");
                assert!(
                    listed
                        .iter()
                        .all(|method| allowed.contains(&method.as_str())),
                    "{allowed:?} {listed:?}"
                );
            }
            let is_taken = |name: &&str| {
                let method = Method::from_bytes(name.as_bytes()).expect("a method");
                same.iter()
                    .any(|(_, route)| route.methods.contains(&method))
            };
            assert!(
                !same.is_empty() && allowed.iter().all(is_taken),
                "{allowed:?}"
            );
        }
        (Err(NoRoute::Lookalike { of, through }), Some((index, chosen))) => {
            assert_eq!(through, *index, "{method} {host} {path:?}");
            let other = &table.routes()[of];
            assert!(
                of_host(other) && !is_implied_by(chosen, other, method),
                "{method} {host} {path:?}: {other:?}"
            );
            if let Some(readings) = lenient::readings(path.as_str(), chosen) {
                let fits = readings
                    .iter()
                    .any(|reading| lenient::fit(other, reading).is_some());
                assert!(fits, "{method} {host} {path:?}: {other:?}");
            }
        }
        (found, taking) => panic!("{method} {host} {path:?}: {found:?}, but {taking:?}"),
    }
}

// Whether a client that satisfies `one` also satisfies `other`.
fn is_implied_by(one: &Route, other: &Route, method: &Method) -> bool {
    let is_as_strict = match (&one.requirement, &other.requirement) {
        (_, Requirement::Public) => true,
        (Requirement::Public, Requirement::Token { .. }) => false,
        (Requirement::Token { any_of }, Requirement::Token { any_of: of_other }) => {
            of_other.is_empty() || any_of == of_other
        }
    };
    is_as_strict && (other.methods.contains(method) || method.is_safe())
}

// For every lenient reading of a path with parameters, the most specific routes require no more
// than the route that was found.
fn assert_no_reading_is_stricter(
    chosen: &Route,
    of_host: &[(usize, &Route)],
    path: &str,
    method: &Method,
) {
    if !path
        .split('/')
        .skip(1)
        .zip(shape(chosen))
        .any(|(_, segment)| !matches!(segment, Segment::Literal(_)))
    {
        // A path that matches literals alone has one reading.
        return;
    }
    for reading in lenient::readings(path, chosen).into_iter().flatten() {
        let fit = |route: &Route| lenient::fit(route, &reading);
        let best = of_host.iter().filter_map(|(_, route)| fit(route)).max();
        let same: Vec<_> = of_host
            .iter()
            .filter(|(_, route)| best.is_some() && fit(route) == best)
            .collect();
        if same.iter().any(|(_, route)| std::ptr::eq(*route, chosen)) {
            continue;
        }
        let taking = same
            .iter()
            .find(|(_, route)| route.methods.contains(method));
        for (_, other) in taking.map_or(&same[..], std::slice::from_ref) {
            assert!(
                is_implied_by(chosen, other, method),
                "{method} {path} of {chosen:?} read as {reading:?} of {other:?}"
            );
        }
    }
}

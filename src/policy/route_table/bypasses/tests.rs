//! Detected bypasses, and routes without any.

use super::*;
use crate::policy::requirement::{Requirement, ScopeRequirement};
use crate::policy::route::Route;
use crate::policy::route_table::tests::route;

/// A route: its hosts, path, methods and scope, and the number of stripped segments.
type Written<'w> = (&'w str, &'w str, &'w str, &'w str, usize);

fn compiled(&(hosts, path, methods, scope, _): &Written<'_>) -> Route {
    let mut route = route(hosts, path, methods);
    if !scope.is_empty() {
        let needed = ScopeRequirement::parse(scope, &route.path).expect("scopes");
        route.requirement = Requirement::Token {
            any_of: vec![needed],
        };
    }
    route
}

fn search(routes: &[Written<'_>], is_host_passed: bool) -> Bypasses {
    let table = RouteTable::build(routes.iter().map(compiled).collect()).expect("no overlap");
    let rewrites: Vec<_> = routes
        .iter()
        .map(|route| UpstreamRewrite {
            upstream: 0,
            stripped: route.4,
            rewritten: None,
            is_host_passed,
        })
        .collect();
    table.bypasses(&rewrites)
}

/// The forwarding route, the avoided route, and the requested path.
fn bypasses(routes: &[Written<'_>]) -> Vec<(usize, usize, String)> {
    let found = search(routes, true);
    assert!(!found.is_incomplete);
    found
        .bypasses
        .into_iter()
        .map(|bypass| (bypass.through, bypass.to, bypass.requested_path))
        .collect()
}

fn bypass(through: usize, to: usize, requested_path: &str) -> Vec<(usize, usize, String)> {
    vec![(through, to, requested_path.to_owned())]
}

#[test]
fn rewritten_path_that_another_route_protects_is_a_bypass() {
    let reports = ("", "/reports", "", "read admin", 0);
    for (through, asked) in [
        (("", "/v1/{*rest}", "", "read", 1), "/v1/reports"),
        (("", "/v1/{name}", "", "read", 1), "/v1/reports"),
        (("", "/v1/reports", "", "read", 1), "/v1/reports"),
        (("", "/v1/reports", "", "", 1), "/v1/reports"),
        (("", "/a/b/{*rest}", "GET", "read", 2), "/a/b/reports"),
        (
            ("", "/v1/%72eports/{*rest}", "", "read", 1),
            "/v1/%72eports",
        ),
    ] {
        assert_eq!(
            bypasses(&[through, reports]),
            bypass(0, 1, asked),
            "{through:?}"
        );
    }
    let root = ("", "/", "", "read admin", 0);
    assert_eq!(
        bypasses(&[("", "/v1", "", "read", 1), root]),
        bypass(0, 1, "/v1/")
    );
    assert_eq!(
        bypasses(&[("", "/v1/{*rest}", "", "read", 1), root]),
        bypass(0, 1, "/v1/")
    );
    let deep = ("", "/users/{id}/keys", "", "keys", 0);
    assert_eq!(
        bypasses(&[("", "/v1/{a}/7/{c}", "", "read", 1), deep]),
        bypass(0, 1, "/v1/users/7/keys")
    );
    assert_eq!(
        bypasses(&[("", "/v1/users/{*rest}", "", "read", 1), deep]),
        bypass(0, 1, "/v1/users/{id}/keys")
    );
    assert_eq!(
        bypasses(&[
            ("", "/v1/{a}", "", "read", 1),
            ("", "/x/{*rest}", "", "x", 0)
        ]),
        bypass(0, 1, "/v1/x")
    );
    assert_eq!(
        bypasses(&[("", "/v1/x", "", "read", 1), ("", "/x/", "", "x", 0)]),
        bypass(0, 1, "/v1/x/")
    );
}

#[test]
fn plain_path_that_a_rewriting_route_protects_is_a_bypass() {
    let behind = ("", "/api/{*rest}", "", "admin", 1);
    assert_eq!(
        bypasses(&[("", "/{*rest}", "", "", 0), behind]),
        bypass(0, 1, "/{*rest}")
    );
    assert_eq!(
        bypasses(&[
            ("", "/{*rest}", "", "", 0),
            ("", "/api/users", "", "admin", 1)
        ]),
        bypass(0, 1, "/users")
    );
    assert_eq!(
        bypasses(&[
            ("", "/{x}/{y}", "", "", 0),
            ("", "/api/users/{z}", "", "admin", 1)
        ]),
        bypass(0, 1, "/users/{z}")
    );
    // A third route for this path has the same requirement.
    let declared = ("", "/users", "", "admin", 0);
    assert_eq!(
        bypasses(&[
            ("", "/{*rest}", "", "", 0),
            ("", "/api/users", "", "admin", 1),
            declared
        ]),
        []
    );
    // If neither requirement implies the other, both are bypasses.
    let found = bypasses(&[("", "/{*rest}", "", "read", 0), behind]);
    assert_eq!(
        found,
        [bypass(0, 1, "/{*rest}"), bypass(1, 0, "/api/{*rest}")].concat()
    );
    // A more specific path is intended.
    assert_eq!(bypasses(&[("", "/health", "", "", 0), behind]), []);
}

#[test]
fn path_without_a_reachable_stricter_route_is_no_bypass() {
    let reports = ("", "/reports", "GET", "admin", 0);
    for through in [
        ("", "/v1/{*rest}", "", "admin", 1),
        ("", "/v1/{*rest}", "", "admin read", 1),
        ("", "/v1/{*rest}", "POST", "read", 1),
        ("", "/v1/{*rest}", "", "read", 0),
        ("", "/v1/reports/{id}", "", "read", 1),
        ("", "/v1/report", "", "read", 1),
        ("a.test", "/v1/{*rest}", "", "read", 1),
    ] {
        assert_eq!(bypasses(&[through, reports]), [], "{through:?}");
    }
    // A route declared with the prefix matches these paths first.
    let guarded = ("", "/v1/reports", "", "admin", 1);
    assert_eq!(
        bypasses(&[("", "/v1/{*rest}", "", "read", 1), reports, guarded]),
        []
    );
    // A path more specific than the one it leads to is intended.
    assert_eq!(
        bypasses(&[
            ("", "/v1/health", "", "", 1),
            ("", "/{*rest}", "", "read", 0)
        ]),
        []
    );
    // Parameters with equal values, at different segments.
    let of_user = ("", "/users/{id}/{*rest}", "", "user.{id}", 0);
    assert_eq!(
        bypasses(&[
            ("", "/v1/users/{user}/{page}", "", "user.{user}", 1),
            of_user
        ]),
        []
    );
    assert_eq!(
        bypasses(&[("", "/v1/{x}/{user}/{*rest}", "", "user.{x}", 1), of_user]),
        bypass(0, 1, "/v1/users/{id}/{*rest}")
    );
    // Other upstreams are not compared.
    let routes = [("", "/v1/{*rest}", "", "read", 1), reports];
    let table = RouteTable::build(routes.iter().map(compiled).collect()).expect("no overlap");
    let rewrite = |upstream, stripped| UpstreamRewrite {
        rewritten: None,
        upstream,
        stripped,
        is_host_passed: true,
    };
    assert_eq!(table.bypasses(&[rewrite(0, 1), rewrite(1, 0)]).bypasses, []);
}

#[test]
fn hosts_are_distinguished_if_the_upstream_gets_them() {
    let routes = [
        ("a.test", "/v1/{*rest}", "", "read", 1),
        ("b.test", "/reports", "", "admin", 0),
    ];
    assert_eq!(search(&routes, true).bypasses, []);
    let found = search(&routes, false).bypasses;
    assert_eq!(
        found
            .iter()
            .map(|bypass| (bypass.through, bypass.to))
            .collect::<Vec<_>>(),
        [(0, 1)]
    );
    let shared = [
        ("a.test c.test", "/v1/{*rest}", "", "read", 1),
        ("b.test c.test", "/reports", "", "admin", 0),
    ];
    assert_eq!(search(&shared, true).bypasses.len(), 1);
}

#[test]
fn route_with_several_bypasses_is_listed_once() {
    let routes = [
        ("", "/v1/{*rest}", "", "read", 1),
        ("", "/reports", "", "admin", 0),
        ("", "/users/{id}", "", "users", 0),
        ("", "/open", "", "", 0),
    ];
    let found = search(&routes, true).bypasses;
    let expected = Bypass {
        through: 0,
        to: 1,
        requested_path: "/v1/reports".to_owned(),
        upstream_path: "/reports".to_owned(),
        has_more: true,
    };
    assert_eq!(found, [expected]);
}

// Comparing all pairs would take 10^8 comparisons.
#[test]
fn search_time_is_proportional_to_the_routes() {
    const MANY: usize = 10_000;
    for scope in [
        |_| "read".to_owned(),
        |number| format!("s{number}"),
        |number| format!("s{}", number % 3),
    ] {
        let written: Vec<_> = (0..MANY)
            .map(|number| {
                (
                    format!("/s{number}/{{*rest}}"),
                    format!("/s{number}/x"),
                    scope(number),
                )
            })
            .collect();
        let rest: Vec<Written<'_>> = written
            .iter()
            .map(|(path, _, scope)| ("", &**path, "", &**scope, 1))
            .collect();
        let literal: Vec<Written<'_>> = written
            .iter()
            .map(|(_, path, scope)| ("", &**path, "", &**scope, 1))
            .collect();
        for routes in [rest, literal] {
            let found = search(&routes, true);
            assert!(!found.is_incomplete);
            assert_eq!(
                found.bypasses.len(),
                if scope(0) == scope(1) { 0 } else { MANY }
            );
        }
    }
}

/// The forwarding route, the avoided route, and the requested path. Each route has a path, a scope,
/// and the path that replaces it; "" for none.
fn rewritten(routes: &[(&str, &str, &str)]) -> Vec<(usize, usize, String)> {
    let compiled = |&(path, scope, _): &(&str, &str, &str)| compiled(&("", path, "", scope, 0));
    let table = RouteTable::build(routes.iter().map(compiled).collect()).expect("no overlap");
    let to = |(_, _, to): &(&str, &str, &str)| {
        (!to.is_empty()).then(|| RoutePattern::parse(to).expect("a pattern"))
    };
    let patterns: Vec<_> = routes.iter().map(to).collect();
    let rewrites: Vec<_> = patterns
        .iter()
        .map(|pattern| UpstreamRewrite {
            upstream: 0,
            stripped: 0,
            rewritten: pattern.as_ref(),
            is_host_passed: true,
        })
        .collect();
    let found = table.bypasses(&rewrites).bypasses.into_iter();
    found
        .map(|bypass| (bypass.through, bypass.to, bypass.requested_path))
        .collect()
}

#[test]
fn path_rewritten_to_one_that_another_route_protects_is_a_bypass() {
    let reports = ("/reports", "read admin", "");
    for (path, to, asked) in [
        ("/old", "/reports", "/old"),
        ("/old/{x}", "/{x}", "/old/reports"),
        ("/old/{x}", "/reports", "/old/{x}"),
        ("/old/{*rest}", "/{*rest}", "/old/reports"),
        ("/{x}/of/{y}", "/{y}", "/{x}/of/reports"),
        ("/{*rest}", "/reports/{*rest}", "/"),
    ] {
        assert_eq!(
            rewritten(&[(path, "read", to), reports]),
            bypass(0, 1, asked),
            "{path} {to}"
        );
        assert_eq!(
            rewritten(&[(path, "read admin", to), reports]),
            [],
            "{path} {to}"
        );
    }
    let deep = ("/users/{id}/keys", "read keys", "");
    assert_eq!(
        rewritten(&[("/k/{*rest}", "read", "/users/{*rest}"), deep]),
        bypass(0, 1, "/k/{id}/keys")
    );
    assert_eq!(
        rewritten(&[("/k/{x}", "read", "/users/{x}/name"), deep]),
        []
    );
    // A route without rewriting reaches what a rewriting one protects.
    assert_eq!(
        rewritten(&[("/{*rest}", "", ""), ("/api/{x}", "admin", "/users/{x}")]),
        bypass(0, 1, "/users/{x}")
    );
}

#[test]
fn parameters_in_scopes_are_compared_where_the_upstream_sees_them() {
    let users = ("/users/{id}", "user.{id}", "");
    for (path, scope, to, found) in [
        ("/u/x/{id}", "user.{id}", "/users/{id}", false),
        ("/u/x/{id}", "user.{id} more", "/users/{id}", false),
        ("/u/{a}/{b}", "user.{b} more", "/users/{b}", false),
        ("/u/{a}/{b}", "user.{b} more", "/users/{a}", true),
        // A more specific path is intended.
        ("/u/{a}", "user.{a} more", "/users/7", false),
        ("/u/{a}", "user.{a}.more", "/users/{a}", true),
    ] {
        let bypasses = rewritten(&[(path, scope, to), users]);
        assert_eq!(
            bypasses.iter().any(|(through, ..)| *through == 0),
            found,
            "{path} {scope} {to}"
        );
    }
    let wide = ("/users", "user.*", "");
    let bypasses = rewritten(&[("/u/{a}", "user.{a}", "/users"), wide]);
    assert!(
        bypasses.iter().all(|(through, ..)| *through == 1),
        "{bypasses:?}"
    );
}

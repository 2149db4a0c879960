//! Where side doors are, and where there are none.

use super::*;
use crate::policy::requirement::{Requirement, ScopeRequirement};
use crate::policy::route_table::tests::route;

/// A route: its hosts, path, methods and scope, and how many segments it leaves out.
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

fn search(routes: &[Written<'_>], is_host_passed: bool) -> SideDoors {
    let table = RouteTable::build(routes.iter().map(compiled).collect()).expect("no overlap");
    let sent: Vec<_> = routes
        .iter()
        .map(|route| Sent {
            upstream: 0,
            skipped: route.4,
            is_host_passed,
        })
        .collect();
    table.side_doors(&sent)
}

/// Through where, to where, and the path that is asked for.
fn doors(routes: &[Written<'_>]) -> Vec<(usize, usize, String)> {
    let found = search(routes, true);
    assert!(!found.is_incomplete);
    found
        .doors
        .into_iter()
        .map(|door| (door.through, door.to, door.asked))
        .collect()
}

fn door(through: usize, to: usize, asked: &str) -> Vec<(usize, usize, String)> {
    vec![(through, to, asked.to_owned())]
}

#[test]
fn rewritten_path_leads_to_what_another_route_guards() {
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
        assert_eq!(doors(&[through, reports]), door(0, 1, asked), "{through:?}");
    }
    let root = ("", "/", "", "read admin", 0);
    assert_eq!(
        doors(&[("", "/v1", "", "read", 1), root]),
        door(0, 1, "/v1/")
    );
    assert_eq!(
        doors(&[("", "/v1/{*rest}", "", "read", 1), root]),
        door(0, 1, "/v1/")
    );
    let deep = ("", "/users/{id}/keys", "", "keys", 0);
    assert_eq!(
        doors(&[("", "/v1/{a}/7/{c}", "", "read", 1), deep]),
        door(0, 1, "/v1/users/7/keys")
    );
    assert_eq!(
        doors(&[("", "/v1/users/{*rest}", "", "read", 1), deep]),
        door(0, 1, "/v1/users/{id}/keys")
    );
    assert_eq!(
        doors(&[
            ("", "/v1/{a}", "", "read", 1),
            ("", "/x/{*rest}", "", "x", 0)
        ]),
        door(0, 1, "/v1/x")
    );
    assert_eq!(
        doors(&[("", "/v1/x", "", "read", 1), ("", "/x/", "", "x", 0)]),
        door(0, 1, "/v1/x/")
    );
}

#[test]
fn path_that_leaves_nothing_out_leads_to_what_is_guarded_behind_a_prefix() {
    let behind = ("", "/api/{*rest}", "", "admin", 1);
    assert_eq!(
        doors(&[("", "/{*rest}", "", "", 0), behind]),
        door(0, 1, "/{*rest}")
    );
    assert_eq!(
        doors(&[
            ("", "/{*rest}", "", "", 0),
            ("", "/api/users", "", "admin", 1)
        ]),
        door(0, 1, "/users")
    );
    assert_eq!(
        doors(&[
            ("", "/{x}/{y}", "", "", 0),
            ("", "/api/users/{z}", "", "admin", 1)
        ]),
        door(0, 1, "/users/{z}")
    );
    // One that is declared for this path takes it, and asks for the same.
    let declared = ("", "/users", "", "admin", 0);
    assert_eq!(
        doors(&[
            ("", "/{*rest}", "", "", 0),
            ("", "/api/users", "", "admin", 1),
            declared
        ]),
        []
    );
    // Where neither asks for all that the other does, both are doors.
    let found = doors(&[("", "/{*rest}", "", "read", 0), behind]);
    assert_eq!(
        found,
        [door(0, 1, "/{*rest}"), door(1, 0, "/api/{*rest}")].concat()
    );
    // What is more specific is meant.
    assert_eq!(doors(&[("", "/health", "", "", 0), behind]), []);
}

#[test]
fn there_is_no_door_where_no_more_is_asked_for_or_nothing_is_reached() {
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
        assert_eq!(doors(&[through, reports]), [], "{through:?}");
    }
    // What is declared behind the prefix takes its paths.
    let guarded = ("", "/v1/reports", "", "admin", 1);
    assert_eq!(
        doors(&[("", "/v1/{*rest}", "", "read", 1), reports, guarded]),
        []
    );
    // A path that is more closely declared than what it leads to is meant.
    assert_eq!(
        doors(&[
            ("", "/v1/health", "", "", 1),
            ("", "/{*rest}", "", "read", 0)
        ]),
        []
    );
    // Parameters that have the same value, wherever they stood.
    let of_user = ("", "/users/{id}/{*rest}", "", "user.{id}", 0);
    assert_eq!(
        doors(&[
            ("", "/v1/users/{user}/{page}", "", "user.{user}", 1),
            of_user
        ]),
        []
    );
    assert_eq!(
        doors(&[("", "/v1/{x}/{user}/{*rest}", "", "user.{x}", 1), of_user]),
        door(0, 1, "/v1/users/{id}/{*rest}")
    );
    // Other upstreams are another matter.
    let routes = [("", "/v1/{*rest}", "", "read", 1), reports];
    let table = RouteTable::build(routes.iter().map(compiled).collect()).expect("no overlap");
    let sent = |upstream, skipped| Sent {
        upstream,
        skipped,
        is_host_passed: true,
    };
    assert_eq!(table.side_doors(&[sent(0, 1), sent(1, 0)]).doors, []);
}

#[test]
fn hosts_are_told_apart_where_the_upstream_can() {
    let routes = [
        ("a.test", "/v1/{*rest}", "", "read", 1),
        ("b.test", "/reports", "", "admin", 0),
    ];
    assert_eq!(search(&routes, true).doors, []);
    let found = search(&routes, false).doors;
    assert_eq!(
        found
            .iter()
            .map(|door| (door.through, door.to))
            .collect::<Vec<_>>(),
        [(0, 1)]
    );
    let shared = [
        ("a.test c.test", "/v1/{*rest}", "", "read", 1),
        ("b.test c.test", "/reports", "", "admin", 0),
    ];
    assert_eq!(search(&shared, true).doors.len(), 1);
}

#[test]
fn route_that_is_a_door_to_several_stands_there_once() {
    let routes = [
        ("", "/v1/{*rest}", "", "read", 1),
        ("", "/reports", "", "admin", 0),
        ("", "/users/{id}", "", "users", 0),
        ("", "/open", "", "", 0),
    ];
    let found = search(&routes, true).doors;
    let expected = SideDoor {
        through: 0,
        to: 1,
        asked: "/v1/reports".to_owned(),
        sent: "/reports".to_owned(),
        has_more: true,
    };
    assert_eq!(found, [expected]);
}

// Comparing each with each would be 10^8 comparisons.
#[test]
fn many_routes_are_compared_in_proportion_to_them() {
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
                found.doors.len(),
                if scope(0) == scope(1) { 0 } else { MANY }
            );
        }
    }
}

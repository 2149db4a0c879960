//! The route that a request belongs to.

use super::*;
use crate::policy::host::HostPattern;
use crate::policy::pattern::RoutePattern;
use crate::policy::requirement::Requirement;
use crate::policy::requirement::ScopeRequirement;
use crate::values::PathParameters;

mod hosts;
mod matches;

pub(super) fn route(hosts: &str, path: &str, methods: &str) -> Route {
    let methods = match methods {
        "" => Methods::all(),
        listed => Methods::parse(listed.split(' ')).expect("methods"),
    };
    Route {
        hosts: hosts
            .split_whitespace()
            .map(|host| HostPattern::parse(host).expect("a host"))
            .collect(),
        path: RoutePattern::parse(path).expect("a route's path"),
        methods,
        requirement: Requirement::Public,
        issuers: Vec::new(),
        claims: Default::default(),
        mcp: None,
        resource: None,
        step_up: None,
        is_enforced: true,
    }
}

fn table(paths: &[&str]) -> RouteTable {
    RouteTable::build(paths.iter().map(|path| route("", path, "")).collect()).expect("no overlap")
}

pub(super) fn normal(path: &str) -> NormalPath<'_> {
    NormalPath::parse(path, PathParameters::Allow).expect("a normal path")
}

/// The path of the matched route, as written.
fn found<'t>(table: &'t RouteTable, host: &str, path: &str) -> Option<&'t str> {
    table
        .find(host, &normal(path), &Method::GET)
        .ok()
        .map(|found| found.route.path.as_str())
}

#[test]
fn literal_precedes_parameter_and_parameter_precedes_rest() {
    let table = table(&[
        "/",
        "/a",
        "/a/b",
        "/a/{x}",
        "/a/{x}/c",
        "/a/{x}/{*y}",
        "/{*z}",
        "/a/b/d",
    ]);
    for (path, expected) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/b", "/{*z}"),
        ("/b/c/d", "/{*z}"),
        ("/a/b", "/a/b"),
        ("/a/q", "/a/{x}"),
        ("/a/q/c", "/a/{x}/c"),
        ("/a/q/d", "/a/{x}/{*y}"),
        ("/a/q/d/e/", "/a/{x}/{*y}"),
        ("/a/b/d", "/a/b/d"),
        ("/a/b/c", "/a/{x}/c"),
        ("/a/b/e", "/a/{x}/{*y}"),
    ] {
        assert_eq!(found(&table, "", path), Some(expected), "{path}");
    }
}

#[test]
fn trailing_slash_belongs_to_the_path_unless_declared() {
    let table = table(&[
        "/a",
        "/b",
        "/b/",
        "/c/",
        "/d/{x}",
        "/d/{x}/e",
        "/f",
        "/f/{*y}",
        "/d/{x}/{*y}",
    ]);
    for (path, expected) in [
        ("/a/", Some("/a")),
        ("/b", Some("/b")),
        ("/b/", Some("/b/")),
        ("/c/", Some("/c/")),
        ("/c", None),
        ("/d/1/", Some("/d/{x}")),
        ("/d/", None),
        ("/d/1/e/", Some("/d/{x}/e")),
        ("/f/", Some("/f")),
        ("/a/b", None),
        ("/", None),
    ] {
        assert_eq!(found(&table, "", path), expected, "{path}");
    }
}

#[test]
fn rest_parameter_matches_an_empty_rest() {
    let table = table(&["/files/{*rest}"]);
    for (path, rest) in [
        ("/files", Some("")),
        ("/files/", Some("")),
        ("/files/a", Some("a")),
        ("/files/a/%C3%A9/", Some("a/\u{e9}/")),
        ("/file", None),
        ("/filesystem", None),
    ] {
        let path = normal(path);
        let value = table
            .find("", &path, &Method::GET)
            .ok()
            .and_then(|found| found.parameters.get("rest"));
        assert_eq!(value.as_deref(), rest, "{path:?}");
    }
}

#[test]
fn parameters_are_decoded_once_and_named_by_the_route_of_the_method() {
    let table = RouteTable::build(vec![
        route("", "/a/{x}/{y}", "GET"),
        route("", "/a/{id}/{x}", "POST"),
    ]);
    let table = table.expect("no overlap");
    let path = normal("/a/1%20%25x/2");
    let get = table.find("", &path, &Method::GET).expect("a route");
    assert_eq!(get.parameters.get("x").as_deref(), Some("1 %x"));
    assert_eq!(get.parameters.get("y").as_deref(), Some("2"));
    assert_eq!(get.parameters.get("id"), None);
    let post = table.find("", &path, &Method::POST).expect("a route");
    assert_eq!(
        (post.index, post.parameters.get("x").as_deref()),
        (1, Some("2"))
    );
}

#[test]
fn abandoned_branch_leaves_no_parameter_value() {
    let table = table(&["/{a}/{b}/x", "/{a}/y/{c}/z", "/{*rest}"]);
    let path = normal("/1/y/3/4");
    let found = table.find("", &path, &Method::GET).expect("a route");
    assert_eq!(found.parameters.get("rest").as_deref(), Some("1/y/3/4"));
}

#[test]
fn literal_matches_every_encoding_of_its_characters() {
    let table = table(&["/users:purge", "/{x}", "/caf%c3%a9/%61"]);
    assert_eq!(found(&table, "", "/users:purge"), Some("/users:purge"));
    assert_eq!(found(&table, "", "/users%3apurge"), Some("/users:purge"));
    assert_eq!(found(&table, "", "/caf%C3%A9/a"), Some("/caf%c3%a9/%61"));
    assert_eq!(found(&table, "", "/users%3A"), Some("/{x}"));
}

#[test]
fn wrong_method_gets_405_with_every_method_of_the_path() {
    let routes = vec![
        route("", "/a/{x}", "GET"),
        route("", "/a/{y}", "POST PUT"),
        route("", "/{*rest}", ""),
        route("", "/b", "DELETE"),
    ];
    let table = RouteTable::build(routes).expect("no overlap");
    for (path, method, allow, of) in [
        ("/a/1", Method::DELETE, "GET, HEAD, POST, PUT", 0),
        ("/a/1/", Method::OPTIONS, "GET, HEAD, POST, PUT", 0),
        ("/b", Method::GET, "DELETE", 3),
    ] {
        let refused = table.find("", &normal(path), &method).err();
        assert_eq!(
            refused,
            Some(NoRoute::MethodNotAllowed {
                allow: HeaderValue::from_static(allow),
                of
            }),
            "{path}"
        );
    }
    assert_eq!(
        table
            .find("", &normal("/a/1"), &Method::HEAD)
            .map(|found| found.index),
        Ok(0)
    );
    assert_eq!(
        table
            .find("", &normal("/a"), &Method::DELETE)
            .map(|found| found.index),
        Ok(2)
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn overlapping_routes_are_refused() {
    let overlap = |first, second, method| Overlap {
        first,
        second,
        method,
    };
    for (routes, expected) in [
        (
            vec![route("", "/a", ""), route("", "/a", "")],
            vec![overlap(0, 1, Method::GET)],
        ),
        (
            vec![route("", "/a", "GET"), route("", "/a", "HEAD")],
            vec![overlap(0, 1, Method::HEAD)],
        ),
        (
            vec![route("", "/{x}", ""), route("", "/{y}", "PUT")],
            vec![overlap(0, 1, Method::PUT)],
        ),
        (
            vec![route("", "/a/{*x}", ""), route("", "/a/{*y}", "")],
            vec![overlap(0, 1, Method::GET)],
        ),
        (
            vec![route("", "/%61", ""), route("", "/a", "")],
            vec![overlap(0, 1, Method::GET)],
        ),
        (
            vec![route("a b c", "/", ""), route("B c.", "/", "")],
            vec![overlap(0, 1, Method::GET)],
        ),
        (
            vec![
                route("", "/", "PUT"),
                route("", "/b", "PUT"),
                route("", "/", "PUT"),
                route("", "/", "PUT GET"),
            ],
            vec![overlap(0, 2, Method::PUT), overlap(0, 3, Method::PUT)],
        ),
    ] {
        assert_eq!(RouteTable::build(routes).err(), Some(expected));
    }
    let mixed = vec![
        route("", "/", "POST"),
        route("", "/", "PUT"),
        route("", "/", ""),
        route("", "/", "PUT"),
    ];
    let expected = vec![overlap(0, 2, Method::POST), overlap(1, 3, Method::PUT)];
    assert_eq!(RouteTable::build(mixed).err(), Some(expected));
    for fine in [
        vec![
            route("", "/a", ""),
            route("", "/a/", ""),
            route("", "/a/{*x}", ""),
            route("", "/{x}", ""),
        ],
        vec![route("", "/a", "GET"), route("", "/a", "POST")],
        vec![
            route("a", "/a", ""),
            route("*.a", "/a", ""),
            route("", "/a", ""),
        ],
        vec![route("a A a.", "/a", "")],
    ] {
        assert!(RouteTable::build(fine).is_ok());
    }
}

// Declares every combination of twelve segments, each `a` or a parameter, with at most eight
// parameters. The path follows each of them and matches none.
#[test]
fn hostile_path_visits_each_node_once() {
    let paths = (0..1_u32 << 12).map(|way| {
        let segment = |place: u32| {
            if way >> place & 1 == 0 {
                "/a".to_owned()
            } else {
                "/{x}".to_owned()
            }
        };
        (0..12).map(segment).collect::<String>() + "/end"
    });
    let numbered = paths
        .filter(|path| path.matches("{x}").count() <= 8)
        .map(|path| {
            let pieces = path.split("{x}").enumerate();
            pieces
                .map(|(index, piece)| {
                    if index == 0 {
                        piece.to_owned()
                    } else {
                        format!("{{x{index}}}{piece}")
                    }
                })
                .collect()
        });
    let table = RouteTable::build(numbered.map(|path: String| route("", &path, "")).collect())
        .expect("no overlap");
    assert_eq!(found(&table, "", &"/a".repeat(1 << 18)), None);
    assert_eq!(
        found(&table, "", &format!("{}/end", "/a".repeat(12))),
        Some("/a/a/a/a/a/a/a/a/a/a/a/a/end")
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn path_that_an_upstream_may_take_for_another_routes_is_refused() {
    let requiring = |path: &str, scope: &str| {
        let mut route = route("", path, "GET");
        if !scope.is_empty() {
            let needed = ScopeRequirement::parse(scope, &route.path).expect("a scope");
            route.requirement = Requirement::Token {
                any_of: vec![needed],
            };
        }
        route
    };
    let table = RouteTable::build(vec![
        requiring("/{*rest}", ""),
        requiring("/admin", "admin"),
        requiring("/Reports/{name}", "reports"),
        requiring("/users/{id}", "users"),
        requiring("/users/me", "users"),
        requiring("/users/root", "root"),
        requiring("/files/{*rest}", "files"),
    ])
    .expect("no overlap");
    let find = |path: &str| match table.find("", &normal(path), &Method::GET) {
        Ok(found) => found.route.path.as_str().to_owned(),
        Err(NoRoute::Lookalike { of, .. }) => format!("like {}", table.routes()[of].path.as_str()),
        Err(error) => panic!("{path}: {error}"),
    };
    for (path, expected) in [
        ("/admin", "/admin"),
        ("/admin/", "/admin"),
        ("/administrator", "/{*rest}"),
        ("/admin/x", "/{*rest}"),
        ("/Admin", "like /admin"),
        ("/ADMIN/", "like /admin"),
        ("/admin.", "like /admin"),
        ("/admin..", "like /admin"),
        ("/admin%20", "like /admin"),
        ("/admin;v=1", "like /admin"),
        ("/admin%3Bv", "like /admin"),
        ("/admin%3Fx=/y", "like /admin"),
        ("/admin%23", "like /admin"),
        ("/%61dmin", "/admin"),
        ("/Reports/x", "/Reports/{name}"),
        ("/reports/x", "like /Reports/{name}"),
        ("/reports", "/{*rest}"),
        ("/FILES/x/y", "like /files/{*rest}"),
        ("/FILES", "like /files/{*rest}"),
        // Both routes have the same requirement, so either may match.
        ("/users/ME", "/users/{id}"),
        ("/users/Root", "like /users/root"),
        ("/Users/x", "like /users/{id}"),
        ("/users/%C5%BFam", "/users/{id}"),
        ("/u%C5%BFers/x", "like /users/{id}"),
    ] {
        assert_eq!(find(path), expected, "{path}");
    }
    // A path without a route stays a 404.
    let table = RouteTable::build(vec![requiring("/admin", "admin"), requiring("/x/{y}", "x")])
        .expect("no overlap");
    assert_eq!(
        table
            .find("", &normal("/Admin"), &Method::GET)
            .map(|found| found.index),
        Err(NoRoute::NotFound {
            among: HostRoutes::Any
        })
    );
    let refused = table
        .find("", &normal("/x/Y"), &Method::POST)
        .map(|found| found.index);
    assert!(
        matches!(refused, Err(NoRoute::MethodNotAllowed { .. })),
        "{refused:?}"
    );
}

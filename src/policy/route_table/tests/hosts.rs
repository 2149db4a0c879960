//! Routes for hosts.

use super::*;

#[test]
fn exact_host_precedes_the_longest_suffix_and_any_host() {
    let hosts = [
        "api.example.com",
        "*.example.com",
        "*.b.example.com",
        "*.com",
        "",
        "[::1]",
    ];
    let table =
        RouteTable::build(hosts.map(|host| route(host, "/a", "")).into()).expect("no overlap");
    for (host, expected) in [
        ("api.example.com", 0),
        ("x.example.com", 1),
        ("b.example.com", 1),
        ("x.b.example.com", 2),
        ("x.y.b.example.com", 2),
        ("x.api.example.com", 1),
        ("example.com", 3),
        ("com", 4),
        ("notexample.org", 4),
        ("[::1]", 5),
        ("", 4),
    ] {
        assert_eq!(
            table
                .find(host, &normal("/a"), &Method::GET)
                .map(|found| found.index),
            Ok(expected),
            "{host}"
        );
    }
}

#[test]
fn host_with_routes_of_its_own_uses_only_those() {
    let table = RouteTable::build(vec![
        route("a.example", "/a", "GET"),
        route("", "/b", ""),
        route("", "/a", ""),
    ]);
    let table = table.expect("no overlap");
    assert_eq!(found(&table, "a.example", "/b"), None);
    assert_eq!(found(&table, "b.example", "/b"), Some("/b"));
    let not_found = |table: &RouteTable, host| match table.find(host, &normal("/c"), &Method::GET) {
        Err(NoRoute::NotFound { among }) => among,
        other => panic!("{other:?}"),
    };
    assert_eq!(not_found(&table, "a.example"), HostRoutes::Own);
    assert_eq!(not_found(&table, "b.example"), HostRoutes::Any);
    let of_host = RouteTable::build(vec![route("*.example", "/a", "")]).expect("no overlap");
    assert_eq!(not_found(&of_host, "a.example"), HostRoutes::Own);
    assert_eq!(not_found(&of_host, "example"), HostRoutes::None);
    let refused = table.find("a.example", &normal("/a"), &Method::POST).err();
    assert_eq!(
        refused,
        Some(NoRoute::MethodNotAllowed {
            allow: HeaderValue::from_static("GET, HEAD"),
            of: 0
        })
    );
}

//! How each route matches a request.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_route_has_one_match_for_a_request() {
    use RouteMatch::{
        Chosen, InDoubt, LessSpecificHost, LessSpecificPath, Lookalike, OtherHost, OtherMethod,
        OtherPath,
    };
    let mut guarded = route("", "/admin", "");
    guarded.requirement = Requirement::Token { any_of: Vec::new() };
    let routes = vec![
        route("", "/a/b", "GET"),
        route("", "/a/b", "POST"),
        route("", "/a/{x}", ""),
        route("", "/{*rest}", ""),
        route("api.test", "/a/b", ""),
        route("*.test", "/a/{*rest}", ""),
        guarded,
    ];
    let table = RouteTable::build(routes).expect("no overlap");
    for (host, path, method, expected) in [
        (
            "",
            "/a/b",
            "GET",
            [
                Chosen,
                OtherMethod,
                LessSpecificPath,
                LessSpecificPath,
                OtherHost,
                OtherHost,
                OtherPath,
            ],
        ),
        (
            "",
            "/a/b",
            "PUT",
            [
                OtherMethod,
                OtherMethod,
                LessSpecificPath,
                LessSpecificPath,
                OtherHost,
                OtherHost,
                OtherPath,
            ],
        ),
        (
            "api.test",
            "/a/b",
            "GET",
            [
                LessSpecificHost,
                LessSpecificHost,
                LessSpecificHost,
                LessSpecificHost,
                Chosen,
                LessSpecificHost,
                OtherPath,
            ],
        ),
        (
            "api.test",
            "/c",
            "GET",
            [
                OtherPath,
                OtherPath,
                OtherPath,
                LessSpecificHost,
                OtherPath,
                OtherPath,
                OtherPath,
            ],
        ),
        (
            "b.test",
            "/a/b",
            "GET",
            [
                LessSpecificHost,
                LessSpecificHost,
                LessSpecificHost,
                LessSpecificHost,
                OtherHost,
                Chosen,
                OtherPath,
            ],
        ),
        (
            "",
            "/Admin",
            "GET",
            [
                OtherPath, OtherPath, OtherPath, InDoubt, OtherPath, OtherPath, Lookalike,
            ],
        ),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        assert_eq!(
            table.route_matches(host, &normal(path), &method),
            expected,
            "{host} {path}"
        );
    }
}

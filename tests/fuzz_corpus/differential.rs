//! Random routes and scopes, compared with naive implementations; thousands in each run.
//!
//! The unit tests of `policy::route` and `oauth::scope` are exhaustive over small alphabets. These
//! tests add routes with several hosts, percent-encoding, parameter values, and sets of scopes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::fuzz_bodies::body;

fn segment() -> impl Strategy<Value = &'static str> {
    select(vec![
        "a",
        "b",
        "%61",
        "a%40b",
        "a@b",
        "caf%C3%A9",
        "caf%c3%a9",
        "a%20b",
        "%25x",
        ".a",
        "a;b",
        "a%3bb",
    ])
}

fn written_segment() -> impl Strategy<Value = String> {
    prop_oneof![3 => segment().prop_map(str::to_owned), 2 => "\\{[xyz]\\}"]
}

fn hosts() -> impl Strategy<Value = String> {
    let host = select(vec![
        "a.b",
        "A.B.",
        "x.a.b",
        "*.b",
        "*.a.b",
        "*.x.a.b",
        "[::1]",
        "[0::1]",
        "127.0.0.1",
    ]);
    prop_oneof![2 => Just("*".to_owned()), 3 => vec(host, 1..4).prop_map(|hosts| hosts.join(","))]
}

fn route() -> impl Strategy<Value = String> {
    let methods = select(vec![
        "*",
        "GET",
        "HEAD",
        "POST",
        "GET,POST",
        "PUT,DELETE",
        "HEAD,PATCH",
    ]);
    let end = select(vec!["", "/", "/{*rest}"]);
    (methods, hosts(), vec(written_segment(), 0..5), end).prop_map(
        |(methods, hosts, segments, end)| {
            let path = segments
                .iter()
                .map(|segment| format!("/{segment}"))
                .collect::<String>()
                + end;
            format!(
                "{methods} {hosts} {}",
                if path.is_empty() { "/" } else { &path }
            )
        },
    )
}

fn request() -> impl Strategy<Value = String> {
    let method = select(vec!["GET", "HEAD", "POST", "PUT", "OPTIONS"]);
    let host = select(vec![
        "a.b",
        "A.b:80",
        "x.a.b",
        "y.x.a.b",
        "b",
        "c.b",
        "[::1]:8080",
        "127.0.0.1",
        "elsewhere",
    ]);
    (method, host, vec(segment(), 0..6), select(vec!["", "/"])).prop_map(
        |(method, host, segments, end)| {
            let path = segments
                .iter()
                .map(|segment| format!("/{segment}"))
                .collect::<String>()
                + end;
            format!(
                "? {method} {host} {}",
                if path.is_empty() { "/" } else { &path }
            )
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn route_lookup_equals_trying_each_route(
        routes in vec(route(), 0..12),
        requests in vec(request(), 12),
    ) {
        body("routes")([routes, requests].concat().join("\n").as_bytes());
    }

    #[test]
    fn scope_matching_equals_a_naive_search(
        granted in "([ab.*]{1,10} ?){0,5}",
        required in "([ab.*]{1,10} ?){0,5}",
        scope in "[ab.*]{0,24}",
    ) {
        body("scopes")(format!("{granted}\n{required}\n{scope}").as_bytes());
    }

    #[test]
    fn pattern_overlap_equals_a_naive_search(
        one in "(\\*?[a-c]{1,4}){1,10}\\*?",
        other in "(\\*?[a-c]{1,4}){1,10}\\*?",
    ) {
        body("scopes")(format!("{one}\n{other}\n{one}{other}").as_bytes());
    }
}

//! Implications between requirements.

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::oauth::scope::{GrantedWildcards, ScopeSet};
use crate::policy::methods::Methods;
use crate::policy::path::NormalPath;
use crate::policy::pattern::RoutePattern;
use crate::policy::route::Route;
use crate::policy::route_table::RouteTable;
use crate::values::PathParameters;

const ONE: &str = "/apps/{app}/{topic}";
const OTHER: &str = "/apps/{a}/{b}";
// Its parameters are one segment further on.
const BENEATH: &str = "/v1/apps/{app}/{topic}";

/// `public`, or sets of scopes separated by bars; no set requires any valid token.
fn requirement(text: &str, path: &str) -> Requirement {
    let path = RoutePattern::parse(path).expect("a route's path");
    let set = |set: &str| ScopeRequirement::parse(set, &path).expect("scopes");
    match text {
        "public" => Requirement::Public,
        "" => Requirement::Token { any_of: Vec::new() },
        sets => Requirement::Token {
            any_of: sets.split(" | ").map(set).collect(),
        },
    }
}

fn implies(one: &str, other: &str) -> bool {
    requirement(one, ONE).implies(&requirement(other, OTHER), SharedParameters::SAME_PATH)
}

#[test]
fn requirement_implies_every_weaker_one() {
    for (one, other) in [
        ("public", "public"),
        ("", "public"),
        ("a", "public"),
        ("", ""),
        ("a", ""),
        ("a | b", ""),
        ("a", "a"),
        ("a b", "a"),
        ("a b", "b a"),
        ("a b", "b a a"),
        ("a", "a | b"),
        ("b", "a | b"),
        ("a | b", "b | a"),
        ("a b | a c", "a"),
        ("a b | c d", "d | a | x y"),
        ("a.b", "a.*"),
        ("a.b", "*.b"),
        ("a.*", "a.*"),
        ("a.b.*", "a.*"),
        ("a.**", "a.*"),
        ("a.*.c", "a.*"),
        ("app.{app}", "app.{a}"),
        ("app.{app}", "app.*"),
        ("app.{app}.{topic}", "app.{a}.*"),
        ("app.{app}.{topic}", "app.*"),
        ("app.{app}.*", "app.{a}.*"),
        ("app.{app} x", "app.{a}"),
        ("{topic}{app}", "{b}{a}"),
    ] {
        assert!(implies(one, other), "{one:?} {other:?}");
    }
    for (one, other) in [
        ("public", ""),
        ("public", "a"),
        ("", "a"),
        ("", "a | b"),
        ("a", "b"),
        ("a", "a b"),
        ("a", "A"),
        ("a | b", "a"),
        ("a b | c", "a"),
        ("a.*", "a.b"),
        ("a.*", "a.b.*"),
        ("a.*", "a.**"),
        ("a.*", "*.b"),
        ("a.b", "a.b*"),
        ("app.*", "app.{a}"),
        ("app.acme", "app.{a}"),
        ("app.{app}", "app.acme"),
        ("app.{app}", "app.{b}"),
        ("app.{topic}", "app.{a}"),
        ("app.{app}", "app.{a}.*"),
        ("app.{app}", "app.{a}*"),
        ("app.{app}", "app.{a}x"),
    ] {
        assert!(!implies(one, other), "{one:?} {other:?}");
    }
}

#[test]
fn parameter_implies_a_parameter_of_the_same_segment() {
    let one = requirement("app.{app}", ONE);
    let beneath = requirement("app.{app}", BENEATH);
    assert!(!one.implies(&one, SharedParameters::None));
    assert!(one.implies(&requirement("app.*", ONE), SharedParameters::None));
    assert!(!beneath.implies(&one, SharedParameters::SAME_PATH));
    assert!(beneath.implies(
        &one,
        SharedParameters::AtSameSegment {
            stripped: 1,
            stripped_of_other: 0
        }
    ));
    assert!(one.implies(
        &beneath,
        SharedParameters::AtSameSegment {
            stripped: 0,
            stripped_of_other: 1
        }
    ));
    assert!(!one.implies(
        &beneath,
        SharedParameters::AtSameSegment {
            stripped: 1,
            stripped_of_other: 0
        }
    ));
    // A stripped parameter equals no other.
    assert!(!one.implies(
        &one,
        SharedParameters::AtSameSegment {
            stripped: 2,
            stripped_of_other: 2
        }
    ));
}

/// Whether a token with these scopes meets the requirement of a route for `path`.
fn is_met(
    requirement: &Requirement,
    path: &str,
    granted: &ScopeSet,
    request: &NormalPath<'_>,
) -> bool {
    let Requirement::Token { any_of } = requirement else {
        return true;
    };
    let route = Route {
        hosts: Vec::new(),
        path: RoutePattern::parse(path).expect("a route's path"),
        methods: Methods::all(),
        requirement: Requirement::Public,
        issuers: Vec::new(),
        claims: Default::default(),
        mcp: None,
        resource: None,
        step_up: None,
        is_enforced: true,
    };
    let table = RouteTable::build(vec![route]).expect("one route");
    let found = table.find("", request, &Method::GET).expect("its route");
    any_of.is_empty()
        || any_of
            .iter()
            .any(|set| set.is_met_by(granted, &found.parameters) == Ok(true))
}

fn written(first: &'static str, second: &'static str) -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => Just("a"), 4 => Just("b"), 2 => Just("*"), 2 => Just(first), 2 => Just(second)];
    let scope = proptest::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat());
    let scope = scope.prop_filter("every scope fits", |scope| {
        scope.bytes().any(|byte| byte != b'*')
    });
    let set = proptest::collection::vec(scope, 1..3).prop_map(|scopes| scopes.join(" "));
    let sets = proptest::collection::vec(set, 1..3).prop_map(|sets| sets.join(" | "));
    prop_oneof![1 => Just("public".to_owned()), 1 => Just(String::new()), 12 => sets]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn token_that_meets_a_requirement_meets_every_implied_one(
        one in written("{app}", "{topic}"),
        other in written("{a}", "{b}"),
        request in "/apps/[ab]{1,2}/[ab]{1,2}",
        granted in proptest::collection::vec("[ab*]{1,4}( [ab*]{1,4})?", 16),
    ) {
        let (one, other) = (requirement(&one, ONE), requirement(&other, OTHER));
        let request = NormalPath::parse(&request, PathParameters::Refuse).expect("a normal path");
        if one.implies(&other, SharedParameters::SAME_PATH) {
            for granted in granted {
                for wildcards in [GrantedWildcards::Honoured, GrantedWildcards::Literal] {
                    let granted = ScopeSet::parse(&granted, wildcards).expect("few scopes");
                    let (meets_one, meets_other) =
                        (is_met(&one, ONE, &granted, &request), is_met(&other, OTHER, &granted, &request));
                    prop_assert!(!meets_one || meets_other, "{one:?} {other:?} {granted}");
                }
            }
        }
    }
}

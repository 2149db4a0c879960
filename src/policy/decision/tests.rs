//! Permits and denials.

use http::Method;

use super::*;
use crate::oauth::UnixTime;
use crate::oauth::claims::{Claims, Expectation};
use crate::policy::methods::Methods;
use crate::policy::path::NormalPath;
use crate::policy::pattern::RoutePattern;
use crate::policy::requirement::ScopeRequirement;
use crate::policy::route::Route;
use crate::policy::route_table::RouteTable;
use crate::values::PathParameters;

fn token(issuer_name: &str, scopes: &str) -> ActiveToken {
    let expectation = Expectation {
        issuer_name: issuer_name.into(),
        ..Expectation::of_any_token()
    };
    let claims = Claims::parse(
        serde_json::json!({ "scope": scopes })
            .to_string()
            .as_bytes(),
    );
    claims
        .and_then(|claims| claims.check(&expectation, UnixTime::from_seconds(0)))
        .expect("good claims")
}

/// A route that requires one of these sets of scopes, from issuer `corp` only.
fn requiring(sets: &[&str]) -> Route {
    let path = RoutePattern::parse("/apps/{app}").expect("a route's path");
    let any_of = sets
        .iter()
        .map(|set| ScopeRequirement::parse(set, &path).expect("a requirement"))
        .collect();
    let requirement = Requirement::Token { any_of };
    Route {
        hosts: Vec::new(),
        path,
        methods: Methods::all(),
        requirement,
        issuers: vec!["corp".into()],
        claims: Default::default(),
        mcp: None,
        resource: None,
        step_up: None,
        is_enforced: true,
    }
}

fn on<T>(route: Route, path: &str, ask: impl FnOnce(&MatchedRoute<'_, '_>) -> T) -> T {
    let table = RouteTable::build(vec![route]).expect("no overlap");
    let path = NormalPath::parse(path, PathParameters::Refuse).expect("a normal path");
    ask(&table.find("", &path, &Method::GET).expect("a route"))
}

fn decided(route: Route, path: &str, token: Option<ActiveToken>) -> Result<(), Denial> {
    on(route, path, |found| {
        decide(found, None, token.as_ref(), || UnixTime::from_seconds(0))
            .map(|permit| assert_eq!(permit.route(), 0))
    })
}

fn insufficient(needed: &str) -> Result<(), Denial> {
    Err(Denial::InsufficientScope {
        needed: needed.to_owned(),
    })
}

#[test]
fn public_route_permits_requests_without_checking_a_token() {
    let public = || Route {
        requirement: Requirement::Public,
        ..requiring(&[])
    };
    assert_eq!(decided(public(), "/apps/a", None), Ok(()));
    assert_eq!(
        decided(public(), "/apps/a", Some(token("stranger", ""))),
        Ok(())
    );
}

#[test]
fn route_without_scopes_requires_a_token_of_its_issuers() {
    assert_eq!(
        decided(requiring(&[]), "/apps/a", None),
        Err(Denial::NoToken)
    );
    assert_eq!(
        decided(requiring(&[]), "/apps/a", Some(token("corp", ""))),
        Ok(())
    );
    assert_eq!(
        decided(requiring(&[]), "/apps/a", Some(token("stranger", "*"))),
        Err(Denial::IssuerNotAccepted)
    );
    let any_issuer = Route {
        issuers: Vec::new(),
        ..requiring(&[])
    };
    assert_eq!(
        decided(any_issuer, "/apps/a", Some(token("stranger", ""))),
        Ok(())
    );
}

#[test]
fn one_of_several_sets_suffices_and_the_denial_names_the_first() {
    let sets = ["messages.write app.{app}", "admin"];
    for (scopes, expected) in [
        ("messages.write app.com.acme", Ok(())),
        ("admin", Ok(())),
        ("*", Ok(())),
        (
            "messages.write",
            insufficient("messages.write app.com.acme"),
        ),
        (
            "messages.write app.other",
            insufficient("messages.write app.com.acme"),
        ),
        ("", insufficient("messages.write app.com.acme")),
    ] {
        assert_eq!(
            decided(
                requiring(&sets),
                "/apps/com.acme",
                Some(token("corp", scopes))
            ),
            expected,
            "{scopes}"
        );
    }
}

#[test]
fn unusable_parameter_is_denied_whichever_set_is_met() {
    let unusable = || {
        Err(Denial::UnusableParameter(UnusableParameter {
            name: "app".into(),
        }))
    };
    for sets in [["admin", "app.{app}"], ["app.{app}", "admin"]] {
        for path in ["/apps/*", "/apps/a%20b", "/apps/a*"] {
            for scopes in ["admin", "*", ""] {
                assert_eq!(
                    decided(requiring(&sets), path, Some(token("corp", scopes))),
                    unusable()
                );
            }
        }
    }
    // A missing token is reported first.
    assert_eq!(
        decided(requiring(&["app.{app}"]), "/apps/*", None),
        Err(Denial::NoToken)
    );
    // A parameter that no scope uses may have any value.
    assert_eq!(
        decided(
            requiring(&["admin"]),
            "/apps/*",
            Some(token("corp", "admin"))
        ),
        Ok(())
    );
}

#[test]
fn needed_scope_has_the_parameters_of_the_request() {
    assert_eq!(
        on(requiring(&["a app.{app}", "b"]), "/apps/x", needed_scope).as_deref(),
        Some("a app.x")
    );
    assert_eq!(on(requiring(&["app.{app}"]), "/apps/*", needed_scope), None);
    assert_eq!(on(requiring(&[]), "/apps/x", needed_scope), None);
    let public = Route {
        requirement: Requirement::Public,
        ..requiring(&[])
    };
    assert_eq!(on(public, "/apps/x", needed_scope), None);
}

#[test]
fn permit_names_its_route() {
    let route = on(requiring(&["a"]), "/apps/x", |found| {
        decide(found, None, Some(&token("corp", "a")), || {
            UnixTime::from_seconds(0)
        })
        .map(|p| p.route())
    });
    assert_eq!(route, Ok(0));
}

#[test]
fn operation_requires_its_own_scopes_beside_those_of_the_route() {
    let path = RoutePattern::parse("/apps/{app}").expect("a route's path");
    let operation = ScopeRequirement::parse("mcp.use tools.{app}", &path).expect("scopes");
    let decided = |route: Route, path: &str, scopes: &str| {
        on(route, path, |found| {
            let token = token("corp", scopes);
            let now = UnixTime::from_seconds(0);
            decide(found, Some(&operation), Some(&token), || now).map(drop)
        })
    };
    for (scopes, expected) in [
        ("mcp.use app.a tools.a", Ok(())),
        ("mcp.use app.a", insufficient("app.a mcp.use tools.a")),
        ("mcp.use tools.a", insufficient("app.a mcp.use tools.a")),
        (
            "mcp.use app.a tools.b",
            insufficient("app.a mcp.use tools.a"),
        ),
        ("", insufficient("app.a mcp.use tools.a")),
    ] {
        let decided = decided(requiring(&["app.{app} mcp.use"]), "/apps/a", scopes);
        assert_eq!(decided, expected, "{scopes}");
    }
    let of_operation = "tools.a mcp.use";
    let of_any_token = decided(requiring(&[]), "/apps/a", of_operation);
    assert_eq!(of_any_token, Ok(()));
    let decided = decided(requiring(&[]), "/apps/a*", of_operation);
    assert!(matches!(decided, Err(Denial::UnusableParameter(_))));
}

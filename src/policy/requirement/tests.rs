//! Scopes as a route declares them, and as a request needs them.

use http::Method;

use super::*;
use crate::oauth::scope::GrantedWildcards;
use crate::policy::methods::Methods;
use crate::policy::path::NormalPath;
use crate::policy::route::Route;
use crate::policy::route_table::RouteTable;
use crate::values::PathParameters;

const PATH: &str = "/apps/{app}/{topic}/{*rest}";

fn parse(text: &str) -> Result<ScopeRequirement, ScopeRequirementError> {
    ScopeRequirement::parse(text, &RoutePattern::parse(PATH).expect("a route's path"))
}

fn requirement(text: &str) -> ScopeRequirement {
    parse(text).expect("a requirement")
}

/// Calls `check` with the parameters of a request for `path`.
fn on<T>(path: &str, check: impl FnOnce(&Parameters<'_, '_>) -> T) -> T {
    let route = Route {
        hosts: Vec::new(),
        path: RoutePattern::parse(PATH).expect("a route's path"),
        methods: Methods::all(),
        requirement: Requirement::Public,
        issuers: Vec::new(),
        claims: Default::default(),
        mcp: None,
        resource: None,
        step_up: None,
        is_enforced: true,
    };
    let table = RouteTable::build(vec![route]).expect("no overlap");
    let path = NormalPath::parse(path, PathParameters::Allow).expect("a normal path");
    let found = table.find("", &path, &Method::GET).expect("a route");
    check(&found.parameters)
}

fn is_met(text: &str, granted: &str, path: &str) -> Result<bool, UnusableParameter> {
    let granted = ScopeSet::parse(granted, GrantedWildcards::Honoured).expect("few scopes");
    on(path, |parameters| {
        let requirement = requirement(text);
        let outcome = requirement.is_met_by(&granted, parameters);
        // In every case of these tests, `check_each` must agree with `is_met_by`.
        let each = requirement.check_each(&granted, parameters);
        let unusable = each.iter().find_map(|scope| scope.filled.as_ref().err());
        let expected = unusable.map_or_else(
            || Ok(each.iter().all(|scope| scope.met_by.is_some())),
            |one| Err(one.clone()),
        );
        assert_eq!(outcome, expected);
        outcome
    })
}

#[test]
fn every_scope_of_a_requirement_is_needed() {
    for (required, granted, expected) in [
        ("a", "a", true),
        ("a b", "b c a", true),
        ("a b", "a", false),
        ("a", "", false),
        ("push.*", "push.x", true),
        ("push.*", "push.", false),
        ("push.x", "push.*", true),
        ("a b", "*", true),
        ("app.{app}", "app.acme", true),
        ("app.{app}", "app.other", false),
        ("app.{app}", "app.*", true),
        ("app.{app}.*", "app.acme.read", true),
        ("app.{app}.*", "app.other.read", false),
        ("{topic}.{app}", "news.acme", true),
        ("a app.{app}", "app.acme", false),
        ("{app}", "acme", true),
    ] {
        assert_eq!(
            is_met(required, granted, "/apps/acme/news"),
            Ok(expected),
            "{required} by {granted}"
        );
    }
}

#[test]
fn unusable_value_is_refused_whatever_the_token_grants() {
    for value in ["a*", "*", "a%20b", "caf%C3%A9", "a%22", "a%25", "*.x"] {
        let path = format!("/apps/{value}/news");
        let expected = if value == "a%25" {
            Ok(true)
        } else {
            Err(UnusableParameter { name: "app".into() })
        };
        for granted in ["*", "app.* other", "* app.*"] {
            assert_eq!(
                is_met("app.{app}", granted, &path),
                expected,
                "{value} {granted}"
            );
        }
        // Even if another scope of the requirement is missing.
        assert_eq!(
            is_met("missing app.{app}", "", &path).is_err(),
            expected.is_err(),
            "{value}"
        );
    }
}

#[test]
fn filled_requirement_lists_its_scopes_in_the_written_order() {
    let filled =
        |text: &str, path: &str| on(path, |parameters| requirement(text).filled(parameters));
    assert_eq!(
        filled(
            "messages.write  push.{app}.{topic} x.*",
            "/apps/com.acme/%61"
        ),
        Ok("messages.write push.com.acme.a x.*".to_owned())
    );
    assert!(filled("a.{app}", "/apps/%20/b").is_err());
    assert_eq!(requirement("a  {app}.b").to_string(), "a {app}.b");
}

#[test]
fn invalid_requirement_is_refused_with_the_remedy() {
    for (text, expected) in [
        ("", "expected at least one scope, but found none"),
        ("  ", "expected at least one scope, but found none"),
        (
            "a *",
            "expected a scope, but found \"*\", which every scope fits (omit scope to require any valid token)",
        ),
        (
            "**",
            "expected a scope, but found \"**\", which every scope fits (omit scope to require any valid token)",
        ),
        (
            "a\"b",
            "expected a scope-token, but found \"a\\\"b\" \
             (character '\"' at byte 1 is not allowed in a scope-token (RFC 6749 section 3.3))",
        ),
        (
            "a.{id}",
            "expected a parameter of the path \"/apps/{app}/{topic}/{*rest}\", but found {id}",
        ),
        (
            "a.{}",
            "expected a parameter of the path \"/apps/{app}/{topic}/{*rest}\", but found {}",
        ),
        (
            "a.{rest}",
            "expected a parameter of one segment, but found {*rest}, which takes the rest of the path",
        ),
        (
            "a.{*rest}",
            "expected a parameter of one segment, but found {*rest}, which takes the rest of the path",
        ),
        (
            "a.{*app}",
            "expected a parameter of the path \"/apps/{app}/{topic}/{*rest}\", but found {*app}",
        ),
        (
            "a.{app",
            "expected {name}, but found a single brace in \"a.{app\"",
        ),
        (
            "a.app}",
            "expected {name}, but found a single brace in \"a.app}\"",
        ),
        (
            "a.{{app}}",
            "expected {name}, but found a single brace in \"a.{{app}}\"",
        ),
    ] {
        assert_eq!(
            parse(text).map_err(|error| error.to_string()),
            Err(expected.to_owned()),
            "{text}"
        );
    }
}

//! Refused lookalikes, and paths that are not refused.

use proptest::prelude::*;

use super::tests::{normal, route};
use super::*;
use crate::policy::cors::OriginList;
use crate::policy::mcp::{McpPolicy, OperationLabel, OperationRule, OperationRules, RuleSource};
use crate::policy::requirement::Requirement;
use crate::policy::requirement::ScopeRequirement;
use crate::values::JudgedBy;
use std::sync::Arc;

/// A route that is `public`, or requires any token (empty) or sets of scopes separated by bars.
fn requiring(path: &str, methods: &str, requirement: &str) -> Route {
    let mut route = route("", path, methods);
    let set = |set: &str| ScopeRequirement::parse(set, &route.path).expect("scopes");
    route.requirement = match requirement {
        "public" => Requirement::Public,
        "" => Requirement::Token { any_of: Vec::new() },
        sets => Requirement::Token {
            any_of: sets.split(" | ").map(set).collect(),
        },
    };
    route
}

fn table(routes: &[(&str, &str, &str)]) -> RouteTable {
    let routes = routes
        .iter()
        .map(|(path, methods, requirement)| requiring(path, methods, requirement));
    RouteTable::build(routes.collect()).expect("no overlap")
}

/// The path of the route that a request belongs to, or why there is none.
fn find(table: &RouteTable, method: &Method, path: &str) -> String {
    match table.find("", &normal(path), method) {
        Ok(found) => found.route.path.as_str().to_owned(),
        Err(NoRoute::Lookalike { of, .. }) => format!("like {}", table.routes()[of].path.as_str()),
        Err(NoRoute::NotFound { .. }) => "404".to_owned(),
        Err(NoRoute::MethodNotAllowed { .. }) => "405".to_owned(),
    }
}

/// Variants of a name that some server treats as the name itself.
const DISGUISES: [&str; 28] = [
    "NAME.json",
    "NAME%2ejson",
    "NAME.tar.gz",
    "NAME.json%20",
    "NAME..json",
    "NAME.",
    "NAME%20",
    "%20NAME",
    "NAME%20.json",
    "NAME::$DATA",
    "NAME%3a%3A$DATA",
    "NAME:stream",
    "NAME::$INDEX_ALLOCATION",
    "NAME.json::$DATA",
    "NAME;v=1",
    "NAME.json;v=1",
    "NAME%23",
    "NAME.json%23x",
    "NAME%3Fx",
    "NAME%C2%A0",
    "NAME%e3%80%80",
    "NAME%E2%80%8B",
    "%EF%BB%BFNAME",
    "NAME%C2%AD.json",
    "NAME%CC%81",
    "NAME%EF%BC%8Ejson",
    "NAME%EF%BC%9A$DATA",
    "NAME%EF%BC%9Bx",
];

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn no_disguise_reaches_a_less_strict_route() {
    let table = table(&[
        ("/{*rest}", "", "read"),
        ("/reports", "", "admin"),
        ("/users/{id}", "", "read"),
        ("/users/me", "", "me"),
        ("/tenants/{tenant}/keys", "", "keys"),
        ("/tenants/{tenant}/{*rest}", "", "read"),
        ("/vault/{*rest}", "", "vault"),
    ]);
    let written = DISGUISES.iter().map(|disguise| disguise.to_string());
    let others = [
        "%EF%BC%B2%EF%BD%85ports",
        "REPORTS",
        "r%C3%A9ports",
        "%E2%93%A1eports",
        "report%C5%BF",
        "Reports.JSON",
    ];
    for name in written
        .map(|disguise| disguise.replace("NAME", "reports"))
        .chain(others.map(str::to_owned))
    {
        for path in [
            format!("/{name}"),
            format!("/{name}/"),
            format!("/.../{name}"),
            format!("/{name}%23/x"),
        ] {
            assert_eq!(find(&table, &Method::GET, &path), "like /reports", "{path}");
        }
    }
    for disguise in DISGUISES {
        let disguised = |name: &str| disguise.replace("NAME", name);
        for (path, expected) in [
            (format!("/users/{}", disguised("me")), "like /users/me"),
            (format!("/users/{}", disguised("ME")), "like /users/me"),
            (format!("/{}/me", disguised("users")), "like /users/me"),
            (
                format!("/tenants/acme/{}", disguised("keys")),
                "like /tenants/{tenant}/keys",
            ),
            (
                format!("/{}/acme/keys", disguised("tenants")),
                "like /tenants/{tenant}/keys",
            ),
            (format!("/{}", disguised("vault")), "like /vault/{*rest}"),
            (
                format!("/{}/x/y", disguised("vault")),
                "like /vault/{*rest}",
            ),
        ] {
            // These also end a path in the middle.
            if !(disguise.contains("%23") || disguise.contains("%3F")) || path.ends_with(disguise) {
                assert_eq!(find(&table, &Method::GET, &path), expected, "{path}");
            }
        }
    }
    for (path, expected) in [
        ("/reports", "/reports"),
        ("/reportsx", "/{*rest}"),
        ("/reports-2026.json", "/{*rest}"),
        ("/report.s", "/{*rest}"),
        ("/xreports.json", "/{*rest}"),
        ("/re%20ports", "/{*rest}"),
        ("/reports/x.json", "/{*rest}"),
        ("/users/mel.json", "/users/{id}"),
        ("/users/jane.doe", "/users/{id}"),
        ("/tenants/acme.json/keys", "/tenants/{tenant}/keys"),
        ("/tenants/acme/keyring.json", "/tenants/{tenant}/{*rest}"),
        ("/tenants/acme/x/keys.json", "/tenants/{tenant}/{*rest}"),
    ] {
        assert_eq!(find(&table, &Method::GET, path), expected, "{path}");
    }
}

#[test]
fn equally_strict_route_accepts_the_lookalikes_of_another() {
    for (of_rest, of_literal, passes) in [
        ("public", "public", true),
        ("", "public", true),
        ("a", "public", true),
        ("a", "a", true),
        ("a b", "a", true),
        ("a", "a | b", true),
        ("a.b", "a.*", true),
        ("a", "", true),
        ("public", "", false),
        ("public", "a", false),
        ("", "a", false),
        ("a", "b", false),
        ("a", "a b", false),
        ("a | b", "a", false),
        ("a.*", "a.b", false),
    ] {
        let table = table(&[
            ("/{*rest}", "", of_rest),
            ("/login", "", of_literal),
            ("/users/jane", "", of_literal),
        ]);
        for (path, literal) in [
            ("/login.css", "like /login"),
            ("/LOGIN", "like /login"),
            ("/users/jane.doe", "like /users/jane"),
        ] {
            let expected = if passes { "/{*rest}" } else { literal };
            assert_eq!(
                find(&table, &Method::GET, path),
                expected,
                "{of_rest:?} {of_literal:?} {path}"
            );
        }
    }
}

#[test]
fn declared_literal_is_exact() {
    let table = table(&[
        ("/{*rest}", "", "public"),
        ("/app", "", "admin"),
        ("/app.js", "", "public"),
        ("/App", "", "public"),
        ("/app%20", "", "public"),
        ("/v1/{x}", "", "admin"),
        ("/v1.2/{x}", "", "public"),
        ("/v1.2/secret", "", "admin"),
    ]);
    for (path, expected) in [
        ("/app", "/app"),
        ("/app.js", "/app.js"),
        ("/App", "/App"),
        ("/app%20", "/app%20"),
        ("/app.css", "like /app"),
        ("/app.js.map", "like /app"),
        ("/APP", "like /app"),
        ("/v1.2/x", "/v1.2/{x}"),
        ("/v1.2/x.y", "/v1.2/{x}"),
        ("/v1.2/secret", "/v1.2/secret"),
        ("/v1.2/secret.txt", "like /v1.2/secret"),
        ("/v1.3/x", "like /v1/{x}"),
    ] {
        assert_eq!(find(&table, &Method::GET, path), expected, "{path}");
    }
}

#[test]
fn lookalike_is_judged_by_the_method() {
    let table = table(&[
        ("/{*rest}", "", "read"),
        ("/orders/{id}", "GET DELETE", "read"),
        ("/orders/new", "GET", "read"),
        ("/orders/new", "POST", "write"),
        ("/reports", "GET", "admin"),
        ("/login", "POST", "read"),
    ]);
    for (method, path, expected) in [
        (Method::GET, "/orders/new.json", "/orders/{id}"),
        // The other path would give a 405, and one of its routes is stricter.
        (Method::DELETE, "/orders/new.json", "like /orders/new"),
        (Method::POST, "/orders/new.json", "405"),
        (Method::GET, "/reports.json", "like /reports"),
        (Method::PUT, "/reports.json", "like /reports"),
        // The other route is not stricter, but an unsafe method stays refused.
        (Method::GET, "/login.css", "/{*rest}"),
        (Method::POST, "/login.css", "/{*rest}"),
        (Method::DELETE, "/login.css", "like /login"),
    ] {
        assert_eq!(find(&table, &method, path), expected, "{method} {path}");
    }
}

#[test]
fn issuers_and_shadow_mode_make_a_route_less_strict() {
    let with = |path: &str, requirement: &str, issuers: &[&str], is_enforced: bool| {
        let issuers = issuers.iter().map(|name| Arc::from(*name)).collect();
        Route {
            issuers,
            is_enforced,
            ..requiring(path, "", requirement)
        }
    };
    for (of_rest, of_literal, passes) in [
        (("a", &["x"][..], true), ("a", &[][..], true), true),
        (("a", &["x"], true), ("a", &["x"], true), true),
        (("a", &["x"], true), ("a", &["y", "x"], true), true),
        (("a", &[], true), ("public", &[], true), true),
        (("a", &[], true), ("b", &[], false), true),
        (("a", &[], false), ("b", &[], false), true),
        (("public", &[], true), ("b", &[], false), true),
        (("a", &[], true), ("a", &["x"], true), false),
        (("a", &["y"], true), ("a", &["x"], true), false),
        (("a", &["x", "y"], true), ("a", &["x"], true), false),
        (("", &["x"], true), ("", &["y"], true), false),
        (("a", &[], false), ("a", &[], true), false),
        (("a", &[], false), ("", &[], true), false),
    ] {
        let [rest, literal] = [("/{*rest}", of_rest), ("/app", of_literal)].map(
            |(path, (requirement, issuers, is_enforced))| {
                with(path, requirement, issuers, is_enforced)
            },
        );
        let table = RouteTable::build(vec![rest, literal]).expect("no overlap");
        let expected = if passes { "/{*rest}" } else { "like /app" };
        assert_eq!(
            find(&table, &Method::GET, "/app.json"),
            expected,
            "{of_rest:?} {of_literal:?}"
        );
    }
}

#[test]
fn parameters_are_compared_by_their_segment() {
    let table = table(&[
        ("/users/{id}/{page}", "", "user.{id}"),
        ("/users/{user}/photo", "", "user.{user}"),
        ("/users/{user}/keys", "", "keys.{user}"),
        ("/users/{id}", "", "user.{id}"),
        ("/{a}/{b}/{c}/{d}", "", "user.{b}"),
        ("/users/{id}/x/{y}", "", "user.{id}"),
    ]);
    for (path, expected) in [
        ("/users/7/photo.jpg", "/users/{id}/{page}"),
        ("/users/Jane.Doe/photo.jpg", "/users/{id}/{page}"),
        ("/users/7/keys.json", "like /users/{user}/keys"),
        ("/users/7%23/photo", "/users/{user}/photo"),
        ("/USERS/7/x/y", "/{a}/{b}/{c}/{d}"),
        // A server that skips the dots takes another segment as the id.
        ("/users/.../7/photo", "like /users/{user}/photo"),
    ] {
        assert_eq!(find(&table, &Method::GET, path), expected, "{path}");
    }
}

fn written() -> impl Strategy<Value = (String, String)> {
    let literal = prop_oneof![
        Just("a"),
        Just("A"),
        Just("b"),
        Just("a.b"),
        Just("c%23"),
        Just("%C3%A9")
    ];
    let segment = prop_oneof![3 => literal, 2 => Just("{}")];
    let segments = proptest::collection::vec(segment, 1..4);
    (
        segments,
        prop_oneof![2 => Just(""), 1 => Just("/{*rest}")],
        "[ab]",
    )
        .prop_map(|(segments, end, scope)| {
            let named = segments
                .iter()
                .enumerate()
                .map(|(place, segment)| segment.replace("{}", &format!("{{x{place}}}")));
            (
                named.fold(String::new(), |path, segment| path + "/" + &segment) + end,
                scope,
            )
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn path_is_refused_only_for_a_stricter_route(
        routes in proptest::collection::vec(written(), 1..8),
        paths in proptest::collection::vec("(/([abA]|[.]|%20|%23|%C3%A9|e|%EF%BC%8F|::x|%3B){1,4}){1,4}/?", 16),
    ) {
        let mut routes_without_overlap: Vec<Route> = Vec::new();
        for (path, scope) in routes {
            routes_without_overlap.push(requiring(&path, "", &scope));
            if RouteTable::build(routes_without_overlap.clone()).is_err() {
                routes_without_overlap.pop();
            }
        }
        let equal = routes_without_overlap.iter().map(|route| requiring(route.path.as_str(), "", "a")).collect();
        let (table, equal) = (RouteTable::build(routes_without_overlap).expect("no overlap"), RouteTable::build(equal).expect("no overlap"));
        for path in paths {
            let Ok(path) = NormalPath::parse(&path, crate::values::PathParameters::Allow) else { continue };
            let found = table.find("", &path, &Method::GET);
            let without_differences = equal.find("", &path, &Method::GET);
            let is_refused = matches!(without_differences, Err(NoRoute::Lookalike { .. }));
            prop_assert!(!is_refused, "{path:?}");
            match found {
                Ok(found) => prop_assert_eq!(Ok(found.index), without_differences.map(|found| found.index)),
                Err(NoRoute::Lookalike { of, through }) => {
                    prop_assert_eq!(Ok(through), without_differences.map(|found| found.index));
                    let [one, other] = [through, of].map(|index| &table.routes()[index]);
                    prop_assert_ne!(&one.requirement, &other.requirement);
                }
                Err(error) => prop_assert_eq!(Some(error), without_differences.err()),
            }
        }
    }
}

#[test]
fn route_without_the_rules_of_an_mcp_route_is_less_strict() {
    let policy = |methods: &[(&str, &str)]| {
        let rule = |(index, (method, scope)): (usize, &(&str, &str))| OperationRule {
            label: Arc::new(OperationLabel {
                method: (*method).into(),
                name: None,
            }),
            scope: ScopeRequirement::parse(scope, &route("", "/a", "").path).ok(),
            source: RuleSource::File(index),
        };
        Some(Arc::new(McpPolicy {
            judged_by: JudgedBy::Message,
            origins: OriginList::default(),
            rules: OperationRules::new(methods.iter().enumerate().map(rule).collect()),
        }))
    };
    let call = [("tools/call", "a")];
    for (of_rest, of_literal, passes) in [
        (policy(&call), policy(&call), true),
        (policy(&[("tools/call", "a b")]), policy(&call), true),
        (policy(&call), None, true),
        (None, policy(&call), false),
        (policy(&[("tools/call", "b")]), policy(&call), false),
        (policy(&[("tools/call", "")]), policy(&call), false),
        (policy(&[("tools/*", "a")]), policy(&call), false),
        (policy(&[]), policy(&call), false),
    ] {
        let with = |path: &str, mcp: Option<Arc<McpPolicy>>| Route {
            mcp,
            ..requiring(path, "", "public")
        };
        let routes = vec![with("/{*rest}", of_rest), with("/app", of_literal)];
        let table = RouteTable::build(routes).expect("no overlap");
        let found = find(&table, &Method::POST, "/app.json");
        let expected = if passes { "/{*rest}" } else { "like /app" };
        assert_eq!(found, expected);
    }
}

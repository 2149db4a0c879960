//! Rules over claims: `claims` of routes and of issuers.

mod issuers;
mod requests;

use serde_json::{Value, json};

use harness::{Response, TestBed};

/// Asks for a path twice with the usual claims and these: the second request is a cache hit.
fn get(test_bed: &TestBed, path: &str, changed: &Value) -> Response {
    let token = token(test_bed, changed);
    let first = test_bed.get(path, Some(&token));
    let second = test_bed.get(path, Some(&token));
    assert_eq!(first.status, second.status, "{path} {changed}");
    second
}

fn token(test_bed: &TestBed, changed: &Value) -> String {
    let mut claims = test_bed.issuer.claims("read");
    for (name, value) in changed.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    test_bed.key.token(&claims)
}

const OPERATORS: &str = "[[routes]]
path = \"/is\"
claims = [{ claim = \"azp\", is = \"web\" }]
upstream = \"up\"
[[routes]]
path = \"/number\"
claims = [{ claim = \"level\", is = 5 }]
upstream = \"up\"
[[routes]]
path = \"/boolean\"
claims = [{ claim = \"email_verified\", is = true }]
upstream = \"up\"
[[routes]]
path = \"/one-of\"
claims = [{ claim = \"azp\", one_of = [\"web\", \"cli\", 7] }]
upstream = \"up\"
[[routes]]
path = \"/has\"
claims = [{ claim = \"/realm_access/roles\", has = \"editor\" }]
upstream = \"up\"
[[routes]]
path = \"/matches\"
claims = [{ claim = \"ref\", matches = \"refs/heads/release-*\" }]
upstream = \"up\"
[[routes]]
path = \"/exists\"
claims = [{ claim = \"org.id\", exists = true }]
upstream = \"up\"
[[routes]]
path = \"/two\"
claims = [{ claim = \"azp\", is = \"web\" }, { claim = \"level\", one_of = [4, 5] }]
upstream = \"up\"
";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_operator_admits_exactly_its_values() {
    let test_bed = TestBed::routes(OPERATORS);
    let mut hits = 0;
    for (path, claims, expected) in [
        ("/is", json!({ "azp": "web" }), 200),
        ("/is", json!({ "azp": "web " }), 403),
        ("/is", json!({ "azp": "WEB" }), 403),
        ("/is", json!({ "azp": ["web"] }), 403),
        ("/is", json!({ "azp": null }), 403),
        ("/is", json!({ "client_id": "web" }), 403),
        ("/is", json!({}), 403),
        ("/number", json!({ "level": 5 }), 200),
        ("/number", json!({ "level": 5.0 }), 200),
        ("/number", json!({ "level": "5" }), 403),
        ("/number", json!({ "level": 5.5 }), 403),
        ("/boolean", json!({ "email_verified": true }), 200),
        ("/boolean", json!({ "email_verified": "true" }), 403),
        ("/boolean", json!({ "email_verified": 1 }), 403),
        ("/one-of", json!({ "azp": "cli" }), 200),
        ("/one-of", json!({ "azp": 7 }), 200),
        ("/one-of", json!({ "azp": "7" }), 403),
        ("/one-of", json!({ "azp": ["cli"] }), 403),
        ("/one-of", json!({ "azp": "web cli" }), 403),
        (
            "/has",
            json!({ "realm_access": { "roles": ["viewer", "editor"] } }),
            200,
        ),
        (
            "/has",
            json!({ "realm_access": { "roles": "editor" } }),
            403,
        ),
        (
            "/has",
            json!({ "realm_access": { "roles": { "editor": true } } }),
            403,
        ),
        (
            "/has",
            json!({ "realm_access": { "roles": ["viewer editor"] } }),
            403,
        ),
        (
            "/has",
            json!({ "realm_access": { "roles": [["editor"]] } }),
            403,
        ),
        ("/has", json!({ "realm_access": { "roles": ["*"] } }), 403),
        ("/has", json!({ "/realm_access/roles": ["editor"] }), 403),
        ("/matches", json!({ "ref": "refs/heads/release-7" }), 200),
        ("/matches", json!({ "ref": "refs/heads/release-" }), 403),
        ("/matches", json!({ "ref": "refs/heads/main" }), 403),
        ("/matches", json!({ "ref": "x refs/heads/release-7" }), 403),
        ("/matches", json!({ "ref": ["refs/heads/release-7"] }), 403),
        ("/exists", json!({ "org.id": 0 }), 200),
        ("/exists", json!({ "org.id": null }), 403),
        ("/exists", json!({ "org": { "id": 7 } }), 403),
        ("/two", json!({ "azp": "web", "level": 4 }), 200),
        ("/two", json!({ "azp": "web" }), 403),
        ("/two", json!({ "level": 4 }), 403),
    ] {
        let response = get(&test_bed, path, &claims);
        assert_eq!(
            (response.status, response.challenge()),
            (expected, None),
            "{path} {claims}"
        );
        hits += if expected == 200 { 2 } else { 0 };
        assert_eq!(test_bed.hits(), hits, "{path} {claims}");
    }
}

#[test]
fn parameter_of_the_path_is_literal_in_every_operator() {
    let test_bed = TestBed::routes(
        "[[routes]]
path = \"/t/{tenant}/is\"
claims = [{ claim = \"tenant\", is = \"{tenant}\" }]
upstream = \"up\"
[[routes]]
path = \"/t/{tenant}/in/{group}\"
claims = [{ claim = \"groups\", has = \"{tenant}:{group}\" }]
upstream = \"up\"
[[routes]]
path = \"/t/{tenant}/sub\"
claims = [{ claim = \"subject\", matches = \"tenant/{tenant}/*\" }]
upstream = \"up\"
[[routes]]
path = \"/t/{tenant}/any\"
claims = [{ claim = \"tenant\", one_of = [\"admin\", \"{tenant}\"] }, { claim = \"azp\", is = \"web\" }]
upstream = \"up\"
",
    );
    for (path, claims, expected) in [
        ("/t/acme/is", json!({ "tenant": "acme" }), 200),
        ("/t/%61cme/is", json!({ "tenant": "acme" }), 200),
        ("/t/acme%20inc/is", json!({ "tenant": "acme inc" }), 200),
        ("/t/acme%20inc/is", json!({ "tenant": "acme%20inc" }), 403),
        ("/t/other/is", json!({ "tenant": "acme" }), 403),
        ("/t/acme/is", json!({ "tenant": ["acme"] }), 403),
        ("/t/acme/is", json!({ "tenant": "{tenant}" }), 403),
        ("/t/{tenant}/is", json!({ "tenant": "acme" }), 403),
        ("/t/*/is", json!({ "tenant": "acme" }), 403),
        ("/t/*/is", json!({ "tenant": "*" }), 200),
        ("/t/7/is", json!({ "tenant": 7 }), 403),
        ("/t/true/is", json!({ "tenant": true }), 403),
        ("/t/acme/in/ops", json!({ "groups": ["acme:ops"] }), 200),
        (
            "/t/acme/in/ops",
            json!({ "groups": ["acme:*", "*:ops", "acme", "ops"] }),
            403,
        ),
        // The parts of a value are not compared one by one.
        ("/t/a/in/b:c", json!({ "groups": ["a:b:c"] }), 200),
        ("/t/a:b/in/c", json!({ "groups": ["a:b:c"] }), 200),
        ("/t/acme/sub", json!({ "subject": "tenant/acme/7" }), 200),
        ("/t/acme/sub", json!({ "subject": "tenant/acme/" }), 403),
        ("/t/*/sub", json!({ "subject": "tenant/acme/7" }), 403),
        ("/t/*/sub", json!({ "subject": "tenant/*/7" }), 200),
        ("/t/ac*/sub", json!({ "subject": "tenant/acme/7" }), 403),
        (
            "/t/acme/any",
            json!({ "tenant": "admin", "azp": "web" }),
            200,
        ),
        (
            "/t/acme/any",
            json!({ "tenant": "acme", "azp": "web" }),
            200,
        ),
        (
            "/t/acme/any",
            json!({ "tenant": "acme", "azp": "cli" }),
            403,
        ),
        (
            "/t/acme/any",
            json!({ "tenant": "other", "azp": "web" }),
            403,
        ),
    ] {
        // Not every client library sends a brace as it is.
        let path = path.replace('{', "%7B").replace('}', "%7D");
        assert_eq!(
            get(&test_bed, &path, &claims).status,
            expected,
            "{path} {claims}"
        );
    }
}

#[test]
fn one_token_has_the_outcome_of_each_route() {
    let test_bed = TestBed::routes(OPERATORS);
    let token = token(&test_bed, &json!({ "azp": "cli", "level": 5 }));
    for _ in 0..3 {
        for (path, expected) in [
            ("/is", 403),
            ("/number", 200),
            ("/one-of", 200),
            ("/has", 403),
            ("/two", 403),
        ] {
            assert_eq!(test_bed.get(path, Some(&token)).status, expected, "{path}");
        }
    }
}

#[test]
fn more_rules_than_a_token_remembers_hold_all_the_same() {
    let route = |number: usize| {
        format!(
            "[[routes]]\npath = \"/{number}\"\nclaims = [{{ claim = \"n\", is = {number} }}]\nupstream = \"up\"\n"
        )
    };
    let test_bed = TestBed::routes(&(0..70).map(route).collect::<String>());
    for number in [0, 1, 62, 63, 64, 65, 69] {
        let token = token(&test_bed, &json!({ "n": number }));
        for other in [0, 63, 64, 69] {
            let expected = if other == number { 200 } else { 403 };
            for _ in 0..2 {
                let status = test_bed.get(&format!("/{other}"), Some(&token)).status;
                assert_eq!(status, expected, "{number} at /{other}");
            }
        }
    }
}

//! What a client and the operator get to know of an unmet rule.

use super::*;
use harness::{Gateway, logged, send};

const ROUTES: &str = "[[routes]]
path = \"/secret\"
scope = \"read\"
claims = [{ claim = \"department\", is = \"confidential-value\" }]
upstream = \"up\"
[[routes]]
path = \"/shadow\"
claims = [{ claim = \"department\", is = \"x\" }]
claim_headers = { X-Sub = \"sub\" }
enforce = false
upstream = \"up\"
[[routes]]
path = \"/plain\"
upstream = \"up\"
";

#[test]
fn refusal_names_the_rule_to_the_operator_and_nothing_to_the_client() {
    let test_bed = TestBed::routes(ROUTES);
    let response = get(
        &test_bed,
        "/secret",
        &json!({ "department": "value-of-the-token" }),
    );
    assert_eq!((response.status, response.challenge()), (403, None));
    assert_eq!(
        response.text(),
        "{\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403,\
         \"detail\":\"The access token is valid, but may not be used for this.\"}\n"
    );
    assert!(logged("\"reason\":\"claim_not_met\""));
    assert!(logged(
        r#"expected claim \"department\" to meet claims[0] (is), but found a string (see claims of the route)"#
    ));
    assert!(!logged("value-of-the-token") && !logged("confidential-value"));
    let refused = test_bed.metric(
        "scopegate_requests_total{route=\"/secret\",method=\"GET\",status=\"4xx\",decision=\"refused\",reason=\"claim_not_met\"}",
    );
    assert_eq!(refused, Some(2.0));
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn token_without_scope_and_claim_gets_the_challenge_of_the_scope() {
    let test_bed = TestBed::routes(ROUTES);
    let response = get(&test_bed, "/secret", &json!({ "scope": "other" }));
    assert_eq!(
        (response.status, response.challenge()),
        (
            403,
            Some("Bearer error=\"insufficient_scope\", scope=\"read\"")
        )
    );
    let response = get(
        &test_bed,
        "/secret",
        &json!({ "scope": "other", "department": "confidential-value" }),
    );
    assert_eq!(response.status, 403);
    let response = get(
        &test_bed,
        "/secret",
        &json!({ "department": "confidential-value" }),
    );
    assert_eq!(response.status, 200);
}

#[test]
fn unmet_rule_is_recorded_in_shadow_mode() {
    let test_bed = TestBed::routes(ROUTES);
    assert_eq!(get(&test_bed, "/shadow", &json!({})).status, 200);
    assert_eq!(test_bed.last().header("x-sub"), Vec::<&str>::new());
    let shadowed = test_bed.metric(
        "scopegate_requests_total{route=\"/shadow\",method=\"GET\",status=\"2xx\",decision=\"shadowed\",reason=\"claim_not_met\"}",
    );
    assert_eq!(shadowed, Some(2.0));
    assert_eq!(
        get(&test_bed, "/shadow", &json!({ "department": "x" })).status,
        200
    );
    assert_eq!(test_bed.last().header("x-sub"), ["client-1"]);
}

#[test]
fn grpc_client_gets_permission_denied() {
    let test_bed = TestBed::routes(ROUTES);
    let request = format!(
        "POST /secret HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 0\r\n\r\n",
        token(&test_bed, &json!({}))
    );
    let response = send(test_bed.gateway.address, &request);
    assert_eq!(response.header("grpc-status"), Some("7"));
}

#[test]
fn lookalike_of_a_path_with_a_rule_is_refused() {
    let test_bed = TestBed::routes(
        "[[routes]]\npath = \"/admin\"\nclaims = [{ claim = \"azp\", is = \"web\" }]\nupstream = \"up\"\n\
         [[routes]]\npath = \"/{*rest}\"\nupstream = \"up\"\n",
    );
    let token = token(&test_bed, &json!({}));
    assert_eq!(test_bed.get("/other", Some(&token)).status, 200);
    assert_eq!(test_bed.get("/admin", Some(&token)).status, 403);
    for path in ["/Admin", "/admin.", "/admin%20", "/ADMIN%3Fx", "/admin/"] {
        assert_ne!(test_bed.get(path, Some(&token)).status, 200, "{path}");
    }
    assert_eq!(test_bed.hits(), 1);
}

#[test]
fn cached_token_is_judged_by_the_rules_of_a_new_file() {
    let test_bed = TestBed::routes("");
    let file = |rule: &str| {
        format!(
            "[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\n[upstreams.up]\ntargets = \"http://{}\"\n\
             [[routes]]\npath = \"/a\"\nupstream = \"up\"\n{rule}\n",
            test_bed.issuer.url, test_bed.upstream.address
        )
    };
    let token = token(&test_bed, &json!({ "azp": "web", "level": 5 }));
    let gateway = Gateway::start(&file(""));
    let status = || harness::get(gateway.address, "/a", Some(&token)).status;
    harness::eventually("the JWKS is fetched", || status() == 200);
    for (rule, expected) in [
        ("claims = [{ claim = \"azp\", is = \"cli\" }]", 403),
        ("claims = [{ claim = \"azp\", is = \"web\" }]", 200),
        ("claims = [{ claim = \"level\", is = 6 }]", 403),
        ("claims = [{ claim = \"level\", is = 5 }]", 200),
        (
            "claims = [{ claim = \"level\", is = 5 }, { claim = \"azp\", is = \"cli\" }]",
            403,
        ),
        (
            "claims = [{ claim = \"azp\", is = \"cli\" }, { claim = \"level\", is = 5 }]",
            403,
        ),
        ("", 200),
    ] {
        gateway.reload(&file(rule)).expect("a file");
        assert_eq!([status(), status()], [expected; 2], "{rule}");
    }
}

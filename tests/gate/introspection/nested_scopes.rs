//! Scopes in nested claims of introspection responses.

use super::*;

const ROLES: &str = "scope_claims = [\"scope\", \"/realm_access/roles\"]";

#[test]
fn nested_roles_of_an_introspection_response_are_scopes() {
    let test_bed = TestBed::with(ROLES, "");
    for (token, roles, expected) in [
        ("one", json!(["read"]), 200),
        ("two", json!({ "read": {} }), 200),
        ("three", json!({ "read": null }), 403),
        ("four", json!(["*"]), 403),
        ("five", json!(null), 403),
    ] {
        let mut active = test_bed.active("");
        active["realm_access"] = json!({ "roles": roles });
        test_bed.respond_with(Reply::json(active));
        for _ in 0..2 {
            assert_eq!(test_bed.get(token).status, expected, "{roles}");
        }
    }
}

#[test]
fn response_that_names_a_scope_claim_replaces_the_roles_of_the_token() {
    let issuer_keys = format!("{ROLES}\nvalidation = \"jwks+introspection\"");
    let test_bed = TestBed::with(&issuer_keys, "");
    test_bed.wait_for_jwks();
    let token = |jti: &str| {
        let mut claims = harness::claims(&test_bed.url, "");
        claims["jti"] = json!(jti);
        claims["realm_access"] = json!({ "roles": ["read"] });
        test_bed.key.token(&claims)
    };
    let mut active = test_bed.active("");
    active.as_object_mut().expect("an object").remove("scope");
    for (jti, change, expected) in [
        // The response names no scope claim: the token's counts.
        ("1", json!({}), 200),
        ("2", json!({ "realm_access": null }), 200),
        ("3", json!({ "scope": "other" }), 403),
        ("4", json!({ "realm_access": {} }), 403),
        ("5", json!({ "realm_access": { "roles": ["read"] } }), 200),
    ] {
        let mut response = active.clone();
        for (name, value) in change.as_object().expect("an object") {
            response[name] = value.clone();
        }
        test_bed.respond_with(Reply::json(response));
        assert_eq!(test_bed.get(&token(jti)).status, expected, "{change}");
    }
}

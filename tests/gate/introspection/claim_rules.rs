//! Rules over claims of introspection responses.

use super::*;

const RULES: &str = "claims = [{ claim = \"token_use\", is = \"access\" }, { claim = \"/act/sub\", matches = \"svc-*\" }]";

fn with(mut response: Value, changed: &Value) -> Value {
    for (name, value) in changed.as_object().expect("an object") {
        response[name] = value.clone();
    }
    response
}

#[test]
fn rules_of_an_issuer_hold_for_introspection_responses() {
    let test_bed = TestBed::with(RULES, "");
    for (token, claims, expected) in [
        (
            "one",
            json!({ "token_use": "access", "act": { "sub": "svc-1" } }),
            200,
        ),
        ("two", json!({ "token_use": "access" }), 401),
        (
            "three",
            json!({ "token_use": null, "act": { "sub": "svc-1" } }),
            401,
        ),
        (
            "four",
            json!({ "token_use": "access", "act": { "sub": ["svc-1"] } }),
            401,
        ),
    ] {
        test_bed.respond_with(Reply::json(with(test_bed.active("read"), &claims)));
        for _ in 0..2 {
            let response = test_bed.get(token);
            let challenge = INVALID.filter(|_| expected == 401);
            assert_eq!(
                (response.status, response.challenge()),
                (expected, challenge),
                "{claims}"
            );
        }
    }
}

#[test]
fn unverified_claims_of_a_jwt_meet_no_rule() {
    let test_bed = TestBed::with(RULES, "");
    let met = json!({ "token_use": "access", "act": { "sub": "svc-1" } });
    let token = |jti: &str, claims: &Value| {
        let usual = with(
            harness::claims(&test_bed.url, "read"),
            &json!({ "jti": jti }),
        );
        test_bed.key.token(&with(usual, claims))
    };
    test_bed.respond_with(Reply::json(test_bed.active("read")));
    assert_eq!(
        test_bed.get(&token("1", &met)).status,
        401,
        "only the JWT meets them"
    );
    test_bed.respond_with(Reply::json(with(test_bed.active("read"), &met)));
    assert_eq!(
        test_bed.get(&token("2", &json!({}))).status,
        200,
        "the response meets them"
    );
}

#[test]
fn with_both_validations_the_jwt_and_the_combined_claims_meet_the_rules() {
    let test_bed = TestBed::with(&format!("{RULES}\nvalidation = \"jwks+introspection\""), "");
    test_bed.wait_for_jwks();
    let met = json!({ "token_use": "access", "act": { "sub": "svc-1" } });
    let token = |jti: &str, claims: &Value| {
        let usual = with(
            harness::claims(&test_bed.url, "read"),
            &json!({ "jti": jti }),
        );
        test_bed.key.token(&with(usual, claims))
    };
    for (jti, of_token, of_response, expected) in [
        ("1", &met, json!({}), 200),
        ("2", &met, met.clone(), 200),
        ("3", &met, json!({ "act": { "sub": "user" } }), 401),
        ("4", &json!({}), met.clone(), 401),
    ] {
        test_bed.respond_with(Reply::json(with(test_bed.active("read"), &of_response)));
        assert_eq!(
            test_bed.get(&token(jti, of_token)).status,
            expected,
            "{of_token} {of_response}"
        );
    }
}

#[test]
fn response_without_aud_may_name_the_audience_in_another_claim() {
    let test_bed = TestBed::with("audience_claims = \"client_id\"", "");
    for (token, claims, expected) in [
        (
            "one",
            json!({ "aud": null, "client_id": "https://api.test" }),
            200,
        ),
        ("two", json!({ "aud": null }), 401),
        (
            "three",
            json!({ "aud": "other", "client_id": "https://api.test" }),
            401,
        ),
        ("four", json!({ "aud": null, "client_id": null }), 401),
    ] {
        test_bed.respond_with(Reply::json(with(test_bed.active("read"), &claims)));
        assert_eq!(test_bed.get(token).status, expected, "{claims}");
    }
}

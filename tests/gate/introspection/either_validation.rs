//! `validation = "jwks-or-introspection"`: JWTs by keys, other tokens by introspection.

use serde_json::{Value, json};

use super::{INVALID, TestBed, inactive};
use harness::{Key, NOW, Reply, claims, eventually};

const EITHER: &str = "validation = \"jwks-or-introspection\"";

fn jwt(test_bed: &TestBed, change: impl Fn(&mut Value)) -> String {
    let mut claims = claims(&test_bed.url, "read");
    change(&mut claims);
    test_bed.key.token(&claims)
}

#[test]
fn jwt_is_verified_by_keys_alone_and_another_token_by_introspection_alone() {
    let test_bed = TestBed::with(EITHER, "");
    let token = jwt(&test_bed, |_| ());
    eventually("the JWKS is fetched", || test_bed.get(&token).status == 200);
    assert_eq!(test_bed.introspections().len(), 0);
    assert_eq!(test_bed.get("opaque").status, 200);
    assert_eq!(test_bed.introspections().len(), 1);

    test_bed.respond_with(inactive());
    let response = test_bed.get("revoked");
    assert_eq!((response.status, response.challenge()), (401, INVALID));
    assert_eq!(test_bed.get(&token).status, 200);
    let narrow = jwt(&test_bed, |claims| claims["scope"] = json!("write"));
    assert_eq!(test_bed.get(&narrow).status, 403);
    assert_eq!(test_bed.introspections().len(), 2);
}

#[test]
fn jwt_that_fails_a_check_is_never_introspected() {
    let test_bed = TestBed::with(EITHER, "");
    let good = jwt(&test_bed, |_| ());
    eventually("the JWKS is fetched", || test_bed.get(&good).status == 200);
    let hits = test_bed.hits();
    let forged = Key::es256("first").token(&claims(&test_bed.url, "read"));
    let unknown_key = Key::es256("other").token(&claims(&test_bed.url, "read"));
    let unsigned = test_bed
        .key
        .token_with(&json!({ "alg": "none" }), &claims(&test_bed.url, "read"));
    for (what, token) in [
        ("a forged signature", forged),
        ("an unknown key", unknown_key),
        ("no signature", unsigned),
        (
            "an expired token",
            jwt(&test_bed, |claims| claims["exp"] = json!(NOW - 31)),
        ),
        (
            "another audience",
            jwt(&test_bed, |claims| {
                claims["aud"] = json!("https://other.test");
            }),
        ),
        (
            "another issuer",
            jwt(&test_bed, |claims| {
                claims["iss"] = json!("https://other.test");
            }),
        ),
    ] {
        let response = test_bed.get(&token);
        assert_eq!(
            (response.status, response.challenge(), test_bed.hits()),
            (401, INVALID, hits),
            "{what}"
        );
    }
    assert_eq!(test_bed.introspections().len(), 0);
}

#[test]
fn failing_introspection_is_a_503_for_other_tokens_and_nothing_to_jwts() {
    let test_bed = TestBed::with(EITHER, "");
    let token = jwt(&test_bed, |_| ());
    eventually("the JWKS is fetched", || test_bed.get(&token).status == 200);
    test_bed.respond_with(Reply::status(500));
    // More failures than open the circuit breaker.
    for number in 0..20 {
        test_bed.assert_unavailable(&format!("opaque-{number}"), "introspection fails");
    }
    let fresh = jwt(&test_bed, |claims| claims["jti"] = json!("fresh"));
    assert_eq!(test_bed.get(&fresh).status, 200);
}

#[test]
fn missing_keys_are_a_503_for_jwts_and_nothing_to_other_tokens() {
    // Nothing listens at the discard port.
    let keys = format!("{EITHER}\njwks_uri = \"http://127.0.0.1:9/jwks\"");
    let test_bed = TestBed::with(&keys, "");
    test_bed.assert_unavailable(&jwt(&test_bed, |_| ()), "there are no keys");
    assert_eq!(test_bed.introspections().len(), 0);
    assert_eq!(test_bed.get("opaque").status, 200);
}

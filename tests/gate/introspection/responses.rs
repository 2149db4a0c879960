//! The introspection request, and what the gateway does with the response.

use serde_json::{Value, json};

use super::{INVALID, TestBed, form, inactive};
use harness::{Key, NOW, Reply, claims, eventually};

#[test]
fn r7_introspection_request_is_a_form_with_basic_credentials() {
    let test_bed = TestBed::start();
    let token = "a-._~+/0==";
    assert_eq!(test_bed.get(token).status, 200);
    let [introspection] = &test_bed.introspections()[..] else {
        panic!("expected one introspection request")
    };
    assert_eq!(
        (&*introspection.method, introspection.header("accept")),
        ("POST", vec!["application/json"])
    );
    assert_eq!(
        introspection.header("content-type"),
        ["application/x-www-form-urlencoded"]
    );
    // gateway:of the gateway
    assert_eq!(
        introspection.header("authorization"),
        ["Basic Z2F0ZXdheTpvZiB0aGUgZ2F0ZXdheQ=="]
    );
    let expected = [("token", token), ("token_type_hint", "access_token")];
    assert_eq!(
        form(introspection),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let sent = test_bed.upstream.received();
    assert_eq!(sent[0].header("authorization"), [format!("Bearer {token}")]);
}

#[test]
fn active_token_is_accepted_where_its_scope_suffices() {
    let test_bed = TestBed::start();
    assert_eq!(test_bed.get("good").status, 200);
    test_bed.respond_with(Reply::json(test_bed.active("write")));
    let response = test_bed.get("narrow");
    let challenge = Some("Bearer error=\"insufficient_scope\", scope=\"read\"");
    assert_eq!((response.status, response.challenge()), (403, challenge));
    for scope in ["re*", "*"] {
        test_bed.respond_with(Reply::json(test_bed.active(scope)));
        assert_eq!(
            test_bed.get(&format!("wide{}", scope.len())).status,
            200,
            "{scope}"
        );
    }
    assert_eq!(test_bed.hits(), 3);
}

#[test]
fn r8_inactive_token_is_invalid() {
    let test_bed = TestBed::start();
    test_bed.respond_with(inactive());
    test_bed.assert_refused("revoked", "active: false");
    test_bed.respond_with(Reply::json(
        json!({ "active": false, "scope": "read", "error": "odd" }),
    ));
    test_bed.assert_refused("revoked-too", "active: false with other members");
}

#[test]
fn r11_introspection_response_is_checked_like_claims() {
    let test_bed = TestBed::start();
    for (name, value) in [
        ("iss", json!("https://other.test")),
        ("aud", json!("https://other.test")),
        ("aud", json!(["https://other.test", 7])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 31)),
        ("exp", json!((NOW + 600) * 1000)),
        ("exp", json!(i64::MAX)),
        ("nbf", json!(NOW + 31)),
        ("iat", json!(NOW + 31)),
        ("cnf", json!({ "jkt": "x" })),
        ("cnf", json!({ "x5t#S256": "x" })),
        ("token_type", json!("DPoP")),
        ("token_type", json!("refresh_token")),
        ("token_use", json!("id")),
        ("purpose", json!("refresh_token")),
        ("nonce", json!("x")),
    ] {
        let mut response = test_bed.active("read");
        response[name] = value.clone();
        test_bed.respond_with(Reply::json(&response));
        test_bed.assert_refused(
            &format!("{name}{}", test_bed.introspections().len()),
            &format!("{name} = {value}"),
        );
    }
}

#[test]
fn r43_introspection_response_with_values_of_a_wrong_type_is_a_503() {
    let test_bed = TestBed::start();
    for (name, value) in [
        ("iss", json!(7)),
        ("exp", json!("1800000600")),
        ("exp", json!(-1)),
        ("nbf", json!([])),
        ("iat", json!({})),
    ] {
        let mut response = test_bed.active("read");
        response[name] = value.clone();
        test_bed.respond_with(Reply::json(&response));
        test_bed.assert_unavailable(
            &format!("{name}{}", test_bed.introspections().len()),
            &format!("{name} = {value}"),
        );
    }
}

#[test]
fn r19_jwt_expires_by_its_own_exp_whatever_the_introspection_response_says() {
    let expiring = |test_bed: &TestBed| {
        let mut claims = claims(&test_bed.url, "read");
        claims["exp"] = json!(NOW + 10);
        test_bed.key.token(&claims)
    };
    for validation in ["introspection", "jwks+introspection"] {
        let test_bed = TestBed::with(
            &format!("validation = \"{validation}\"\nleeway = \"0s\""),
            "",
        );
        test_bed.respond_with(Reply::json(
            json!({ "active": true, "aud": "https://api.test", "scope": "read" }),
        ));
        let token = expiring(&test_bed);
        eventually("the token is accepted", || {
            test_bed.get(&token).status == 200
        });
        test_bed.gateway.set_time(10);
        let response = test_bed.get(&token);
        assert_eq!(
            (response.status, response.challenge()),
            (401, INVALID),
            "{validation}"
        );
    }
}

#[test]
fn jwt_is_introspected_only_at_the_issuer_that_it_names() {
    let test_bed = TestBed::start();
    let token = test_bed.key.token(&claims(&test_bed.url, "ignored"));
    assert_eq!(test_bed.get(&token).status, 200);
    assert_eq!(form(&test_bed.introspections()[0])[0].1, token);
    // A token of another issuer is not sent to this one. Nor is a token that is no access token.
    test_bed.assert_refused_without_introspection(
        &test_bed.key.token(&claims("https://other.test", "read")),
    );
    // A token that is invalid by its own claims is refused without an introspection request.
    for (name, value) in [
        ("typ", json!("refresh")),
        ("aud", json!("https://other.test")),
        ("exp", json!(NOW - 31)),
        ("cnf", json!({ "jkt": "x" })),
    ] {
        let mut claims = claims(&test_bed.url, "read");
        claims[name] = value;
        test_bed.assert_refused_without_introspection(&test_bed.key.token(&claims));
    }
    let header = json!({ "alg": "ES256", "typ": "token-introspection+jwt", "kid": "first" });
    test_bed.assert_refused_without_introspection(
        &test_bed
            .key
            .token_with(&header, &claims(&test_bed.url, "read")),
    );
    let header = json!({ "alg": "none" });
    test_bed.assert_refused_without_introspection(
        &test_bed
            .key
            .token_with(&header, &claims(&test_bed.url, "read")),
    );
}

#[test]
fn with_jwks_and_introspection_a_jwt_must_pass_both() {
    let test_bed = TestBed::with("validation = \"jwks+introspection\"", "");
    test_bed.wait_for_jwks();
    let token = |change: fn(&mut Value)| {
        let mut claims = claims(&test_bed.url, "read");
        change(&mut claims);
        test_bed.key.token(&claims)
    };
    eventually("the JWKS is fetched", || {
        test_bed
            .get(&token(|claims| claims["jti"] = json!("first")))
            .status
            == 200
    });
    let (introspections, hits) = (test_bed.introspections().len(), test_bed.hits());

    // A forged or expired token starts no introspection request.
    test_bed.assert_refused_without_introspection(
        &Key::es256("first").token(&claims(&test_bed.url, "read")),
    );
    test_bed.assert_refused_without_introspection(&token(|claims| claims["exp"] = json!(NOW - 31)));
    assert_eq!(test_bed.introspections().len(), introspections);

    // A valid signature does not help a revoked token.
    test_bed.respond_with(inactive());
    let response = test_bed.get(&token(|claims| claims["jti"] = json!("revoked")));
    assert_eq!(
        (response.status, response.challenge(), test_bed.hits()),
        (401, INVALID, hits)
    );

    // Nor a token that may be revoked, while introspection fails.
    for reply in [
        Reply::status(500),
        Reply::RawThenClose(Vec::new()),
        Reply::json(json!({})),
    ] {
        test_bed.respond_with(reply.clone());
        test_bed.assert_unavailable(
            &token(|claims| claims["jti"] = json!("unknown")),
            "a signed token whose server fails",
        );
    }

    // The introspection response overrides the claims that it names; the others are the token's.
    test_bed.respond_with(Reply::json(json!({ "active": true, "scope": "write" })));
    let response = test_bed.get(&token(|claims| claims["jti"] = json!("narrowed")));
    assert_eq!((response.status, test_bed.hits()), (403, hits));
    test_bed.respond_with(Reply::json(json!({ "active": true })));
    assert_eq!(
        test_bed
            .get(&token(|claims| claims["jti"] = json!("plain")))
            .status,
        200
    );
    // The earlier of both expiry times holds.
    let expiring = token(|claims| claims["exp"] = json!(NOW + 20));
    test_bed.respond_with(Reply::json(json!({ "active": true, "exp": NOW + 500 })));
    assert_eq!(test_bed.get(&expiring).status, 200);
    test_bed.set_time(50);
    assert_eq!(
        test_bed.get(&expiring).status,
        401,
        "after exp and 30 s of leeway"
    );
    // Opaque tokens are introspected, too.
    test_bed.respond_with(Reply::json(test_bed.active("read")));
    assert_eq!(test_bed.get("opaque").status, 200);
}

impl TestBed {
    #[track_caller]
    fn assert_refused_without_introspection(&self, token: &str) {
        let (introspections, hits) = (self.introspections().len(), self.hits());
        let response = self.get(token);
        let found = (
            response.status,
            response.challenge(),
            self.introspections().len(),
            self.hits(),
        );
        assert_eq!(found, (401, INVALID, introspections, hits), "{token}");
    }
}

//! What the server is asked, and what becomes of what it says.

use serde_json::{Value, json};

use super::{INVALID, TestBed, form, inactive};
use harness::{Key, NOW, Reply, claims, eventually};

#[test]
fn r7_question_is_a_form_that_the_gateway_signs_with_its_name() {
    let test_bed = TestBed::start();
    let token = "a-._~+/0==";
    assert_eq!(test_bed.get(token).status, 200);
    let [question] = &test_bed.questions()[..] else {
        panic!("one question")
    };
    assert_eq!(
        (&*question.method, question.header("accept")),
        ("POST", vec!["application/json"])
    );
    assert_eq!(
        question.header("content-type"),
        ["application/x-www-form-urlencoded"]
    );
    // gateway:of+the+gateway
    assert_eq!(
        question.header("authorization"),
        ["Basic Z2F0ZXdheTpvZit0aGUrZ2F0ZXdheQ=="]
    );
    let told = [("token", token), ("token_type_hint", "access_token")];
    assert_eq!(
        form(question),
        told.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    let sent = test_bed.upstream.received();
    assert_eq!(sent[0].header("authorization"), [format!("Bearer {token}")]);
}

#[test]
fn active_token_passes_where_its_scope_suffices() {
    let test_bed = TestBed::start();
    assert_eq!(test_bed.get("good").status, 200);
    test_bed.answers(Reply::json(test_bed.active("write")));
    let answer = test_bed.get("narrow");
    let challenge = Some("Bearer error=\"insufficient_scope\", scope=\"read\"");
    assert_eq!((answer.status, answer.challenge()), (403, challenge));
    for scope in ["re*", "*"] {
        test_bed.answers(Reply::json(test_bed.active(scope)));
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
    test_bed.answers(inactive());
    test_bed.assert_refused("revoked", "active: false");
    test_bed.answers(Reply::json(
        json!({ "active": false, "scope": "read", "error": "odd" }),
    ));
    test_bed.assert_refused("revoked-too", "active: false with more");
}

#[test]
fn r11_what_an_answer_says_is_judged_as_claims_are() {
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
        let mut answer = test_bed.active("read");
        answer[name] = value.clone();
        test_bed.answers(Reply::json(&answer));
        test_bed.assert_refused(
            &format!("{name}{}", test_bed.questions().len()),
            &format!("{name} = {value}"),
        );
    }
}

#[test]
fn r43_answer_with_values_that_cannot_stand_there_is_the_servers_mistake() {
    let test_bed = TestBed::start();
    for (name, value) in [
        ("iss", json!(7)),
        ("exp", json!("1800000600")),
        ("exp", json!(-1)),
        ("nbf", json!([])),
        ("iat", json!({})),
    ] {
        let mut answer = test_bed.active("read");
        answer[name] = value.clone();
        test_bed.answers(Reply::json(&answer));
        test_bed.assert_unavailable(
            &format!("{name}{}", test_bed.questions().len()),
            &format!("{name} = {value}"),
        );
    }
}

#[test]
fn r19_token_ends_when_it_says_so_itself_whatever_the_server_says() {
    let brief = |test_bed: &TestBed| {
        let mut claims = claims(&test_bed.url, "read");
        claims["exp"] = json!(NOW + 10);
        test_bed.key.token(&claims)
    };
    for validation in ["introspection", "jwks+introspection"] {
        let test_bed = TestBed::with(
            &format!("validation = \"{validation}\"\nleeway = \"0s\""),
            "",
        );
        test_bed.answers(Reply::json(
            json!({ "active": true, "aud": "https://api.test", "scope": "read" }),
        ));
        let token = brief(&test_bed);
        eventually("it passes", || test_bed.get(&token).status == 200);
        test_bed.gateway.set_time(10);
        let answer = test_bed.get(&token);
        assert_eq!(
            (answer.status, answer.challenge()),
            (401, INVALID),
            "{validation}"
        );
    }
}

#[test]
fn jwt_is_asked_about_by_the_issuer_that_it_names() {
    let test_bed = TestBed::start();
    let token = test_bed
        .key
        .token(&claims(&test_bed.url, "nothing that counts"));
    assert_eq!(test_bed.get(&token).status, 200);
    assert_eq!(form(&test_bed.questions()[0])[0].1, token);
    // Another issuer's token is not shown to this one, nor what is no access token.
    test_bed.assert_not_asked(&test_bed.key.token(&claims("https://other.test", "read")));
    // What speaks against itself needs no server to be refused.
    for (name, value) in [
        ("typ", json!("refresh")),
        ("aud", json!("https://other.test")),
        ("exp", json!(NOW - 31)),
        ("cnf", json!({ "jkt": "x" })),
    ] {
        let mut claims = claims(&test_bed.url, "read");
        claims[name] = value;
        test_bed.assert_not_asked(&test_bed.key.token(&claims));
    }
    let header = json!({ "alg": "ES256", "typ": "token-introspection+jwt", "kid": "first" });
    test_bed.assert_not_asked(
        &test_bed
            .key
            .token_with(&header, &claims(&test_bed.url, "read")),
    );
    let header = json!({ "alg": "none" });
    test_bed.assert_not_asked(
        &test_bed
            .key
            .token_with(&header, &claims(&test_bed.url, "read")),
    );
}

#[test]
fn with_keys_and_introspection_a_jwt_must_pass_both() {
    let test_bed = TestBed::with("validation = \"jwks+introspection\"", "");
    test_bed.has_keys();
    let token = |change: fn(&mut Value)| {
        let mut claims = claims(&test_bed.url, "read");
        change(&mut claims);
        test_bed.key.token(&claims)
    };
    eventually("keys", || {
        test_bed
            .get(&token(|claims| claims["jti"] = json!("first")))
            .status
            == 200
    });
    let (asked, hits) = (test_bed.questions().len(), test_bed.hits());

    // What is forged or expired is not asked about.
    test_bed.assert_not_asked(&Key::es256("first").token(&claims(&test_bed.url, "read")));
    test_bed.assert_not_asked(&token(|claims| claims["exp"] = json!(NOW - 31)));
    assert_eq!(test_bed.questions().len(), asked);

    // What is revoked does not pass by its signature.
    test_bed.answers(inactive());
    let answer = test_bed.get(&token(|claims| claims["jti"] = json!("revoked")));
    assert_eq!(
        (answer.status, answer.challenge(), test_bed.hits()),
        (401, INVALID, hits)
    );

    // Nor while nobody can tell whether it is revoked.
    for reply in [
        Reply::status(500),
        Reply::RawThenClose(Vec::new()),
        Reply::json(json!({})),
    ] {
        test_bed.answers(reply.clone());
        test_bed.assert_unavailable(
            &token(|claims| claims["jti"] = json!("unclear")),
            "a signed token whose server fails",
        );
    }

    // The server has the last word on what it names, and the token says the rest.
    test_bed.answers(Reply::json(json!({ "active": true, "scope": "write" })));
    let answer = test_bed.get(&token(|claims| claims["jti"] = json!("narrowed")));
    assert_eq!((answer.status, test_bed.hits()), (403, hits));
    test_bed.answers(Reply::json(json!({ "active": true })));
    assert_eq!(
        test_bed
            .get(&token(|claims| claims["jti"] = json!("plain")))
            .status,
        200
    );
    // It ends when the first of the two does.
    let brief = token(|claims| claims["exp"] = json!(NOW + 20));
    test_bed.answers(Reply::json(json!({ "active": true, "exp": NOW + 500 })));
    assert_eq!(test_bed.get(&brief).status, 200);
    test_bed.set_time(50);
    assert_eq!(test_bed.get(&brief).status, 401, "exp and 30 s of leeway");
    // Opaque tokens are asked about, too.
    test_bed.answers(Reply::json(test_bed.active("read")));
    assert_eq!(test_bed.get("opaque").status, 200);
}

impl TestBed {
    #[track_caller]
    fn assert_not_asked(&self, token: &str) {
        let (questions, hits) = (self.questions().len(), self.hits());
        let answer = self.get(token);
        let found = (
            answer.status,
            answer.challenge(),
            self.questions().len(),
            self.hits(),
        );
        assert_eq!(found, (401, INVALID, questions, hits), "{token}");
    }
}

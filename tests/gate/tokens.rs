//! Invalid tokens (R15-R23, R43).

use serde_json::{Value, json};

use harness::{Key, NOW, TestBed};

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nupstream = \"up\"\n";
const INVALID: Option<&str> = Some("Bearer error=\"invalid_token\"");

fn assert_refused(test_bed: &TestBed, token: &str, what: &str) {
    let response = test_bed.get("/things", Some(token));
    assert_eq!(
        (response.status, response.challenge()),
        (401, INVALID),
        "{what}"
    );
}

#[test]
fn wrong_claims_are_an_invalid_token() {
    let test_bed = TestBed::routes(ROUTES);
    for (name, value) in [
        ("iss", json!("https://other.test")), // R16
        ("iss", json!(7)),
        ("aud", json!("https://other.test")), // R17
        ("aud", json!(["https://other.test"])),
        ("aud", json!(["https://api.test", 7])),
        ("aud", Value::Null),
        ("exp", json!(NOW - 31)), // R19
        ("exp", json!(-1)),
        ("exp", json!("never")),
        ("exp", json!(i64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!(NOW * 1000)),
        ("nbf", json!(NOW + 31)),
        ("iat", json!(NOW + 31)),
        ("cnf", json!({ "jkt": "x" })), // R43
        ("nonce", json!("n")),          // R15
        ("at_hash", json!("x")),
        ("token_use", json!("id")),
        ("typ", json!("refresh")),
        ("tokenName", json!("id_token")),
        ("purpose", json!("refresh_token")),
    ] {
        let mut claims = test_bed.issuer.claims("");
        claims[name] = value.clone();
        assert_refused(
            &test_bed,
            &test_bed.key.token(&claims),
            &format!("{name} = {value}"),
        );
    }
    for name in ["iss", "aud", "exp"] {
        let mut claims = test_bed.issuer.claims("");
        claims
            .as_object_mut()
            .expect("claims are an object")
            .remove(name);
        assert_refused(
            &test_bed,
            &test_bed.key.token(&claims),
            &format!("no {name}"),
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn wrong_headers_are_an_invalid_token() {
    let test_bed = TestBed::routes(ROUTES);
    let claims = test_bed.issuer.claims("");
    for header in [
        json!({ "alg": "none", "typ": "at+jwt", "kid": "first" }), // R20
        json!({ "alg": "NONE", "typ": "at+jwt", "kid": "first" }),
        json!({ "alg": "HS256", "typ": "at+jwt", "kid": "first" }),
        json!({ "alg": "RS256", "typ": "at+jwt", "kid": "first" }),
        json!({ "alg": "ES384", "typ": "at+jwt", "kid": "first" }),
        json!({ "alg": "ES256", "typ": "dpop+jwt", "kid": "first" }), // R15
        json!({ "alg": "ES256", "typ": "logout+jwt", "kid": "first" }),
        json!({ "alg": "ES256", "typ": "token-introspection+jwt", "kid": "first" }), // R14
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "first", "crit": ["exp"], "exp": 1 }), // R21
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "first", "b64": false }),
        json!({ "alg": "ES256", "typ": "at+jwt", "kid": "../../first" }),
    ] {
        assert_refused(
            &test_bed,
            &test_bed.key.token_with(&header, &claims),
            &header.to_string(),
        );
    }
    // R22
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "first" }).to_string();
    let doubled = claims
        .to_string()
        .replacen('{', &format!("{{\"exp\":{},", NOW + 600), 1);
    assert_refused(
        &test_bed,
        &test_bed.key.sign(&header, &doubled),
        "exp twice",
    );
    let doubled = header.replacen('{', "{\"alg\":\"ES256\",", 1);
    assert_refused(
        &test_bed,
        &test_bed.key.sign(&doubled, &claims.to_string()),
        "alg twice",
    );
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn token_above_max_token_size_is_a_431_without_a_challenge() {
    let test_bed = TestBed::toml("[server]\nmax_token_size = \"1KiB\"", "", "", ROUTES);
    let padded = |length: usize| {
        let mut claims = test_bed.issuer.claims("");
        claims["padding"] = json!("x".repeat(length));
        test_bed.key.token(&claims)
    };
    // Within the limit the token is verified; with a longer padding it is not.
    assert_eq!(test_bed.get("/things", Some(&padded(300))).status, 200);
    let opaque = "o".repeat(1025);
    for token in [padded(1024), opaque] {
        let response = test_bed.get("/things", Some(&token));
        assert_eq!((response.status, response.challenge()), (431, None));
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        let line = test_bed.requests.lines().pop().expect("a line");
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(431), &json!("too_long"))
        );
        let cause = format!(
            "expected a token of at most 1024 bytes (max_token_size), but found {} bytes",
            token.len()
        );
        assert_eq!(line["cause"], json!(cause));
        assert!(
            !test_bed.requests.text().contains(&token),
            "the token is in the log"
        );
    }
    assert_eq!(
        test_bed.get("/things", Some(&"o".repeat(1024))).status,
        401,
        "a token of the maximum size is verified"
    );
    assert_eq!(test_bed.hits(), 1);
}

#[test]
fn r18_r21_signature_of_another_key_is_an_invalid_token_even_with_jwk_or_jku() {
    let test_bed = TestBed::routes(ROUTES);
    let stranger = Key::es256("first");
    let claims = test_bed.issuer.claims("");
    assert_refused(
        &test_bed,
        &stranger.token(&claims),
        "another key with the same kid",
    );
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "first", "jwk": stranger.jwk() });
    assert_refused(
        &test_bed,
        &stranger.token_with(&header, &claims),
        "a key in the header",
    );
    let url = format!("http://{}/jwks", test_bed.upstream.address);
    let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "first", "jku": url, "x5u": url });
    assert_refused(
        &test_bed,
        &stranger.token_with(&header, &claims),
        "a key at a URL",
    );

    let valid = test_bed.token("");
    let (signed, signature) = valid.rsplit_once('.').expect("a JWT");
    assert_refused(&test_bed, &format!("{signed}."), "no signature");
    assert_refused(&test_bed, signed, "two parts");
    assert_refused(&test_bed, &format!("{valid}.x"), "four parts");
    assert_refused(
        &test_bed,
        &format!("{signed}.{}", signature.to_lowercase()),
        "another signature",
    );
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(test_bed.get("/things", Some(&valid)).status, 200);
}

#[test]
fn cached_token_expires_after_exp_and_leeway() {
    let test_bed = TestBed::routes(ROUTES);
    let token = test_bed.token("");
    for (seconds, status) in [
        (0, 200),
        (600, 200),
        (629, 200),
        (630, 401),
        (700, 401),
        (629, 200),
    ] {
        test_bed.set_time(seconds);
        assert_eq!(
            test_bed.get("/things", Some(&token)).status,
            status,
            "{seconds} s later"
        );
    }
}

#[test]
fn unbounded_expiry_cnf_and_missing_audience_are_accepted_where_configured() {
    let lenient =
        "accept_unbounded_expiry = true\ninsecure_ignore_cnf = true\naudience_required = false\n";
    let test_bed = TestBed::toml("", lenient, "", ROUTES);
    let mut claims = test_bed.issuer.claims("");
    claims["exp"] = json!(i64::MAX);
    claims["cnf"] = json!({ "jkt": "x" });
    claims
        .as_object_mut()
        .expect("claims are an object")
        .remove("aud");
    assert_eq!(
        test_bed
            .get("/things", Some(&test_bed.key.token(&claims)))
            .status,
        200
    );
    claims["aud"] = json!("somebody else");
    assert_refused(&test_bed, &test_bed.key.token(&claims), "a wrong audience");
}

#[test]
fn token_types_restricts_the_typ_header() {
    let test_bed = TestBed::toml("", "token_types = [\"at+jwt\"]", "", ROUTES);
    let claims = test_bed.issuer.claims("");
    for (header, status) in [
        (
            json!({ "alg": "ES256", "typ": "at+jwt", "kid": "first" }),
            200,
        ),
        (
            json!({ "alg": "ES256", "typ": "application/AT+JWT", "kid": "first" }),
            200,
        ),
        (json!({ "alg": "ES256", "typ": "JWT", "kid": "first" }), 401),
        (json!({ "alg": "ES256", "kid": "first" }), 401),
    ] {
        assert_eq!(
            test_bed
                .get("/things", Some(&test_bed.key.token_with(&header, &claims)))
                .status,
            status,
            "{header}"
        );
    }
}

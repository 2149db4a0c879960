//! Signed introspection responses: RFC 9701, and the phantom tokens of Curity.

use serde_json::{Value, json};

use super::{INVALID, TestBed};
use harness::{Key, NOW, Reply, claims, eventually};

const SIGNED: &str = "application/token-introspection+jwt";

fn signed(content_type: &str, cache_control: Option<&str>, body: &str) -> Reply {
    let mut headers = vec![("content-type", content_type)];
    headers.extend(cache_control.map(|value| ("cache-control", value)));
    Reply::new(200, &headers, body)
}

/// A test bed whose gateway has fetched the JWKS.
fn ready(
    issuer_keys: &str,
    introspection_keys: &str,
    reply: impl Fn(&TestBed) -> Reply,
) -> TestBed {
    let test_bed = TestBed::with(issuer_keys, introspection_keys);
    test_bed.respond_with(reply(&test_bed));
    eventually("the JWKS is fetched", || {
        test_bed.get("first").status == 200
    });
    test_bed
}

fn signed_response(test_bed: &TestBed, header: &Value, change: impl FnOnce(&mut Value)) -> String {
    let mut response = json!({
        "iss": test_bed.url, "aud": "gateway", "iat": NOW, "token_introspection": test_bed.active("read"),
    });
    change(&mut response);
    test_bed.key.token_with(header, &response)
}

fn header() -> Value {
    json!({ "typ": "token-introspection+jwt", "alg": "ES256", "kid": "first" })
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r12_signed_response_counts_only_from_the_issuer_and_for_this_gateway() {
    let valid = |test_bed: &TestBed| {
        signed(
            &format!("{SIGNED}; charset=utf-8"),
            None,
            &signed_response(test_bed, &header(), |_| ()),
        )
    };
    let test_bed = ready("", "accept = \"jwt\"", valid);
    assert_eq!(test_bed.introspections()[0].header("accept"), [SIGNED]);
    let hits = test_bed.hits();

    let response = |change: fn(&mut Value)| {
        signed(SIGNED, None, &signed_response(&test_bed, &header(), change))
    };
    test_bed.respond_with(response(|response| {
        response["token_introspection"] = json!({ "active": false })
    }));
    let refused = test_bed.get("inactive");
    assert_eq!((refused.status, refused.challenge()), (401, INVALID));
    test_bed.respond_with(response(|response| {
        response["token_introspection"]["aud"] = json!("https://other.test")
    }));
    let refused = test_bed.get("for-another-api");
    assert_eq!((refused.status, refused.challenge()), (401, INVALID));

    let wrong_type = json!({ "typ": "at+jwt", "alg": "ES256", "kid": "first" });
    let no_type = json!({ "alg": "ES256", "kid": "first" });
    let unsigned = json!({ "typ": "token-introspection+jwt", "alg": "none" });
    let forged = Key::es256("first").token_with(
        &header(),
        &json!({
            "iss": test_bed.url, "aud": "gateway", "token_introspection": test_bed.active("read"),
        }),
    );
    for (what, reply) in [
        (
            "from another issuer",
            response(|response| response["iss"] = json!("https://other.test")),
        ),
        (
            "for another resource server",
            response(|response| response["aud"] = json!("another-gateway")),
        ),
        (
            "without an audience",
            response(|response| response["aud"] = Value::Null),
        ),
        (
            "active \"true\"",
            response(|response| response["token_introspection"]["active"] = json!("true")),
        ),
        (
            "not nested",
            response(|response| {
                *response = json!({ "iss": response["iss"], "aud": "gateway", "active": true })
            }),
        ),
        (
            "another typ",
            signed(
                SIGNED,
                None,
                &signed_response(&test_bed, &wrong_type, |_| ()),
            ),
        ),
        (
            "no typ",
            signed(SIGNED, None, &signed_response(&test_bed, &no_type, |_| ())),
        ),
        (
            "unsigned",
            signed(SIGNED, None, &signed_response(&test_bed, &unsigned, |_| ())),
        ),
        ("forged", signed(SIGNED, None, &forged)),
        ("JSON", Reply::json(test_bed.active("read"))),
        (
            "JSON labelled signed",
            signed(SIGNED, None, &test_bed.active("read").to_string()),
        ),
        (
            "a JWT labelled JSON",
            signed(
                "application/json",
                None,
                &signed_response(&test_bed, &header(), |_| ()),
            ),
        ),
        (
            "a phantom token",
            signed(
                "application/jwt",
                None,
                &test_bed.key.token(&claims(&test_bed.url, "read")),
            ),
        ),
        ("empty body", signed(SIGNED, None, "")),
        ("204", Reply::status(204)),
    ] {
        test_bed.respond_with(reply);
        test_bed.assert_unavailable(&what.replace([' ', '"'], "-"), what);
    }
    assert_eq!(test_bed.hits(), hits);
}

#[test]
fn r14_signed_response_is_no_access_token() {
    let test_bed = ready(
        "validation = \"jwks+introspection\"",
        "accept = \"jwt\"",
        |test_bed| signed(SIGNED, None, &signed_response(test_bed, &header(), |_| ())),
    );
    let hits = test_bed.hits();
    for header in [
        header(),
        json!({ "typ": "at+jwt", "alg": "ES256", "kid": "first" }),
    ] {
        let response = signed_response(&test_bed, &header, |response| {
            response["aud"] = json!("https://api.test");
            response["exp"] = json!(NOW + 600);
            response["scope"] = json!("read");
        });
        let refused = test_bed.get(&response);
        assert_eq!(
            (refused.status, refused.challenge(), test_bed.hits()),
            (401, INVALID, hits)
        );
    }
}

#[test]
fn r13_phantom_token_replaces_the_opaque_one_towards_the_upstream() {
    let phantom = |test_bed: &TestBed| test_bed.key.token(&claims(&test_bed.url, "read"));
    let keys = "accept = \"phantom\"\nrefresh_ahead = false";
    let test_bed = ready("", keys, |test_bed| {
        signed("application/jwt", None, &phantom(test_bed))
    });
    assert_eq!(
        test_bed.introspections()[0].header("accept"),
        ["application/jwt"]
    );
    let jwt = phantom(&test_bed);
    test_bed.respond_with(signed(
        "application/jwt;charset=UTF-8",
        Some("max-age=10"),
        &format!("{jwt}\n"),
    ));
    let before = test_bed.introspections().len();
    for (seconds, introspections) in [(0, 1), (9, 1), (10, 2)] {
        test_bed.gateway.set_time(seconds);
        let response = test_bed.get("opaque");
        assert_eq!(
            (response.status, test_bed.introspections().len()),
            (200, before + introspections),
            "at {seconds}"
        );
        let sent = test_bed.upstream.received().pop().expect("a request");
        assert_eq!(sent.header("authorization"), [format!("Bearer {jwt}")]);
    }
    test_bed.respond_with(signed("application/jwt", Some("no-store"), &jwt));
    let before = test_bed.introspections().len();
    for introspections in 1..=2 {
        assert_eq!(
            (
                test_bed.get("uncached").status,
                test_bed.introspections().len()
            ),
            (200, before + introspections)
        );
    }
    // `max-age` does not extend cache_ttl.
    test_bed.respond_with(signed("application/jwt", Some("max-age=3600"), &jwt));
    let (before, start) = (test_bed.introspections().len(), 20);
    for (seconds, introspections) in [(0, 1), (59, 1), (60, 2)] {
        test_bed.gateway.set_time(start + seconds);
        assert_eq!(
            (test_bed.get("long").status, test_bed.introspections().len()),
            (200, before + introspections),
            "at {seconds}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn r13_phantom_token_is_verified_like_any_jwt_and_204_is_inactive() {
    let test_bed = ready("", "accept = \"phantom\"", |test_bed| {
        signed(
            "application/jwt",
            None,
            &test_bed.key.token(&claims(&test_bed.url, "read")),
        )
    });
    let hits = test_bed.hits();
    let mut number = 0;
    let mut ask = |reply: Reply| {
        test_bed.respond_with(reply);
        number += 1;
        let response = test_bed.get(&format!("opaque-{number}"));
        (response.status, response.challenge().map(str::to_owned))
    };
    let invalid = (401, INVALID.map(str::to_owned));
    assert_eq!(ask(Reply::status(204)), invalid);
    for (name, value) in [
        ("aud", json!("https://other.test")),
        ("exp", json!(NOW - 31)),
        ("iss", json!("https://other.test")),
        ("cnf", json!({ "jkt": "x" })),
        ("purpose", json!("id_token")),
    ] {
        let mut claims = claims(&test_bed.url, "read");
        claims[name] = value;
        assert_eq!(
            ask(signed(
                "application/jwt",
                None,
                &test_bed.key.token(&claims)
            )),
            invalid,
            "{name}"
        );
    }
    let claims = claims(&test_bed.url, "read");
    let narrow = harness::claims(&test_bed.url, "write");
    assert_eq!(
        ask(signed(
            "application/jwt",
            None,
            &test_bed.key.token(&narrow)
        ))
        .0,
        403
    );
    let jwt = test_bed.key.token(&claims);
    for (what, reply) in [
        (
            "forged",
            signed("application/jwt", None, &Key::es256("first").token(&claims)),
        ),
        (
            "unknown key",
            signed("application/jwt", None, &Key::es256("other").token(&claims)),
        ),
        ("unsigned", {
            signed(
                "application/jwt",
                None,
                &test_bed.key.token_with(&json!({ "alg": "none" }), &claims),
            )
        }),
        ("another typ", {
            let header = json!({ "typ": "logout+jwt", "alg": "ES256", "kid": "first" });
            signed(
                "application/jwt",
                None,
                &test_bed.key.token_with(&header, &claims),
            )
        }),
        ("labelled JSON", signed("application/json", None, &jwt)),
        ("without a type", Reply::text(&jwt)),
        ("JSON", Reply::json(test_bed.active("read"))),
        (
            "JSON labelled JWT",
            signed(
                "application/jwt",
                None,
                &test_bed.active("read").to_string(),
            ),
        ),
        (
            "an opaque token",
            signed(
                "application/jwt",
                None,
                "0470b16b-7bf8-4fa3-9ae1-6a10e0f0b699",
            ),
        ),
        ("empty body", signed("application/jwt", None, "")),
        ("404", Reply::status(404)),
        ("500", Reply::status(500)),
    ] {
        assert_eq!(ask(reply), (503, None), "{what}");
    }
    assert_eq!(test_bed.hits(), hits);
}

#[test]
fn r26_phantom_token_is_refused_once_its_signing_key_is_gone() {
    let test_bed = ready(
        "unknown_key_cooldown = \"1s\"",
        "accept = \"phantom\"\ncache_ttl = \"1h\"",
        |test_bed| {
            signed(
                "application/jwt",
                None,
                &test_bed.key.token(&claims(&test_bed.url, "read")),
            )
        },
    );
    assert_eq!(test_bed.get("known").status, 200);
    let next = Key::es256("second");
    let (url, jwk) = (test_bed.url.clone(), next.jwk());
    let (phantom, endpoint) = (
        next.token(&claims(&test_bed.url, "read")),
        format!("{url}/introspect"),
    );
    let valid = phantom.clone();
    test_bed.server.script(move |request| match request.target.as_str() {
        "/jwks" => Reply::json(json!({ "keys": [jwk] })),
        "/introspect" => signed("application/jwt", None, &valid),
        _ => {
            Reply::json(json!({ "issuer": url, "introspection_endpoint": endpoint, "jwks_uri": format!("{url}/jwks") }))
        }
    });
    // Another token starts a fetch of the new JWKS. With the old key, the entries that it signed end.
    eventually("the new JWKS is fetched", || {
        test_bed.get("fresh").status == 200
    });
    let before = test_bed.introspections().len();
    assert_eq!(
        (
            test_bed.get("known").status,
            test_bed.introspections().len()
        ),
        (200, before + 1)
    );
    let sent = test_bed.upstream.received().pop().expect("a request");
    assert_eq!(sent.header("authorization"), [format!("Bearer {phantom}")]);
}

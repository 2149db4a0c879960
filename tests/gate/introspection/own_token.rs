//! Introspection requests that the gateway authenticates with an access token of its own
//! (`authentication = "bearer"`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Latch, TestBed, form, inactive};
use harness::{Key, Reply, claims, eventually, logged};

const BEARER: &str =
    "authentication = \"bearer\"\nclient_id = \"gateway\"\nclient_secret = \"secret-of-ours\"";

/// A token endpoint that issues `own-1`, `own-2`, …, and an introspection endpoint that checks
/// them.
struct OwnTokens {
    issued: Arc<AtomicUsize>,
    accepted: Arc<Mutex<Vec<usize>>>,
}

impl OwnTokens {
    /// Tokens last for `lifetime` seconds; the status `refusal` rejects a token that is not accepted.
    fn script(test_bed: &TestBed, lifetime: Value, refusal: u16) -> Self {
        let own_tokens = Self {
            issued: Arc::default(),
            accepted: Arc::new(Mutex::new((1..100).collect())),
        };
        let (issued, accepted) = (
            Arc::clone(&own_tokens.issued),
            Arc::clone(&own_tokens.accepted),
        );
        let active = test_bed.active("read");
        test_bed.script(move |request| {
            if request.target == "/token" {
                let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
                return Reply::json(json!({
                    "access_token": format!("own-{number}"), "token_type": "bearer", "expires_in": lifetime,
                }));
            }
            let token = request.header("authorization").first().and_then(|value| value.strip_prefix("Bearer own-"));
            let number = token.and_then(|number| number.parse().ok()).unwrap_or(0);
            if accepted.lock().expect("no panic").contains(&number) {
                Reply::json(&active)
            } else {
                Reply::status(refusal)
            }
        });
        own_tokens
    }

    fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }

    /// Accepts only these tokens from now on.
    fn accept(&self, numbers: impl IntoIterator<Item = usize>) {
        *self.accepted.lock().expect("no panic") = numbers.into_iter().collect();
    }
}

#[test]
fn own_token_is_fetched_once_and_sent_with_each_introspection_request() {
    let test_bed = TestBed::with("", BEARER);
    let own_tokens = OwnTokens::script(&test_bed, json!(3600), 401);
    for number in 0..5 {
        assert_eq!(test_bed.get(&format!("token-{number}")).status, 200);
    }
    assert_eq!(
        (own_tokens.issued(), test_bed.introspections().len()),
        (1, 5)
    );
    let [request] = &test_bed.received_at("/token")[..] else {
        panic!("expected one token request")
    };
    // gateway:secret-of-ours
    assert_eq!(
        request.header("authorization"),
        ["Basic Z2F0ZXdheTpzZWNyZXQtb2Ytb3Vycw=="]
    );
    let expected = [
        ("grant_type", "client_credentials"),
        ("scope", "authorization.introspect"),
    ];
    assert_eq!(
        form(request),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(
        test_bed.introspections()[4].header("authorization"),
        ["Bearer own-1"]
    );
    for secret in ["secret-of-ours", "Z2F0ZXdheTpzZWNyZXQtb2Ytb3Vycw", "own-1"] {
        assert!(!logged(secret), "{secret} is in the log");
    }
}

#[test]
fn refused_own_token_is_replaced_once() {
    for refusal in [401, 403] {
        let test_bed = TestBed::with("", BEARER);
        let own_tokens = OwnTokens::script(&test_bed, json!(3600), refusal);
        assert_eq!(test_bed.get("first").status, 200);
        own_tokens.accept([2]);
        assert_eq!(test_bed.get("second").status, 200, "{refusal}");
        assert_eq!(
            (own_tokens.issued(), test_bed.introspections().len()),
            (2, 3)
        );
        // If a fresh token is refused as well, the token is not the cause: the gateway fetches no
        // third one, neither for this introspection request nor for the next.
        own_tokens.accept([]);
        for (number, token) in ["third", "fourth"].iter().enumerate() {
            test_bed.assert_unavailable(token, "the gateway's credentials are refused");
            assert_eq!(
                (own_tokens.issued(), test_bed.introspections().len()),
                (2, 4 + number)
            );
        }
    }
}

#[test]
fn concurrent_refusals_of_an_own_token_start_one_replacement() {
    let test_bed = TestBed::with("", &format!("{BEARER}\nmax_in_flight = 64"));
    let own_tokens = OwnTokens::script(&test_bed, json!(3600), 401);
    assert_eq!(test_bed.get("first").status, 200);
    own_tokens.accept([2]);
    thread::scope(|scope| {
        for number in 0..12 {
            let test_bed = &test_bed;
            scope.spawn(move || assert_eq!(test_bed.get(&format!("token-{number}")).status, 200));
        }
    });
    assert_eq!(own_tokens.issued(), 2);
}

#[test]
fn own_token_is_renewed_thirty_seconds_before_it_expires() {
    // Lifetimes count in real time: a token of 31 s is renewed after one second.
    let test_bed = TestBed::with("", BEARER);
    let own_tokens = OwnTokens::script(&test_bed, json!(31), 401);
    assert_eq!(
        (test_bed.get("first").status, own_tokens.issued()),
        (200, 1)
    );
    let mut number = 0;
    eventually("the token is renewed", || {
        number += 1;
        assert_eq!(test_bed.get(&format!("token-{number}")).status, 200);
        own_tokens.issued() == 2
    });
    // While the token endpoint fails, the old token is used until it expires.
    let test_bed = TestBed::with("", BEARER);
    let own_tokens = OwnTokens::script(&test_bed, json!(31), 401);
    assert_eq!(test_bed.get("first").status, 200);
    let active = test_bed.active("read");
    test_bed.script(move |request| {
        if request.target == "/token" {
            Reply::status(500)
        } else {
            Reply::json(&active)
        }
    });
    let began = Instant::now();
    let mut number = 0;
    let mut assert_old_token_is_used = || {
        number += 1;
        assert_eq!(test_bed.get(&format!("second-{number}")).status, 200);
        assert_eq!(
            test_bed.introspections()[number].header("authorization"),
            ["Bearer own-1"]
        );
    };
    eventually("a renewal is attempted", || {
        assert_old_token_is_used();
        test_bed.received_at("/token").len() > 1
    });
    (0..5).for_each(|_| assert_old_token_is_used());
    // A new token is requested at most once a second.
    let failed = test_bed.received_at("/token").len() - 1;
    assert!(
        (1..=5).contains(&failed) && began.elapsed() >= Duration::from_secs(failed as u64 - 1),
        "{failed}"
    );
    assert_eq!(own_tokens.issued(), 1);
}

#[test]
fn r9_failure_to_get_an_own_token_is_a_503() {
    for (what, reply) in [
        ("401", Reply::status(401)),
        (
            "400",
            Reply::new(
                400,
                &[("content-type", "application/json")],
                r#"{"error":"invalid_scope"}"#,
            ),
        ),
        ("500", Reply::status(500)),
        ("closed", Reply::RawThenClose(Vec::new())),
        ("not JSON", Reply::text("own-1")),
        (
            "no token",
            Reply::json(json!({ "token_type": "Bearer", "expires_in": 60 })),
        ),
        (
            "not a bearer token",
            Reply::json(json!({ "access_token": "own-1", "token_type": "DPoP" })),
        ),
        ("no type", Reply::json(json!({ "access_token": "own-1" }))),
        (
            "not a token",
            Reply::json(json!({ "access_token": "own 1\r\nX: y", "token_type": "Bearer" })),
        ),
    ] {
        let test_bed = TestBed::with("", BEARER);
        test_bed.script(move |request| {
            if request.target == "/token" {
                reply.clone()
            } else {
                inactive()
            }
        });
        test_bed.assert_unavailable("token", what);
        assert_eq!(
            test_bed.introspections().len(),
            0,
            "{what}: no introspection request without an own token"
        );
    }
    assert!(
        logged("invalid_scope"),
        "the log names the error of the token endpoint"
    );
}

#[test]
fn concurrent_requests_share_one_fetch_of_the_own_token() {
    let test_bed = TestBed::with("", &format!("{BEARER}\nmax_in_flight = 64"));
    let (latch, active) = (Latch::closed(), test_bed.active("read"));
    let wait = latch.wait();
    test_bed.script(move |request| {
        if request.target == "/token" {
            wait();
            return Reply::json(
                json!({ "access_token": "own", "token_type": "Bearer", "expires_in": 3600 }),
            );
        }
        Reply::json(&active)
    });
    thread::scope(|scope| {
        for number in 0..12 {
            let test_bed = &test_bed;
            scope.spawn(move || assert_eq!(test_bed.get(&format!("token-{number}")).status, 200));
        }
        eventually("the token is requested", || {
            test_bed.received_at("/token").len() == 1
        });
        latch.open();
    });
    assert_eq!(test_bed.received_at("/token").len(), 1);
}

#[test]
fn jwt_of_mobile_first_is_introspected_with_an_own_token() {
    let test_bed = TestBed::with(
        "expiry_unit = \"milliseconds\"",
        &format!("{BEARER}\nconflict = true"),
    );
    let mut active = test_bed.active("read");
    for name in ["exp", "iat"] {
        active[name] = json!(active[name].as_i64().map(|seconds| seconds * 1000));
    }
    test_bed.script(move |request| {
        if request.target == "/token" {
            return Reply::json(
                json!({ "access_token": "own", "token_type": "Bearer", "expires_in": 3599 }),
            );
        }
        Reply::json(&active)
    });
    let header = json!({ "alg": "RS256", "jwk": { "kty": "RSA", "kid": "test", "n": "AM0Dd7x", "e": "AQAB" } });
    let mut claims = claims(&test_bed.url, "");
    for name in ["exp", "iat"] {
        claims[name] = json!(claims[name].as_i64().map(|seconds| seconds * 1000));
    }
    let token = Key::es256("x").token_with(&header, &claims);
    assert_eq!(test_bed.get(&token).status, 200);
    test_bed.gateway.set_time(631);
    assert_eq!(
        test_bed.get(&token).status,
        401,
        "after exp and 30 s of leeway"
    );
}

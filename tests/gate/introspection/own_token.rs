//! Introspection requests authenticated with an access token of the gateway (`authentication = "bearer"`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Gate, TestBed, form, inactive};
use harness::{Key, Reply, claims, eventually, logged};

const BEARER: &str =
    "authentication = \"bearer\"\nclient_id = \"gateway\"\nclient_secret = \"secret-of-ours\"";

/// What a token endpoint and an introspection endpoint do that know of tokens `own-1`, `own-2`, …
struct Bearer {
    issued: Arc<AtomicUsize>,
    accepted: Arc<Mutex<Vec<usize>>>,
}

impl Bearer {
    /// Tokens last for `lifetime` seconds; what is not accepted is refused with `refusal`.
    fn script(test_bed: &TestBed, lifetime: Value, refusal: u16) -> Self {
        let bearer = Self {
            issued: Arc::default(),
            accepted: Arc::new(Mutex::new((1..100).collect())),
        };
        let (issued, accepted) = (Arc::clone(&bearer.issued), Arc::clone(&bearer.accepted));
        let active = test_bed.active("read");
        test_bed.script(move |request| {
            if request.target == "/token" {
                let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
                return Reply::json(json!({
                    "access_token": format!("own-{number}"), "token_type": "bearer", "expires_in": lifetime,
                }));
            }
            let shown = request.header("authorization").first().and_then(|value| value.strip_prefix("Bearer own-"));
            let number = shown.and_then(|number| number.parse().ok()).unwrap_or(0);
            if accepted.lock().expect("no panic").contains(&number) {
                Reply::json(&active)
            } else {
                Reply::status(refusal)
            }
        });
        bearer
    }

    fn issued(&self) -> usize {
        self.issued.load(Ordering::SeqCst)
    }

    /// Only these are good from now on.
    fn accept(&self, numbers: impl IntoIterator<Item = usize>) {
        *self.accepted.lock().expect("no panic") = numbers.into_iter().collect();
    }
}

#[test]
fn own_token_is_fetched_once_and_shown() {
    let test_bed = TestBed::with("", BEARER);
    let bearer = Bearer::script(&test_bed, json!(3600), 401);
    for number in 0..5 {
        assert_eq!(test_bed.get(&format!("token-{number}")).status, 200);
    }
    assert_eq!((bearer.issued(), test_bed.questions().len()), (1, 5));
    let [request] = &test_bed.came_to("/token")[..] else {
        panic!("one token request")
    };
    // gateway:secret-of-ours
    assert_eq!(
        request.header("authorization"),
        ["Basic Z2F0ZXdheTpzZWNyZXQtb2Ytb3Vycw=="]
    );
    let told = [
        ("grant_type", "client_credentials"),
        ("scope", "authorization.introspect"),
    ];
    assert_eq!(
        form(request),
        told.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(
        test_bed.questions()[4].header("authorization"),
        ["Bearer own-1"]
    );
    for secret in ["secret-of-ours", "Z2F0ZXdheTpzZWNyZXQtb2Ytb3Vycw", "own-1"] {
        assert!(!logged(secret), "{secret} is in the log");
    }
}

#[test]
fn own_token_that_is_refused_is_replaced_once() {
    for refusal in [401, 403] {
        let test_bed = TestBed::with("", BEARER);
        let bearer = Bearer::script(&test_bed, json!(3600), refusal);
        assert_eq!(test_bed.get("first").status, 200);
        bearer.accept([2]);
        assert_eq!(test_bed.get("second").status, 200, "{refusal}");
        assert_eq!((bearer.issued(), test_bed.questions().len()), (2, 3));
        // Where a fresh one is refused as well, it is not the token: no loop, and none for the next question either.
        bearer.accept([]);
        for (number, token) in ["third", "fourth"].iter().enumerate() {
            test_bed.assert_unavailable(token, "our credentials are bad");
            assert_eq!(
                (bearer.issued(), test_bed.questions().len()),
                (2, 4 + number)
            );
        }
    }
}

#[test]
fn own_token_that_is_refused_to_many_at_once_is_replaced_once() {
    let test_bed = TestBed::with("", &format!("{BEARER}\nmax_in_flight = 64"));
    let bearer = Bearer::script(&test_bed, json!(3600), 401);
    assert_eq!(test_bed.get("first").status, 200);
    bearer.accept([2]);
    thread::scope(|scope| {
        for number in 0..12 {
            let test_bed = &test_bed;
            scope.spawn(move || assert_eq!(test_bed.get(&format!("token-{number}")).status, 200));
        }
    });
    assert_eq!(bearer.issued(), 2);
}

#[test]
fn own_token_is_renewed_thirty_seconds_before_its_end() {
    // The lifetimes are in real time; one of 31 s is renewed after one second, one of 10 s after half of it.
    let test_bed = TestBed::with("", BEARER);
    let bearer = Bearer::script(&test_bed, json!(31), 401);
    assert_eq!((test_bed.get("first").status, bearer.issued()), (200, 1));
    let mut number = 0;
    eventually("it is renewed", || {
        number += 1;
        assert_eq!(test_bed.get(&format!("token-{number}")).status, 200);
        bearer.issued() == 2
    });
    // Where no new one is to be had, the old one serves to its end.
    let test_bed = TestBed::with("", BEARER);
    let bearer = Bearer::script(&test_bed, json!(31), 401);
    assert_eq!(test_bed.get("first").status, 200);
    let active = test_bed.active("read");
    test_bed.script(move |request| {
        if request.target == "/token" {
            Reply::status(500)
        } else {
            Reply::json(&active)
        }
    });
    thread::sleep(Duration::from_millis(1200));
    let began = Instant::now();
    for number in 1..=5 {
        assert_eq!(test_bed.get(&format!("second-{number}")).status, 200);
        assert_eq!(
            test_bed.questions()[number].header("authorization"),
            ["Bearer own-1"]
        );
    }
    // And one is asked for no more than once a second.
    let failed = test_bed.came_to("/token").len() - 1;
    assert!(
        (1..=5).contains(&failed) && began.elapsed() >= Duration::from_secs(failed as u64 - 1),
        "{failed}"
    );
    assert_eq!(bearer.issued(), 1);
}

#[test]
fn r9_failure_to_get_a_token_of_our_own_is_no_fault_of_the_client() {
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
        ("hung up", Reply::RawThenClose(Vec::new())),
        ("no JSON", Reply::text("own-1")),
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
            test_bed.questions().len(),
            0,
            "{what}: nobody is asked without a token"
        );
    }
    assert!(
        logged("invalid_scope"),
        "the operator learns what the server said"
    );
}

#[test]
fn one_fetch_of_our_own_token_serves_all_who_wait() {
    let test_bed = TestBed::with("", &format!("{BEARER}\nmax_in_flight = 64"));
    let (gate, active) = (Gate::closed(), test_bed.active("read"));
    let opened = gate.wait();
    test_bed.script(move |request| {
        if request.target == "/token" {
            opened();
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
        eventually("it is fetched", || test_bed.came_to("/token").len() == 1);
        gate.open();
    });
    assert_eq!(test_bed.came_to("/token").len(), 1);
}

#[test]
fn jwt_of_mobile_first_is_asked_about_with_a_token_of_our_own() {
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
    assert_eq!(test_bed.get(&token).status, 401, "exp and 30 s of leeway");
}

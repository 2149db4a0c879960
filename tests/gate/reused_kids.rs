//! A new key under the name of an old one, and forged tokens that name a known key (R27).

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use harness::{Key, Reply, TestBed, eventually};

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nupstream = \"up\"\n";

fn status(test_bed: &TestBed, token: &str) -> u16 {
    test_bed.get("/things", Some(token)).status
}

/// A token of a key that is not the issuer's, but has the name of its key.
fn forged(test_bed: &TestBed) -> String {
    Key::es256("first").token(&test_bed.issuer.claims(""))
}

#[test]
fn new_key_under_a_known_kid_starts_a_fetch_and_the_request_waits_for_it() {
    let test_bed = TestBed::routes(ROUTES);
    let old = test_bed.token("");
    assert_eq!(status(&test_bed, &old), 200);
    let next = Key::es256("first");
    test_bed.issuer.publish(&[&next]);
    let token = next.token(&test_bed.issuer.claims(""));
    assert_eq!(status(&test_bed, &token), 200);
    assert_eq!(test_bed.issuer.fetches(), 2);
    assert_eq!(status(&test_bed, &old), 401, "its key was withdrawn");
    assert_eq!(status(&test_bed, &token), 200);
    assert_eq!(test_bed.issuer.fetches(), 2, "within the cooldown");
}

#[test]
fn forged_tokens_with_a_known_kid_start_one_fetch_per_cooldown() {
    let test_bed = TestBed::routes(ROUTES);
    thread::scope(|scope| {
        for client in 0..8 {
            let test_bed = &test_bed;
            scope.spawn(move || {
                let stranger = Key::es256("first");
                for number in 0..25 {
                    let mut claims = test_bed.issuer.claims("");
                    claims["jti"] = json!(format!("{client}-{number}"));
                    let response = test_bed.get("/things", Some(&stranger.token(&claims)));
                    let challenge = Some("Bearer error=\"invalid_token\"");
                    assert_eq!((response.status, response.challenge()), (401, challenge));
                }
            });
        }
        for number in 0..20 {
            let mut claims = test_bed.issuer.claims("");
            claims["jti"] = json!(number.to_string());
            assert_eq!(status(&test_bed, &test_bed.key.token(&claims)), 200);
        }
    });
    assert_eq!(
        test_bed.issuer.fetches(),
        2,
        "one fetch at the start and one for all forged tokens"
    );
    assert_eq!(test_bed.hits(), 20);
}

#[test]
fn forged_token_with_a_known_kid_is_a_401_while_the_issuer_is_down() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.issuer.fail(Reply::status(500));
    for _ in 0..2 {
        assert_eq!(status(&test_bed, &forged(&test_bed)), 401);
        assert_eq!(status(&test_bed, &test_bed.token("")), 200);
    }
}

#[test]
fn good_tokens_do_not_wait_for_the_fetch_that_a_forged_token_started() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.issuer.fail(Reply::RawThenHang(Vec::new()));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| status(&test_bed, &forged(&test_bed)));
        eventually("the JWKS is requested", || test_bed.issuer.fetches() == 2);
        let began = Instant::now();
        for number in 0..20 {
            let mut claims = test_bed.issuer.claims("");
            claims["jti"] = json!(number.to_string());
            assert_eq!(status(&test_bed, &test_bed.key.token(&claims)), 200);
        }
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "good tokens waited {:?}",
            began.elapsed()
        );
        assert_eq!(waiting.join().expect("no panic"), 401);
    });
}

//! Concurrent requests, key rotation and floods.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use harness::{Connection, Key, TestBed, eventually};

const ROUTES: &str = "[[routes]]\npath = \"/things\"\nscope = \"read\"\nupstream = \"up\"\n";

fn request(token: &str) -> String {
    format!("GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

#[test]
fn key_rotation_under_load_causes_no_wrong_response() {
    let test_bed = TestBed::toml("", "unknown_key_cooldown = \"1s\"", "", ROUTES);
    let (rotated, stop) = (
        std::sync::Mutex::new(test_bed.key.token(&test_bed.issuer.claims("read"))),
        AtomicBool::new(false),
    );
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let forged = Key::es256("first").token(&test_bed.issuer.claims("read"));
                let mut connection = Connection::open(test_bed.address);
                while !stop.load(Ordering::SeqCst) {
                    let token = rotated.lock().expect("no panic").clone();
                    assert_eq!(connection.ask(request(&token)).status, 200);
                    assert_eq!(connection.ask(request(&forged)).status, 401);
                }
            });
        }
        let mut earlier = vec![];
        for number in 0..3 {
            let next = Key::es256(&format!("rotated-{number}"));
            let published: Vec<&Key> = earlier
                .last()
                .into_iter()
                .chain([&test_bed.key, &next])
                .collect();
            test_bed.issuer.publish(&published);
            // The cooldown has to pass: only then may the first token of the new key start a fetch.
            thread::sleep(Duration::from_millis(1100));
            let fetches = test_bed.issuer.fetches();
            *rotated.lock().expect("no panic") = next.token(&test_bed.issuer.claims("read"));
            // The cooldown starts with the fetch, which the first request of the new key causes.
            eventually("the JWKS is fetched", || {
                test_bed.issuer.fetches() > fetches
            });
            // Requests continue with the new key before the next rotation.
            thread::sleep(Duration::from_millis(200));
            earlier.push(next);
        }
        stop.store(true, Ordering::SeqCst);
    });
}

#[test]
fn concurrent_first_requests_with_one_token_all_succeed() {
    let test_bed = TestBed::routes(ROUTES);
    for _ in 0..5 {
        let mut claims = test_bed.issuer.claims("read");
        claims["jti"] = json!(format!("{:?}", Instant::now()));
        let token = test_bed.key.token(&claims);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| assert_eq!(test_bed.get("/things", Some(&token)).status, 200));
            }
        });
    }
}

#[test]
fn flood_of_expensive_invalid_tokens_does_not_starve_a_cached_one() {
    let test_bed = TestBed::routes(ROUTES);
    let expensive = Key::es384("expensive");
    test_bed.issuer.publish(&[&test_bed.key, &expensive]);
    let claims = test_bed.issuer.claims("read");
    assert_eq!(
        test_bed
            .get("/things", Some(&expensive.token(&claims)))
            .status,
        200
    );
    let cached = test_bed.token("read");
    let mut connection = Connection::open(test_bed.address);
    assert_eq!(connection.ask(request(&cached)).status, 200);

    let stop = AtomicBool::new(false);
    let max_duration = thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let invalid = Key::es384("expensive").token(&claims);
                let mut connection = Connection::open(test_bed.address);
                while !stop.load(Ordering::SeqCst) {
                    assert_eq!(connection.ask(request(&invalid)).status, 401);
                }
            });
        }
        let mut max_duration = Duration::ZERO;
        for _ in 0..100 {
            let began = Instant::now();
            assert_eq!(connection.ask(request(&cached)).status, 200);
            max_duration = max_duration.max(began.elapsed());
        }
        stop.store(true, Ordering::SeqCst);
        max_duration
    });
    // A request that waited for all 32 verifications would take ten times as long. The bound leaves
    // room for a busy machine.
    assert!(max_duration < Duration::from_secs(1), "{max_duration:?}");
}

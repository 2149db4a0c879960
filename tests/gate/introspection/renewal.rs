//! A token in use is introspected again before its cache entry expires (`refresh_ahead`).

use serde_json::json;

use super::{INVALID, TestBed, inactive};
use harness::{NOW, Reply, eventually};

/// Entries live for ten seconds, and are renewed from the eighth on.
const TTL: &str = "cache_ttl = \"10s\"";

#[test]
fn token_in_use_is_renewed_once_before_its_entry_expires_and_no_request_waits() {
    let test_bed = TestBed::with("", TTL);
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.gateway.set_time(7);
    assert_eq!(
        (test_bed.get("hot").status, test_bed.introspections().len()),
        (200, 1),
        "too early to renew"
    );
    // While the server is silent, the old entry permits every request, and one introspection
    // request is in flight.
    let latch = test_bed.respond_when_opened(Reply::json(test_bed.active("read")));
    for second in [8, 9] {
        test_bed.gateway.set_time(second);
        for _ in 0..50 {
            assert_eq!(test_bed.get("hot").status, 200);
        }
        eventually("the entry is renewed", || {
            test_bed.introspections().len() == 2
        });
    }
    latch.open();
    // The new entry counts from its introspection request: it lives until 18, and is renewed
    // from 16 on.
    let successes = || {
        test_bed.metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"success\"}")
    };
    eventually("the response is received", || successes() == Some(2.0));
    let _silent = test_bed.respond_when_opened(Reply::status(500));
    for second in [10, 15] {
        test_bed.gateway.set_time(second);
        assert_eq!(
            (test_bed.get("hot").status, test_bed.introspections().len()),
            (200, 2),
            "at {second} s"
        );
    }
}

#[test]
fn unused_token_is_not_renewed() {
    let test_bed = TestBed::with("", TTL);
    assert_eq!(
        (test_bed.get("hot").status, test_bed.get("cold").status),
        (200, 200)
    );
    test_bed.gateway.set_time(8);
    assert_eq!(test_bed.get("hot").status, 200);
    eventually("the token in use is renewed", || {
        test_bed.introspections().len() == 3
    });
    assert!(test_bed.introspections()[2].body.starts_with(b"token=hot&"));
}

#[test]
fn negative_response_replaces_the_old_entry_at_once() {
    let test_bed = TestBed::with("", TTL);
    let mut connections: Vec<_> = (0..4)
        .map(|_| harness::Connection::open(test_bed.address))
        .collect();
    let request = "GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hot\r\n\r\n";
    let mut statuses = || {
        connections
            .iter_mut()
            .map(|connection| connection.ask(request).status)
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(), [200; 4]);
    test_bed.respond_with(inactive());
    test_bed.gateway.set_time(8);
    eventually("every connection refuses the token", || {
        statuses() == [401; 4]
    });
    assert_eq!(
        test_bed.introspections().len(),
        2,
        "no request started an introspection request of its own"
    );
    let response = test_bed.get("hot");
    assert_eq!((response.status, response.challenge()), (401, INVALID));
    // The same holds for a response that grants less.
    let test_bed = TestBed::with("", TTL);
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.respond_with(Reply::json(test_bed.active("write")));
    test_bed.gateway.set_time(8);
    eventually("its scope no longer suffices", || {
        test_bed.get("hot").status == 403
    });
    assert_eq!(test_bed.introspections().len(), 2);
}

#[test]
fn failed_renewal_does_not_extend_the_entry() {
    for failure in [
        Reply::status(500),
        Reply::text("<html>"),
        Reply::RawThenClose(Vec::new()),
    ] {
        let test_bed = TestBed::with("", TTL);
        assert_eq!(test_bed.get("hot").status, 200);
        test_bed.respond_with(failure.clone());
        test_bed.gateway.set_time(8);
        assert_eq!(test_bed.get("hot").status, 200);
        let failed = || {
            test_bed
                .metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"failure\"}")
        };
        eventually("the renewal has failed", || failed() == Some(1.0));
        for second in [8, 9] {
            test_bed.gateway.set_time(second);
            assert_eq!(test_bed.get("hot").status, 200, "{failure:?}");
        }
        assert_eq!(failed(), Some(1.0), "one renewal: {failure:?}");
        test_bed.gateway.set_time(10);
        test_bed.assert_unavailable("hot", &format!("{failure:?}"));
    }
}

#[test]
fn renewal_counts_towards_max_in_flight_and_obeys_the_circuit_breaker() {
    let test_bed = TestBed::with("", &format!("{TTL}\nmax_in_flight = 1"));
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.gateway.set_time(8);
    let latch = test_bed.respond_when_opened(inactive());
    let mut other = harness::Connection::open(test_bed.address);
    other.write("GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer other\r\n\r\n");
    eventually("max_in_flight is reached", || {
        test_bed.introspections().len() == 2
    });
    assert_eq!(
        (test_bed.get("hot").status, test_bed.introspections().len()),
        (200, 2)
    );
    latch.open();
    assert_eq!(other.read(false).status, 401);
    // A second later the renewal is tried again.
    test_bed.respond_with(Reply::json(test_bed.active("read")));
    test_bed.gateway.set_time(9);
    eventually("the entry is renewed", || {
        test_bed.get("hot").status == 200 && test_bed.introspections().len() == 3
    });

    let test_bed = TestBed::with("", TTL);
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.respond_with(Reply::status(500));
    for number in 0..6 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
    }
    let introspections = test_bed.introspections().len();
    test_bed.gateway.set_time(8);
    for _ in 0..20 {
        assert_eq!(test_bed.get("hot").status, 200);
    }
    assert!(
        test_bed.introspections().len() <= introspections + 1,
        "the circuit breaker is open"
    );
}

#[test]
fn renewal_of_a_jwt_checks_its_signature_and_its_introspection() {
    let test_bed = TestBed::with("validation = \"jwks+introspection\"", TTL);
    test_bed.wait_for_jwks();
    let token = test_bed.key.token(&harness::claims(&test_bed.url, "read"));
    eventually("the JWKS is fetched", || test_bed.get(&token).status == 200);
    let introspections = test_bed.introspections().len();
    test_bed.gateway.set_time(8);
    assert_eq!(test_bed.get(&token).status, 200);
    eventually("the entry is renewed", || {
        test_bed.introspections().len() == introspections + 1
    });
    test_bed.gateway.set_time(9);
    assert_eq!(
        (test_bed.get(&token).status, test_bed.introspections().len()),
        (200, introspections + 1)
    );
}

#[test]
fn entry_is_not_renewed_if_its_token_expires_first_or_refresh_ahead_is_off() {
    let test_bed = TestBed::with("", &format!("{TTL}\nrefresh_ahead = false"));
    assert_eq!(test_bed.get("hot").status, 200);
    let expiring = TestBed::with("leeway = \"0s\"", TTL);
    let mut active = expiring.active("read");
    active["exp"] = json!(NOW + 10);
    expiring.respond_with(Reply::json(active));
    assert_eq!(expiring.get("hot").status, 200);
    for test_bed in [&test_bed, &expiring] {
        test_bed.gateway.set_time(9);
        for _ in 0..20 {
            assert_eq!(test_bed.get("hot").status, 200);
        }
        // A renewal would have been sent before this introspection request.
        assert_eq!(
            (test_bed.get("new").status, test_bed.introspections().len()),
            (200, 2)
        );
    }
}

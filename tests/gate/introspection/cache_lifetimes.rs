//! How long an introspection response is cached.

use serde_json::json;

use super::{INVALID, TestBed, inactive};
use harness::{NOW, Reply};

#[test]
fn response_without_issuer_and_expiry_is_cached_for_cache_ttl() {
    let test_bed = TestBed::with(
        "audience_required = false",
        "cache_ttl = \"10s\"\nrefresh_ahead = false",
    );
    test_bed.respond_with(Reply::json(json!({ "active": true, "scope": "read" })));
    for (seconds, introspections) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3)] {
        test_bed.set_time(seconds);
        assert_eq!(
            (test_bed.get("bare").status, test_bed.introspections().len()),
            (200, introspections),
            "at {seconds}"
        );
    }
}

#[test]
fn r10_revoked_token_is_refused_within_cache_ttl_and_expired_one_at_its_expiry() {
    let test_bed = TestBed::with(
        "leeway = \"2s\"",
        "cache_ttl = \"10s\"\nrefresh_ahead = false",
    );
    assert_eq!(
        (
            test_bed.get("token").status,
            test_bed.introspections().len()
        ),
        (200, 1)
    );
    test_bed.respond_with(inactive());
    test_bed.set_time(9);
    assert_eq!(
        (
            test_bed.get("token").status,
            test_bed.introspections().len()
        ),
        (200, 1),
        "cached for cache_ttl"
    );
    test_bed.set_time(10);
    let response = test_bed.get("token");
    assert_eq!(
        (
            response.status,
            response.challenge(),
            test_bed.introspections().len()
        ),
        (401, INVALID, 2)
    );

    let mut expiring = test_bed.active("read");
    expiring["exp"] = json!(NOW + 13);
    test_bed.respond_with(Reply::json(expiring));
    assert_eq!(test_bed.get("expiring").status, 200);
    test_bed.set_time(14);
    assert_eq!(
        (
            test_bed.get("expiring").status,
            test_bed.introspections().len()
        ),
        (200, 3),
        "within the leeway"
    );
    test_bed.set_time(15);
    let response = test_bed.get("expiring");
    assert_eq!(
        (
            response.status,
            response.challenge(),
            test_bed.introspections().len()
        ),
        (401, INVALID, 3),
        "cached or not"
    );
}

#[test]
fn zero_cache_ttl_caches_nothing_and_cache_max_age_bounds_cache_ttl() {
    let test_bed = TestBed::with("", "cache_ttl = \"0s\"");
    for introspections in 1..=3 {
        assert_eq!(
            (
                test_bed.get("token").status,
                test_bed.introspections().len()
            ),
            (200, introspections)
        );
    }
    let test_bed = TestBed::with(
        "cache_max_age = \"5s\"",
        "cache_ttl = \"60s\"\nrefresh_ahead = false",
    );
    for (seconds, introspections) in [(0, 1), (4, 1), (5, 2)] {
        test_bed.set_time(seconds);
        assert_eq!(
            (
                test_bed.get("token").status,
                test_bed.introspections().len()
            ),
            (200, introspections),
            "at {seconds}"
        );
    }
    let test_bed = TestBed::start();
    let headers = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    test_bed.respond_with(Reply::new(200, &headers, test_bed.active("read")));
    for _ in 0..2 {
        // It addresses caches between server and gateway (RFC 7662 §4); most servers always send it.
        assert_eq!(
            (
                test_bed.get("token").status,
                test_bed.introspections().len()
            ),
            (200, 1),
            "no-store"
        );
    }
}

#[test]
fn refusal_is_cached_for_negative_ttl() {
    let test_bed = TestBed::with("", "negative_ttl = \"5s\"");
    test_bed.respond_with(inactive());
    for (seconds, introspections) in [(0, 1), (0, 1), (4, 1), (5, 2)] {
        test_bed.set_time(seconds);
        test_bed.assert_refused("token", "inactive");
        assert_eq!(
            test_bed.introspections().len(),
            introspections,
            "at {seconds}"
        );
    }
    test_bed.respond_with(Reply::json(test_bed.active("read")));
    test_bed.set_time(10);
    assert_eq!(test_bed.get("token").status, 200, "active again");
}

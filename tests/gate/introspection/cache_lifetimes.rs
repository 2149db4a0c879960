//! How long an introspection response is cached.

use serde_json::json;

use super::{INVALID, TestBed, inactive};
use harness::{NOW, Reply};

#[test]
fn answer_may_leave_out_issuer_and_expiry_and_holds_for_cache_ttl_then() {
    let test_bed = TestBed::with(
        "audience_required = false",
        "cache_ttl = \"10s\"\nrefresh_ahead = false",
    );
    test_bed.answers(Reply::json(json!({ "active": true, "scope": "read" })));
    for (seconds, questions) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3)] {
        test_bed.set_time(seconds);
        assert_eq!(
            (test_bed.get("bare").status, test_bed.questions().len()),
            (200, questions),
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
        (test_bed.get("token").status, test_bed.questions().len()),
        (200, 1)
    );
    test_bed.answers(inactive());
    test_bed.set_time(9);
    assert_eq!(
        (test_bed.get("token").status, test_bed.questions().len()),
        (200, 1),
        "known for cache_ttl"
    );
    test_bed.set_time(10);
    let answer = test_bed.get("token");
    assert_eq!(
        (
            answer.status,
            answer.challenge(),
            test_bed.questions().len()
        ),
        (401, INVALID, 2)
    );

    let mut brief = test_bed.active("read");
    brief["exp"] = json!(NOW + 13);
    test_bed.answers(Reply::json(brief));
    assert_eq!(test_bed.get("brief").status, 200);
    test_bed.set_time(14);
    assert_eq!(
        (test_bed.get("brief").status, test_bed.questions().len()),
        (200, 3),
        "within the leeway"
    );
    test_bed.set_time(15);
    let answer = test_bed.get("brief");
    assert_eq!(
        (
            answer.status,
            answer.challenge(),
            test_bed.questions().len()
        ),
        (401, INVALID, 3),
        "cached or not"
    );
}

#[test]
fn zero_cache_ttl_asks_each_time_and_cache_max_age_bounds_it() {
    let test_bed = TestBed::with("", "cache_ttl = \"0s\"");
    for questions in 1..=3 {
        assert_eq!(
            (test_bed.get("token").status, test_bed.questions().len()),
            (200, questions)
        );
    }
    let test_bed = TestBed::with(
        "cache_max_age = \"5s\"",
        "cache_ttl = \"60s\"\nrefresh_ahead = false",
    );
    for (seconds, questions) in [(0, 1), (4, 1), (5, 2)] {
        test_bed.set_time(seconds);
        assert_eq!(
            (test_bed.get("token").status, test_bed.questions().len()),
            (200, questions),
            "at {seconds}"
        );
    }
    let test_bed = TestBed::start();
    let headers = [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    test_bed.answers(Reply::new(200, &headers, test_bed.active("read")));
    for _ in 0..2 {
        // It is meant for caches between server and gateway (RFC 7662 §4), and most servers say it each time.
        assert_eq!(
            (test_bed.get("token").status, test_bed.questions().len()),
            (200, 1),
            "no-store"
        );
    }
}

#[test]
fn refused_token_is_not_asked_about_again_for_negative_ttl() {
    let test_bed = TestBed::with("", "negative_ttl = \"5s\"");
    test_bed.answers(inactive());
    for (seconds, questions) in [(0, 1), (0, 1), (4, 1), (5, 2)] {
        test_bed.set_time(seconds);
        test_bed.assert_refused("token", "inactive");
        assert_eq!(test_bed.questions().len(), questions, "at {seconds}");
    }
    test_bed.answers(Reply::json(test_bed.active("read")));
    test_bed.set_time(10);
    assert_eq!(test_bed.get("token").status, 200, "active by now");
}

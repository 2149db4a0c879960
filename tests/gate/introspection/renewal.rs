//! A token in use is asked about again before its answer ends (`refresh_ahead`).

use serde_json::json;

use super::{INVALID, TestBed, inactive};
use harness::{NOW, Reply, eventually};

/// Answers hold for ten seconds: the last part of their life begins after eight.
const TTL: &str = "cache_ttl = \"10s\"";

#[test]
fn token_in_use_is_asked_about_once_before_its_answer_ends_and_no_request_waits() {
    let test_bed = TestBed::with("", TTL);
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.gateway.set_time(7);
    assert_eq!(
        (test_bed.get("hot").status, test_bed.questions().len()),
        (200, 1),
        "it is early"
    );
    // While the server is silent, every request passes by the old answer, and there is one question.
    let gate = test_bed.respond_when_opened(Reply::json(test_bed.active("read")));
    for second in [8, 9] {
        test_bed.gateway.set_time(second);
        for _ in 0..50 {
            assert_eq!(test_bed.get("hot").status, 200);
        }
        eventually("it is asked about", || test_bed.questions().len() == 2);
    }
    gate.open();
    // The new answer is of when it was asked for: it holds until 18, and is renewed from 16 on.
    let answered = || {
        test_bed.metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"success\"}")
    };
    eventually("the answer is here", || answered() == Some(2.0));
    let _silent = test_bed.respond_when_opened(Reply::status(500));
    for second in [10, 15] {
        test_bed.gateway.set_time(second);
        assert_eq!(
            (test_bed.get("hot").status, test_bed.questions().len()),
            (200, 2),
            "at {second} s"
        );
    }
}

#[test]
fn token_that_nobody_uses_is_not_asked_about() {
    let test_bed = TestBed::with("", TTL);
    assert_eq!(
        (test_bed.get("hot").status, test_bed.get("cold").status),
        (200, 200)
    );
    test_bed.gateway.set_time(8);
    assert_eq!(test_bed.get("hot").status, 200);
    eventually("the one in use is asked about", || {
        test_bed.questions().len() == 3
    });
    assert!(test_bed.questions()[2].body.starts_with(b"token=hot&"));
}

#[test]
fn negative_answer_takes_the_place_of_the_old_one_at_once() {
    let test_bed = TestBed::with("", TTL);
    let mut connections: Vec<_> = (0..4)
        .map(|_| harness::Connection::open(test_bed.address))
        .collect();
    let request = "GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hot\r\n\r\n";
    let mut ask_all = || {
        connections
            .iter_mut()
            .map(|connection| connection.ask(request).status)
            .collect::<Vec<_>>()
    };
    assert_eq!(ask_all(), [200; 4]);
    test_bed.answers(inactive());
    test_bed.gateway.set_time(8);
    eventually("every connection has it", || ask_all() == [401; 4]);
    assert_eq!(
        test_bed.questions().len(),
        2,
        "no request has asked for itself"
    );
    let answer = test_bed.get("hot");
    assert_eq!((answer.status, answer.challenge()), (401, INVALID));
    // The same holds for one that grants less.
    let test_bed = TestBed::with("", TTL);
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.answers(Reply::json(test_bed.active("write")));
    test_bed.gateway.set_time(8);
    eventually("its scope is gone", || test_bed.get("hot").status == 403);
    assert_eq!(test_bed.questions().len(), 2);
}

#[test]
fn answer_that_is_not_renewed_ends_when_it_would_have() {
    for failure in [
        Reply::status(500),
        Reply::text("<html>"),
        Reply::RawThenClose(Vec::new()),
    ] {
        let test_bed = TestBed::with("", TTL);
        assert_eq!(test_bed.get("hot").status, 200);
        test_bed.answers(failure.clone());
        test_bed.gateway.set_time(8);
        assert_eq!(test_bed.get("hot").status, 200);
        let failed = || {
            test_bed
                .metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"failure\"}")
        };
        eventually("asking has failed", || failed() == Some(1.0));
        for second in [8, 9] {
            test_bed.gateway.set_time(second);
            assert_eq!(test_bed.get("hot").status, 200, "{failure:?}");
        }
        assert_eq!(failed(), Some(1.0), "it is asked about once: {failure:?}");
        test_bed.gateway.set_time(10);
        test_bed.assert_unavailable("hot", &format!("{failure:?}"));
    }
}

#[test]
fn renewal_has_no_room_of_its_own_and_waits_for_the_breaker() {
    let test_bed = TestBed::with("", &format!("{TTL}\nmax_in_flight = 1"));
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.gateway.set_time(8);
    let gate = test_bed.respond_when_opened(inactive());
    let mut other = harness::Connection::open(test_bed.address);
    other.write("GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer other\r\n\r\n");
    eventually("all room is taken", || test_bed.questions().len() == 2);
    assert_eq!(
        (test_bed.get("hot").status, test_bed.questions().len()),
        (200, 2)
    );
    gate.open();
    assert_eq!(other.read(false).status, 401);
    // A second later it is tried again.
    test_bed.answers(Reply::json(test_bed.active("read")));
    test_bed.gateway.set_time(9);
    eventually("it is asked about", || {
        test_bed.get("hot").status == 200 && test_bed.questions().len() == 3
    });

    let test_bed = TestBed::with("", TTL);
    assert_eq!(test_bed.get("hot").status, 200);
    test_bed.answers(Reply::status(500));
    for number in 0..6 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
    }
    let questions = test_bed.questions().len();
    test_bed.gateway.set_time(8);
    for _ in 0..20 {
        assert_eq!(test_bed.get("hot").status, 200);
    }
    assert!(
        test_bed.questions().len() <= questions + 1,
        "the server rests"
    );
}

#[test]
fn jwt_is_asked_about_again_by_its_signature_and_its_server() {
    let test_bed = TestBed::with("validation = \"jwks+introspection\"", TTL);
    test_bed.has_keys();
    let token = test_bed.key.token(&harness::claims(&test_bed.url, "read"));
    eventually("its key is known", || test_bed.get(&token).status == 200);
    let questions = test_bed.questions().len();
    test_bed.gateway.set_time(8);
    assert_eq!(test_bed.get(&token).status, 200);
    eventually("it is asked about", || {
        test_bed.questions().len() == questions + 1
    });
    test_bed.gateway.set_time(9);
    assert_eq!(
        (test_bed.get(&token).status, test_bed.questions().len()),
        (200, questions + 1)
    );
}

#[test]
fn answer_is_not_renewed_where_its_token_ends_first_or_refresh_ahead_is_off() {
    let test_bed = TestBed::with("", &format!("{TTL}\nrefresh_ahead = false"));
    assert_eq!(test_bed.get("hot").status, 200);
    let test_bed_of_short = TestBed::with("leeway = \"0s\"", TTL);
    let mut active = test_bed_of_short.active("read");
    active["exp"] = json!(NOW + 10);
    test_bed_of_short.answers(Reply::json(active));
    assert_eq!(test_bed_of_short.get("hot").status, 200);
    for test_bed in [&test_bed, &test_bed_of_short] {
        test_bed.gateway.set_time(9);
        for _ in 0..20 {
            assert_eq!(test_bed.get("hot").status, 200);
        }
        // A question would have come before this one, which has to wait for its answer.
        assert_eq!(
            (test_bed.get("new").status, test_bed.questions().len()),
            (200, 2)
        );
    }
}

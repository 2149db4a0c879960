//! A token in use is asked about again before its answer ends (`refresh_ahead`).

use serde_json::json;

use super::{INVALID, Stand, inactive};
use harness::{NOW, Reply, eventually};

/// Answers hold for ten seconds: the last part of their life begins after eight.
const TTL: &str = "cache_ttl = \"10s\"";

#[test]
fn token_in_use_is_asked_about_once_before_its_answer_ends_and_no_request_waits() {
    let stand = Stand::with("", TTL);
    assert_eq!(stand.get("hot").status, 200);
    stand.gateway.at(7);
    assert_eq!(
        (stand.get("hot").status, stand.questions().len()),
        (200, 1),
        "it is early"
    );
    // While the server is silent, every request passes by the old answer, and there is one question.
    let gate = stand.respond_when_opened(Reply::json(stand.active("read")));
    for second in [8, 9] {
        stand.gateway.at(second);
        for _ in 0..50 {
            assert_eq!(stand.get("hot").status, 200);
        }
        eventually("it is asked about", || stand.questions().len() == 2);
    }
    gate.open();
    // The new answer is of when it was asked for: it holds until 18, and is renewed from 16 on.
    let answered =
        || stand.metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"success\"}");
    eventually("the answer is here", || answered() == Some(2.0));
    let _silent = stand.respond_when_opened(Reply::status(500));
    for second in [10, 15] {
        stand.gateway.at(second);
        assert_eq!(
            (stand.get("hot").status, stand.questions().len()),
            (200, 2),
            "at {second} s"
        );
    }
}

#[test]
fn token_that_nobody_uses_is_not_asked_about() {
    let stand = Stand::with("", TTL);
    assert_eq!(
        (stand.get("hot").status, stand.get("cold").status),
        (200, 200)
    );
    stand.gateway.at(8);
    assert_eq!(stand.get("hot").status, 200);
    eventually("the one in use is asked about", || {
        stand.questions().len() == 3
    });
    assert!(stand.questions()[2].body.starts_with(b"token=hot&"));
}

#[test]
fn negative_answer_takes_the_place_of_the_old_one_at_once() {
    let stand = Stand::with("", TTL);
    let mut connections: Vec<_> = (0..4)
        .map(|_| harness::Connection::open(stand.address))
        .collect();
    let request = "GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer hot\r\n\r\n";
    let mut ask_all = || {
        connections
            .iter_mut()
            .map(|connection| connection.ask(request).status)
            .collect::<Vec<_>>()
    };
    assert_eq!(ask_all(), [200; 4]);
    stand.answers(inactive());
    stand.gateway.at(8);
    eventually("every connection has it", || ask_all() == [401; 4]);
    assert_eq!(
        stand.questions().len(),
        2,
        "no request has asked for itself"
    );
    let answer = stand.get("hot");
    assert_eq!((answer.status, answer.challenge()), (401, INVALID));
    // The same holds for one that grants less.
    let stand = Stand::with("", TTL);
    assert_eq!(stand.get("hot").status, 200);
    stand.answers(Reply::json(stand.active("write")));
    stand.gateway.at(8);
    eventually("its scope is gone", || stand.get("hot").status == 403);
    assert_eq!(stand.questions().len(), 2);
}

#[test]
fn answer_that_is_not_renewed_ends_when_it_would_have() {
    for failure in [
        Reply::status(500),
        Reply::text("<html>"),
        Reply::RawThenClose(Vec::new()),
    ] {
        let stand = Stand::with("", TTL);
        assert_eq!(stand.get("hot").status, 200);
        stand.answers(failure.clone());
        stand.gateway.at(8);
        assert_eq!(stand.get("hot").status, 200);
        let failed = || {
            stand.metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"failure\"}")
        };
        eventually("asking has failed", || failed() == Some(1.0));
        for second in [8, 9] {
            stand.gateway.at(second);
            assert_eq!(stand.get("hot").status, 200, "{failure:?}");
        }
        assert_eq!(failed(), Some(1.0), "it is asked about once: {failure:?}");
        stand.gateway.at(10);
        stand.assert_unavailable("hot", &format!("{failure:?}"));
    }
}

#[test]
fn renewal_has_no_room_of_its_own_and_waits_for_the_breaker() {
    let stand = Stand::with("", &format!("{TTL}\nmax_in_flight = 1"));
    assert_eq!(stand.get("hot").status, 200);
    stand.gateway.at(8);
    let gate = stand.respond_when_opened(inactive());
    let mut other = harness::Connection::open(stand.address);
    other.write("GET /things HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer other\r\n\r\n");
    eventually("all room is taken", || stand.questions().len() == 2);
    assert_eq!((stand.get("hot").status, stand.questions().len()), (200, 2));
    gate.open();
    assert_eq!(other.read(false).status, 401);
    // A second later it is tried again.
    stand.answers(Reply::json(stand.active("read")));
    stand.gateway.at(9);
    eventually("it is asked about", || {
        stand.get("hot").status == 200 && stand.questions().len() == 3
    });

    let stand = Stand::with("", TTL);
    assert_eq!(stand.get("hot").status, 200);
    stand.answers(Reply::status(500));
    for number in 0..6 {
        stand.assert_unavailable(&format!("token-{number}"), "down");
    }
    let questions = stand.questions().len();
    stand.gateway.at(8);
    for _ in 0..20 {
        assert_eq!(stand.get("hot").status, 200);
    }
    assert!(stand.questions().len() <= questions + 1, "the server rests");
}

#[test]
fn jwt_is_asked_about_again_by_its_signature_and_its_server() {
    let stand = Stand::with("validation = \"jwks+introspection\"", TTL);
    stand.has_keys();
    let token = stand.key.token(&harness::claims(&stand.url, "read"));
    eventually("its key is known", || stand.get(&token).status == 200);
    let questions = stand.questions().len();
    stand.gateway.at(8);
    assert_eq!(stand.get(&token).status, 200);
    eventually("it is asked about", || {
        stand.questions().len() == questions + 1
    });
    stand.gateway.at(9);
    assert_eq!(
        (stand.get(&token).status, stand.questions().len()),
        (200, questions + 1)
    );
}

#[test]
fn answer_is_not_renewed_where_its_token_ends_first_or_refresh_ahead_is_off() {
    let stand = Stand::with("", &format!("{TTL}\nrefresh_ahead = false"));
    assert_eq!(stand.get("hot").status, 200);
    let stand_of_short = Stand::with("leeway = \"0s\"", TTL);
    let mut active = stand_of_short.active("read");
    active["exp"] = json!(NOW + 10);
    stand_of_short.answers(Reply::json(active));
    assert_eq!(stand_of_short.get("hot").status, 200);
    for stand in [&stand, &stand_of_short] {
        stand.gateway.at(9);
        for _ in 0..20 {
            assert_eq!(stand.get("hot").status, 200);
        }
        // A question would have come before this one, which has to wait for its answer.
        assert_eq!((stand.get("new").status, stand.questions().len()), (200, 2));
    }
}

//! The circuit breaker: a failing authorization server gets few introspection requests.

use std::thread;
use std::time::{Duration, Instant};

use super::failures::typed;
use super::{Latch, TestBed, form, inactive};
use harness::{Reply, Server, eventually, send};

#[test]
fn server_that_keeps_failing_gets_few_introspection_requests() {
    let test_bed = TestBed::start();
    test_bed.respond_with(Reply::status(500));
    let began = Instant::now();
    for number in 0..20 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
    }
    // On a slow machine the circuit breaker may allow another attempt, after a second.
    let introspections = test_bed.introspections().len();
    assert!(
        introspections == 5 || began.elapsed() >= Duration::from_secs(1),
        "five failures in a row open the circuit breaker"
    );
    // One attempt is allowed after a second; if it fails, the next one two seconds later.
    test_bed.respond_with(Reply::json(test_bed.active("read")));
    eventually("the token is accepted", || {
        test_bed.get("token").status == 200
    });
    assert_eq!(test_bed.introspections().len(), introspections + 1);
    for number in 0..10 {
        assert_eq!(test_bed.get(&format!("fresh-{number}")).status, 200);
    }
}

#[test]
fn redirects_count_as_failures_of_the_server() {
    for status in [301, 302, 303, 307, 308] {
        let test_bed = TestBed::start();
        let began = Instant::now();
        test_bed.respond_with(Reply::new(status, &[("location", "/login")], ""));
        for number in 0..20 {
            test_bed.assert_unavailable(&format!("token-{number}"), "redirects");
        }
        let introspections = test_bed.introspections().len();
        assert!(
            introspections == 5 || began.elapsed() >= Duration::from_secs(1),
            "{status}: {introspections} introspection requests"
        );
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn probe_finds_a_server_that_is_back_and_new_tokens_are_accepted_at_once() {
    // An address of its own, so that no other test takes the port meanwhile.
    let address = std::net::TcpListener::bind("127.0.0.118:0")
        .expect("a free port")
        .local_addr()
        .expect("bound");
    let test_bed = TestBed::with("", &format!("endpoint = \"http://{address}/introspect\""));
    let failed = || {
        test_bed.metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"failure\"}")
    };
    for number in 0..30 {
        test_bed.assert_unavailable(&format!("token-{number}"), "connection refused");
    }
    assert!(
        failed().is_some_and(|failed| (5.0..=6.0).contains(&failed)),
        "five failures, then no more introspection requests"
    );
    let readiness = test_bed.get_admin("/readyz").text();
    assert!(
        readiness.starts_with("ready\n[!] issuer corp: introspection fails: http://"),
        "{readiness}"
    );
    assert!(
        readiness.ends_with("introspection is suspended until a probe reaches the server\n"),
        "{readiness}"
    );
    // Probes do not depend on requests: the first after a second, the others two seconds apart.
    let began = Instant::now();
    eventually("three probes fail", || {
        failed().is_some_and(|failed| failed >= 8.0)
    });
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "after {:?}",
        began.elapsed()
    );

    let active = test_bed.active("read");
    let server = Server::start_at(&address.to_string(), move |introspection| {
        let is_probe = form(introspection)[0].1.starts_with("scopegate-probe-");
        if is_probe {
            inactive()
        } else {
            Reply::json(&active)
        }
    });
    let restarted = Instant::now();
    eventually("a new token is accepted", || {
        test_bed.get("new").status == 200
    });
    let waited = restarted.elapsed();
    assert!(
        waited < Duration::from_secs(3),
        "{waited:?} after the server was restarted"
    );
    let introspections: Vec<_> = server
        .received()
        .iter()
        .map(|introspection| form(introspection)[0].1.clone())
        .collect();
    assert_eq!(
        introspections.len(),
        2,
        "one probe and one introspection request: {introspections:?}"
    );
    assert!(
        test_bed.get_admin("/readyz").text() == "ready\n",
        "{}",
        test_bed.get_admin("/readyz").text()
    );
}

#[test]
fn one_request_tries_a_failed_server_and_the_others_get_a_503() {
    let test_bed = TestBed::start();
    test_bed.respond_with(Reply::status(502));
    for number in 0..6 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
    }
    let (latch, reply) = (Latch::closed(), Reply::json(test_bed.active("read")));
    let wait = latch.wait();
    test_bed.script(move |_| {
        wait();
        reply.clone()
    });
    thread::scope(|scope| {
        let trial = scope.spawn(|| {
            eventually("the trial succeeds", || test_bed.get("trial").status == 200);
        });
        eventually("the introspection request of the trial arrives", || {
            test_bed.introspections().len() == 6
        });
        for number in 0..10 {
            test_bed.assert_unavailable(&format!("other-{number}"), "one trial at a time");
        }
        assert_eq!(test_bed.introspections().len(), 6);
        latch.open();
        trial.join().expect("the trial succeeds");
    });
    assert_eq!(test_bed.get("after").status, 200);
}

#[test]
fn statuses_that_a_token_can_provoke_do_not_open_the_circuit_breaker() {
    let test_bed = TestBed::start();
    for (number, status) in [400, 401, 403, 404, 409, 414, 422, 429]
        .into_iter()
        .cycle()
        .take(24)
        .enumerate()
    {
        test_bed.respond_with(typed(status, "application/json", "{}"));
        test_bed.assert_unavailable(&format!("token-{number}"), "4xx");
    }
    assert_eq!(test_bed.introspections().len(), 24);
    test_bed.respond_with(Reply::json(test_bed.active("read")));
    assert_eq!(test_bed.get("token").status, 200);
}

#[test]
fn client_whose_tokens_make_the_server_fail_does_not_affect_other_clients() {
    let test_bed = TestBed::with_file("[server]\ntrusted_proxies = \"127.0.0.0/8\"", "", "");
    let active = test_bed.active("read");
    test_bed.script(move |introspection| {
        let is_bad = form(introspection)[0].1.starts_with("bad");
        if is_bad {
            Reply::status(500)
        } else {
            Reply::json(&active)
        }
    });
    let ask = |client: &str, token: &str| {
        let lines = format!("X-Forwarded-For: {client}\r\nAuthorization: Bearer {token}\r\n");
        send(
            test_bed.address,
            format!("GET /things HTTP/1.1\r\nHost: a\r\n{lines}\r\n"),
        )
        .status
    };
    for number in 0..20 {
        assert_eq!(ask("10.0.0.1", &format!("bad-{number}")), 503);
        assert_eq!(ask("10.0.0.2", &format!("good-{number}")), 200);
    }
    assert_eq!(
        ask("10.0.0.1", "good"),
        503,
        "the failures of this client are used up"
    );
    assert_eq!(test_bed.introspections().len(), 5 + 20);
}

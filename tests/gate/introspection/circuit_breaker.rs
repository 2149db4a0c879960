//! The circuit breaker: a failing authorization server gets few introspection requests.

use std::thread;
use std::time::{Duration, Instant};

use super::failures::answer;
use super::{Gate, TestBed, form, inactive};
use harness::{Reply, Server, eventually, send};

#[test]
fn server_that_fails_again_and_again_is_asked_rarely() {
    let test_bed = TestBed::start();
    test_bed.answers(Reply::status(500));
    let began = Instant::now();
    for number in 0..20 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
    }
    // On a slow machine the rest of a second is over before the last of them.
    let questions = test_bed.questions().len();
    assert!(
        questions == 5 || began.elapsed() >= Duration::from_secs(1),
        "five failures in a row are enough"
    );
    // One tries after a second, and then nobody for two.
    test_bed.answers(Reply::json(test_bed.active("read")));
    eventually("it is asked again", || test_bed.get("token").status == 200);
    assert_eq!(test_bed.questions().len(), questions + 1);
    for number in 0..10 {
        assert_eq!(test_bed.get(&format!("fresh-{number}")).status, 200);
    }
}

#[test]
fn server_that_redirects_is_asked_as_rarely_as_one_that_fails() {
    for status in [301, 302, 303, 307, 308] {
        let test_bed = TestBed::start();
        let began = Instant::now();
        test_bed.answers(Reply::new(status, &[("location", "/login")], ""));
        for number in 0..20 {
            test_bed.assert_unavailable(&format!("token-{number}"), "redirects");
        }
        let questions = test_bed.questions().len();
        assert!(
            questions == 5 || began.elapsed() >= Duration::from_secs(1),
            "{status}: {questions} questions"
        );
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, in the order of its events"
)]
fn server_that_was_gone_is_found_by_a_probe_and_new_tokens_pass_at_once() {
    // An address of its own, so that nobody else takes the port meanwhile.
    let address = std::net::TcpListener::bind("127.0.0.118:0")
        .expect("a free port")
        .local_addr()
        .expect("bound");
    let test_bed = TestBed::with("", &format!("endpoint = \"http://{address}/introspect\""));
    let failed = || {
        test_bed.metric("scopegate_introspection_calls_total{issuer=\"corp\",outcome=\"failure\"}")
    };
    for number in 0..30 {
        test_bed.assert_unavailable(&format!("token-{number}"), "nobody listens");
    }
    assert!(
        failed().is_some_and(|failed| (5.0..=6.0).contains(&failed)),
        "five failures, and no more questions"
    );
    let readiness = test_bed.get_admin("/readyz").text();
    assert!(
        readiness.starts_with("ready\n[!] issuer corp: cannot be asked about its tokens: http://"),
        "{readiness}"
    );
    assert!(
        readiness.ends_with("no new token is asked about until a probe reaches it\n"),
        "{readiness}"
    );
    // Nobody asks for anything, and probes go on: the first after a second, and each other two seconds after the last.
    let began = Instant::now();
    eventually("three probes", || {
        failed().is_some_and(|failed| failed >= 8.0)
    });
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "after {:?}",
        began.elapsed()
    );

    let active = test_bed.active("read");
    let server = Server::start_at(&address.to_string(), move |question| {
        let probes = form(question)[0].1.starts_with("scopegate-probe-");
        if probes {
            inactive()
        } else {
            Reply::json(&active)
        }
    });
    let back = Instant::now();
    eventually("a new token passes", || test_bed.get("new").status == 200);
    let waited = back.elapsed();
    assert!(
        waited < Duration::from_secs(3),
        "{waited:?} after the server was back"
    );
    let questions: Vec<_> = server
        .received()
        .iter()
        .map(|question| form(question)[0].1.clone())
        .collect();
    assert_eq!(
        questions.len(),
        2,
        "one probe and one question: {questions:?}"
    );
    assert!(
        test_bed.get_admin("/readyz").text() == "ready\n",
        "{}",
        test_bed.get_admin("/readyz").text()
    );
}

#[test]
fn one_tries_a_server_that_was_down_while_the_others_are_told_to_wait() {
    let test_bed = TestBed::start();
    test_bed.answers(Reply::status(502));
    for number in 0..6 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
    }
    let (gate, reply) = (Gate::closed(), Reply::json(test_bed.active("read")));
    let opened = gate.wait();
    test_bed.script(move |_| {
        opened();
        reply.clone()
    });
    thread::scope(|scope| {
        let trial = scope.spawn(|| {
            eventually("the server is tried", || {
                test_bed.get("trial").status == 200
            });
        });
        eventually("somebody tries", || test_bed.questions().len() == 6);
        for number in 0..10 {
            test_bed.assert_unavailable(&format!("other-{number}"), "one is enough");
        }
        assert_eq!(test_bed.questions().len(), 6);
        gate.open();
        trial.join().expect("the trial passes");
    });
    assert_eq!(test_bed.get("after").status, 200);
}

#[test]
fn what_a_token_may_bring_about_does_not_count_against_the_server() {
    let test_bed = TestBed::start();
    for (number, status) in [400, 401, 403, 404, 409, 414, 422, 429]
        .into_iter()
        .cycle()
        .take(24)
        .enumerate()
    {
        test_bed.answers(answer(status, "application/json", "{}"));
        test_bed.assert_unavailable(&format!("token-{number}"), "4xx");
    }
    assert_eq!(test_bed.questions().len(), 24);
    test_bed.answers(Reply::json(test_bed.active("read")));
    assert_eq!(test_bed.get("token").status, 200);
}

#[test]
fn client_on_whose_tokens_the_server_fails_keeps_nobody_else_from_being_judged() {
    let test_bed = TestBed::with_file("[server]\ntrusted_proxies = \"127.0.0.0/8\"", "", "");
    let active = test_bed.active("read");
    test_bed.script(move |question| {
        let provokes = form(question)[0].1.starts_with("bad");
        if provokes {
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
    assert_eq!(ask("10.0.0.1", "good"), 503, "it has had its chances");
    assert_eq!(test_bed.questions().len(), 5 + 20);
}

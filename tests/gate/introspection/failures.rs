//! A server that does not say clearly whether a token is good: nobody gets in, and nobody is blamed (R8, R9, R43).

use std::time::{Duration, Instant};

use serde_json::json;

use super::TestBed;
use harness::{NOW, Reply, get, logged};

/// Nothing else in the log of this process looks like it.
const TOKEN: &str = "cAnArY-0123456789-tOkEn";

pub(super) fn answer(status: u16, content_type: &str, body: &str) -> Reply {
    Reply::new(status, &[("content-type", content_type)], body)
}

fn raw(bytes: &str) -> Vec<u8> {
    bytes.as_bytes().to_vec()
}

/// Everything that is no clear answer to a question for JSON.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn unclear() -> Vec<(&'static str, Reply)> {
    let active =
        json!({ "active": true, "aud": "https://api.test", "scope": "read", "exp": NOW + 600 })
            .to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    vec![
        (
            "400",
            answer(400, "application/json", r#"{"error":"invalid_request"}"#),
        ),
        (
            "401",
            answer(401, "application/json", r#"{"error":"invalid_client"}"#),
        ),
        (
            "401 that says active",
            answer(401, "application/json", &active),
        ),
        (
            "403",
            answer(403, "application/json", r#"{"error":"insufficient_scope"}"#),
        ),
        (
            "403 that says inactive",
            answer(403, "application/json", r#"{"active":false}"#),
        ),
        ("404", answer(404, "application/json", &active)),
        ("409", answer(409, "application/json", "{}")),
        ("429", answer(429, "application/json", "{}")),
        ("500", answer(500, "application/json", &active)),
        ("503", answer(503, "text/html", "<html>maintenance</html>")),
        ("201", answer(201, "application/json", &active)),
        ("204", Reply::status(204)),
        ("206", answer(206, "application/json", &active)),
        (
            "redirect",
            Reply::Raw(raw(
                "HTTP/1.1 302 Found\r\nlocation: /introspect2\r\ncontent-length: 0\r\n\r\n",
            )),
        ),
        ("redirect that keeps the method", {
            Reply::Raw(raw(
                "HTTP/1.1 307 Moved\r\nlocation: /introspect2\r\ncontent-length: 0\r\n\r\n",
            ))
        }),
        ("HTML", answer(200, "text/html", "<html>log in</html>")),
        (
            "HTML that calls itself JSON",
            answer(200, "application/json", "<html>log in</html>"),
        ),
        (
            "JSON that calls itself text",
            answer(200, "text/plain", &active),
        ),
        (
            "JSON that calls itself a JWT",
            answer(200, "application/jwt", &active),
        ),
        ("JSON of no type", Reply::text(&active)),
        ("nothing", answer(200, "application/json", "")),
        (
            "truncated JSON",
            answer(200, "application/json", &active[..active.len() - 1]),
        ),
        (
            "truncated answer",
            Reply::RawThenClose(raw(&format!("{head}content-length: 999\r\n\r\n{active}"))),
        ),
        ("truncated chunks", {
            let chunk = format!("{:x}\r\n{active}\r\n", active.len());
            Reply::RawThenClose(raw(&format!(
                "{head}transfer-encoding: chunked\r\n\r\n{chunk}"
            )))
        }),
        (
            "oversized",
            answer(
                200,
                "application/json",
                &active.replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(200_000)), 1),
            ),
        ),
        (
            "two objects",
            answer(200, "application/json", &format!("{active}{active}")),
        ),
        (
            "array",
            answer(200, "application/json", &format!("[{active}]")),
        ),
        (
            "no active",
            answer(
                200,
                "application/json",
                &active.replacen("\"active\":true,", "", 1),
            ),
        ),
        (
            "active \"true\"",
            answer(
                200,
                "application/json",
                &active.replacen("true", "\"true\"", 1),
            ),
        ),
        (
            "active \"false\"",
            answer(200, "application/json", r#"{"active":"false"}"#),
        ),
        (
            "active 1",
            answer(200, "application/json", &active.replacen("true", "1", 1)),
        ),
        (
            "active null",
            answer(200, "application/json", &active.replacen("true", "null", 1)),
        ),
        (
            "active twice",
            answer(
                200,
                "application/json",
                &active.replacen('{', "{\"active\":false,", 1),
            ),
        ),
        ("closed", Reply::RawThenClose(Vec::new())),
        ("reset", Reply::RawThenReset(raw(head))),
        ("not HTTP", Reply::RawThenClose(raw("SSH-2.0-x\r\n"))),
    ]
}

#[test]
fn r8_whatever_is_no_clear_answer_is_a_503_and_told_to_no_log() {
    for (number, (what, reply)) in unclear().into_iter().enumerate() {
        let test_bed = TestBed::start();
        test_bed.answers(reply);
        let token = format!("{TOKEN}{number}");
        test_bed.assert_unavailable(&token, what);
        assert!(!test_bed.get(&token).text().contains(TOKEN), "{what}");
        // A failure is not remembered: as soon as the server is well, the token passes.
        let questions = test_bed.questions().len();
        test_bed.answers(Reply::json(test_bed.active("read")));
        assert_eq!(
            (test_bed.get(&token).status, test_bed.questions().len()),
            (200, questions + 1),
            "{what}"
        );
    }
    assert!(logged("introspection failed"), "the operator is told");
    assert!(!logged(TOKEN), "a token is in the log");
}

#[test]
fn r43_server_that_hangs_or_is_gone_is_a_503_in_bounded_time() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n";
    for (what, reply) in [
        ("hung", Reply::RawThenHang(Vec::new())),
        ("hung within the head", Reply::RawThenHang(raw(&head[..20]))),
        (
            "hung within the body",
            Reply::RawThenHang(raw(&format!("{head}{{\"active\":true"))),
        ),
        (
            "trickling",
            Reply::Trickle(
                raw(&format!("{head}{{\"active\":true")),
                Duration::from_millis(50),
            ),
        ),
    ] {
        let test_bed = TestBed::with("timeout = \"300ms\"", "");
        test_bed.answers(reply);
        let began = Instant::now();
        test_bed.assert_unavailable(TOKEN, what);
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{what}: after {:?}",
            began.elapsed()
        );
    }
    // A port that is somebody's, and where nobody listens.
    let held =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    held.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("a free port");
    let gone = held
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .expect("a bound socket");
    let test_bed = TestBed::with("", &format!("endpoint = \"http://{gone}/introspect\""));
    test_bed.assert_unavailable(TOKEN, "refused");
    assert!(!logged(TOKEN), "a token is in the log");
}

#[test]
fn r25_metadata_that_does_not_tell_the_way_is_a_503() {
    for metadata in [
        json!({ "issuer": "https://other.test", "introspection_endpoint": "http://127.0.0.1:1/" }),
        json!({ "introspection_endpoint": "http://127.0.0.1:1/" }),
        json!({ "issuer": "SELF" }),
        json!({ "issuer": "SELF", "introspection_endpoint": 7 }),
        json!({ "issuer": "SELF", "introspection_endpoint": "file:///etc/passwd" }),
    ] {
        let test_bed = TestBed::start();
        let told = metadata.to_string().replace("SELF", &test_bed.url);
        test_bed.server.script(move |_| Reply::json(&told));
        test_bed.assert_unavailable(TOKEN, &metadata.to_string());
        // Once it is mended, the way is found.
        test_bed.answers(Reply::json(test_bed.active("read")));
        assert_eq!(test_bed.get(TOKEN).status, 200);
    }
}

#[test]
fn endpoint_that_is_not_there_any_more_is_looked_up_again() {
    let moved = Reply::new(308, &[("location", "/elsewhere")], "");
    for gone in [
        Reply::status(404),
        Reply::status(410),
        moved,
        Reply::RawThenClose(Vec::new()),
    ] {
        let test_bed = TestBed::start();
        assert_eq!(test_bed.get("first").status, 200);
        let (url, active, reply) = (test_bed.url.clone(), test_bed.active("read"), gone.clone());
        test_bed
            .server
            .script(move |request| match request.target.as_str() {
                "/introspect" => reply.clone(),
                "/elsewhere" => Reply::json(&active),
                _ => Reply::json(
                    json!({ "issuer": url, "introspection_endpoint": format!("{url}/elsewhere") }),
                ),
            });
        test_bed.assert_unavailable("second", &format!("{gone:?}"));
        assert_eq!(test_bed.get("second").status, 200, "{gone:?}");
    }
}

#[test]
fn only_a_plain_inactive_is_remembered_as_a_refusal() {
    let test_bed = TestBed::start();
    for _ in 0..3 {
        test_bed.answers(answer(200, "application/json", r#"{"active":"false"}"#));
        test_bed.assert_unavailable("token", "unclear");
    }
    assert_eq!(test_bed.questions().len(), 3);
}

#[test]
fn known_tokens_pass_while_the_server_is_down() {
    let test_bed = TestBed::start();
    assert_eq!(test_bed.get("known").status, 200);
    test_bed.answers(Reply::RawThenClose(Vec::new()));
    for number in 0..10 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
        assert_eq!(
            get(test_bed.gateway.address, "/things", Some("known")).status,
            200
        );
    }
    // But no longer than for cache_ttl.
    test_bed.gateway.set_time(60);
    let answer = test_bed.get("known");
    assert_eq!((answer.status, answer.challenge()), (503, None));
}

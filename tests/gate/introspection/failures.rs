//! Introspection that fails or is ambiguous: the token is neither accepted nor called invalid
//! (R8, R9, R43).

use std::time::{Duration, Instant};

use serde_json::json;

use super::TestBed;
use harness::{NOW, Reply, get, logged};

/// Occurs nowhere else in the log of this process.
const TOKEN: &str = "cAnArY-0123456789-tOkEn";

pub(super) fn typed(status: u16, content_type: &str, body: &str) -> Reply {
    Reply::new(status, &[("content-type", content_type)], body)
}

fn raw(bytes: &str) -> Vec<u8> {
    bytes.as_bytes().to_vec()
}

/// Replies that are no valid introspection response in JSON.
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn invalid_replies() -> Vec<(&'static str, Reply)> {
    let active =
        json!({ "active": true, "aud": "https://api.test", "scope": "read", "exp": NOW + 600 })
            .to_string();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    vec![
        (
            "400",
            typed(400, "application/json", r#"{"error":"invalid_request"}"#),
        ),
        (
            "401",
            typed(401, "application/json", r#"{"error":"invalid_client"}"#),
        ),
        (
            "401 that says active",
            typed(401, "application/json", &active),
        ),
        (
            "403",
            typed(403, "application/json", r#"{"error":"insufficient_scope"}"#),
        ),
        (
            "403 that says inactive",
            typed(403, "application/json", r#"{"active":false}"#),
        ),
        ("404", typed(404, "application/json", &active)),
        ("409", typed(409, "application/json", "{}")),
        ("429", typed(429, "application/json", "{}")),
        ("500", typed(500, "application/json", &active)),
        ("503", typed(503, "text/html", "<html>maintenance</html>")),
        ("201", typed(201, "application/json", &active)),
        ("204", Reply::status(204)),
        ("206", typed(206, "application/json", &active)),
        (
            "redirect",
            Reply::Raw(raw(
                "HTTP/1.1 302 Found\r\nlocation: /introspect2\r\ncontent-length: 0\r\n\r\n",
            )),
        ),
        ("redirect with the method unchanged", {
            Reply::Raw(raw(
                "HTTP/1.1 307 Moved\r\nlocation: /introspect2\r\ncontent-length: 0\r\n\r\n",
            ))
        }),
        ("HTML", typed(200, "text/html", "<html>log in</html>")),
        (
            "HTML labelled JSON",
            typed(200, "application/json", "<html>log in</html>"),
        ),
        ("JSON labelled text", typed(200, "text/plain", &active)),
        ("JSON labelled JWT", typed(200, "application/jwt", &active)),
        ("JSON without a type", Reply::text(&active)),
        ("empty body", typed(200, "application/json", "")),
        (
            "truncated JSON",
            typed(200, "application/json", &active[..active.len() - 1]),
        ),
        (
            "truncated body",
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
            typed(
                200,
                "application/json",
                &active.replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(200_000)), 1),
            ),
        ),
        (
            "two objects",
            typed(200, "application/json", &format!("{active}{active}")),
        ),
        (
            "array",
            typed(200, "application/json", &format!("[{active}]")),
        ),
        (
            "without active",
            typed(
                200,
                "application/json",
                &active.replacen("\"active\":true,", "", 1),
            ),
        ),
        (
            "active \"true\"",
            typed(
                200,
                "application/json",
                &active.replacen("true", "\"true\"", 1),
            ),
        ),
        (
            "active \"false\"",
            typed(200, "application/json", r#"{"active":"false"}"#),
        ),
        (
            "active 1",
            typed(200, "application/json", &active.replacen("true", "1", 1)),
        ),
        (
            "active null",
            typed(200, "application/json", &active.replacen("true", "null", 1)),
        ),
        (
            "active twice",
            typed(
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
fn r8_invalid_introspection_response_is_a_503_and_no_token_is_logged() {
    for (number, (what, reply)) in invalid_replies().into_iter().enumerate() {
        let test_bed = TestBed::start();
        test_bed.respond_with(reply);
        let token = format!("{TOKEN}{number}");
        test_bed.assert_unavailable(&token, what);
        assert!(!test_bed.get(&token).text().contains(TOKEN), "{what}");
        // A failure is not cached: as soon as the server has recovered, the token is accepted.
        let introspections = test_bed.introspections().len();
        test_bed.respond_with(Reply::json(test_bed.active("read")));
        assert_eq!(
            (test_bed.get(&token).status, test_bed.introspections().len()),
            (200, introspections + 1),
            "{what}"
        );
    }
    assert!(logged("introspection failed"), "the failure is logged");
    assert!(!logged(TOKEN), "the token is in the log");
}

#[test]
fn r43_server_that_hangs_or_refuses_is_a_503_in_bounded_time() {
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
        test_bed.respond_with(reply);
        let began = Instant::now();
        test_bed.assert_unavailable(TOKEN, what);
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{what}: after {:?}",
            began.elapsed()
        );
    }
    // A bound port without a listener: it refuses, and no other test can take it.
    let held =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    held.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("a free port");
    let refusing = held
        .local_addr()
        .ok()
        .and_then(|address| address.as_socket())
        .expect("a bound socket");
    let test_bed = TestBed::with("", &format!("endpoint = \"http://{refusing}/introspect\""));
    test_bed.assert_unavailable(TOKEN, "connection refused");
    assert!(!logged(TOKEN), "the token is in the log");
}

#[test]
fn r25_metadata_without_a_usable_endpoint_is_a_503() {
    for metadata in [
        json!({ "issuer": "https://other.test", "introspection_endpoint": "http://127.0.0.1:1/" }),
        json!({ "introspection_endpoint": "http://127.0.0.1:1/" }),
        json!({ "issuer": "SELF" }),
        json!({ "issuer": "SELF", "introspection_endpoint": 7 }),
        json!({ "issuer": "SELF", "introspection_endpoint": "file:///etc/passwd" }),
    ] {
        let test_bed = TestBed::start();
        let body = metadata.to_string().replace("SELF", &test_bed.url);
        test_bed.server.script(move |_| Reply::json(&body));
        test_bed.assert_unavailable(TOKEN, &metadata.to_string());
        // Valid metadata is used as soon as it is there.
        test_bed.respond_with(Reply::json(test_bed.active("read")));
        assert_eq!(test_bed.get(TOKEN).status, 200);
    }
}

#[test]
fn endpoint_that_moved_is_discovered_again() {
    let moved = Reply::new(308, &[("location", "/elsewhere")], "");
    for reply in [
        Reply::status(404),
        Reply::status(410),
        moved,
        Reply::RawThenClose(Vec::new()),
    ] {
        let test_bed = TestBed::start();
        assert_eq!(test_bed.get("first").status, 200);
        let (url, active) = (test_bed.url.clone(), test_bed.active("read"));
        let old_endpoint = reply.clone();
        test_bed
            .server
            .script(move |request| match request.target.as_str() {
                "/introspect" => old_endpoint.clone(),
                "/elsewhere" => Reply::json(&active),
                _ => Reply::json(
                    json!({ "issuer": url, "introspection_endpoint": format!("{url}/elsewhere") }),
                ),
            });
        test_bed.assert_unavailable("second", &format!("{reply:?}"));
        assert_eq!(test_bed.get("second").status, 200, "{reply:?}");
    }
}

#[test]
fn only_active_false_is_cached_as_a_refusal() {
    let test_bed = TestBed::start();
    for _ in 0..3 {
        test_bed.respond_with(typed(200, "application/json", r#"{"active":"false"}"#));
        test_bed.assert_unavailable("token", "active \"false\"");
    }
    assert_eq!(test_bed.introspections().len(), 3);
}

#[test]
fn cached_tokens_are_accepted_while_the_server_is_down() {
    let test_bed = TestBed::start();
    assert_eq!(test_bed.get("known").status, 200);
    test_bed.respond_with(Reply::RawThenClose(Vec::new()));
    for number in 0..10 {
        test_bed.assert_unavailable(&format!("token-{number}"), "down");
        assert_eq!(
            get(test_bed.gateway.address, "/things", Some("known")).status,
            200
        );
    }
    // But for no longer than cache_ttl.
    test_bed.gateway.set_time(60);
    let response = test_bed.get("known");
    assert_eq!((response.status, response.challenge()), (503, None));
}

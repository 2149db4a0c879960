//! HTTP/2 requests before routing, and what they become over HTTP/1.1 (R40, R41).

use http::Request;

use super::client::{self, get};
use super::frame_connection::{End, FrameConnection, StreamState};
use super::frames::{CONTINUATION, END_HEADERS, HEADERS, NONE, PING, WHOLE, block, frame, request};
use harness::{Reply, TestBed, send};

pub(super) const ROUTES: &str =
    "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

/// Sends a request on a new connection and returns the response.
pub(super) fn ask(test_bed: &TestBed, fields: &[(&str, &str)]) -> StreamState {
    FrameConnection::open(test_bed.address, &[]).ask(fields)
}

fn head<'f>(rest: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    [
        &[(":method", "GET"), (":scheme", "http"), (":path", "/x")],
        rest,
    ]
    .concat()
}

#[test]
fn r41_authority_becomes_the_host() {
    let test_bed = TestBed::routes(ROUTES);
    for (fields, host) in [
        (&[(":authority", "api.test")][..], "api.test"),
        (&[(":authority", "api.test:8080")], "api.test:8080"),
        (&[(":authority", "[::1]:80")], "[::1]:80"),
        (
            &[(":authority", "api.test"), ("host", "api.test")],
            "api.test",
        ),
        (&[("host", "api.test")], "api.test"),
    ] {
        let response = ask(&test_bed, &head(fields));
        assert_eq!(
            (response.status, response.end),
            (Some(200), Some(End::Whole)),
            "{fields:?}"
        );
        let received = test_bed.last();
        assert_eq!(
            (received.header("host"), received.header("x-forwarded-host")),
            (vec![host], vec![host])
        );
        assert_eq!((&*received.target, &*received.version), ("/x", "HTTP/1.1"));
    }
}

#[test]
fn r41_invalid_or_conflicting_host_is_refused() {
    let test_bed = TestBed::routes(ROUTES);
    for fields in [
        &[][..],
        &[(":authority", "a"), ("host", "b")],
        &[(":authority", "a"), ("host", "a:80")],
        &[(":authority", "a"), ("host", "a"), ("host", "a")],
        &[("host", "a"), ("host", "b")],
        &[(":authority", "user@a")],
        &[(":authority", "a:99999")],
        &[(":authority", "a..b")],
        &[("host", "user@a")],
        &[("host", "")],
    ] {
        let response = ask(&test_bed, &head(fields));
        assert_eq!(
            (response.status, response.end),
            (Some(400), Some(End::Whole)),
            "{fields:?}"
        );
    }
    for authority in [
        "", "a b", " a", "a/b", "a?b", "a#b", "a\\b", "a\u{e4}", "a:b", "[::1", "a,b", "a%2eb",
        "::1",
    ] {
        for name in [":authority", "host"] {
            let response = ask(&test_bed, &head(&[(name, authority)]));
            assert!(response.is_refusal(), "{name} {authority:?}: {response:?}");
        }
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn r41_unsupported_target_forms_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    for scheme in ["ftp", "ws", "file", "", "1", "http "] {
        let response = ask(
            &test_bed,
            &[
                (":method", "GET"),
                (":scheme", scheme),
                (":authority", "a"),
                (":path", "/x"),
            ],
        );
        assert!(response.is_refusal(), "{scheme:?}: {response:?}");
    }
    for path in [
        "",
        "*",
        "x",
        "http://a/x",
        "//a/x",
        "//",
        "/x y",
        "/\u{e4}",
        "/x?\u{e4}",
        "/x?a b",
        "/x\u{7f}",
    ] {
        let response = ask(&test_bed, &request("GET", path));
        assert!(response.is_refusal(), "{path:?}: {response:?}");
    }
    assert!(ask(&test_bed, &request("OPTIONS", "*")).is_refusal());
    assert_eq!(test_bed.hits(), 0);
    let response = ask(
        &test_bed,
        &[
            (":method", "GET"),
            (":scheme", "ftp"),
            (":authority", "a"),
            (":path", "/x"),
        ],
    );
    assert_eq!(
        response.status,
        Some(400),
        "not a protocol error (RFC 9113 §8.3.1)"
    );
}

#[test]
fn ambiguous_paths_are_refused_as_over_http1() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    for path in [
        "/a/../b",
        "/a/%2e%2e/b",
        "/./x",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a//b",
        "/a%252fb",
        "/a%00",
        "/a;b",
        "/%ff",
    ] {
        let status = connection.ask(&request("GET", path)).status;
        let over_http1 = send(
            test_bed.address,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"),
        )
        .status;
        assert_eq!((status, over_http1), (Some(400), 400), "{path}");
    }
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(
        connection.ask(&request("GET", "/%61?b=%2F..")).status,
        Some(200)
    );
    assert_eq!(test_bed.last().target, "/a?b=%2F..");
    // A fragment is not forwarded (RFC 9112 §3.2.1).
    assert_eq!(
        connection.ask(&request("GET", "/a#/../b")).status,
        Some(200)
    );
    assert_eq!(test_bed.last().target, "/a");
}

#[test]
fn connect_and_trace_are_refused_on_every_route() {
    let test_bed = TestBed::routes(ROUTES);
    for fields in [
        &[(":method", "CONNECT"), (":authority", "a:80")][..],
        &[(":method", "CONNECT"), (":authority", "a")],
        &[
            (":method", "TRACE"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
        ],
    ] {
        assert_eq!(ask(&test_bed, fields).status, Some(405), "{fields:?}");
    }
    assert!(ask(&test_bed, &[(":method", "CONNECT")]).is_refusal());
    let trace = Request::builder()
        .method("TRACE")
        .uri("http://api.test/x")
        .body(())
        .expect("a request");
    let allow = client::ask(test_bed.address, trace, b"", None)
        .header("allow")
        .expect("Allow")
        .to_owned();
    assert!(
        !allow.contains("CONNECT") && !allow.contains("TRACE"),
        "{allow}"
    );
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn cookie_crumbs_are_joined() {
    let test_bed = TestBed::routes(ROUTES);
    let crumbs = [
        ("cookie", "a=1"),
        ("x", "y"),
        ("cookie", "b=2"),
        ("cookie", "c=3; d=4"),
    ];
    assert_eq!(
        ask(
            &test_bed,
            &head(&[&[(":authority", "a")], &crumbs[..]].concat())
        )
        .status,
        Some(200)
    );
    assert_eq!(test_bed.last().header("cookie"), ["a=1; b=2; c=3; d=4"]);
}

#[test]
fn head_may_be_split_but_not_interleaved() {
    let test_bed = TestBed::routes(ROUTES);
    let bytes = block(&request("GET", "/x"));
    let (one, other) = bytes.split_at(20);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.next_stream();
    connection.write(
        [
            frame(HEADERS, WHOLE - END_HEADERS, stream, one),
            frame(CONTINUATION, END_HEADERS, stream, other),
        ]
        .concat(),
    );
    assert_eq!(connection.response(stream).status, Some(200));
    let hits = test_bed.hits();
    // RFC 9113 §4.3: no other frame, on any stream, may interrupt a field block.
    for between in [
        frame(HEADERS, WHOLE, 5, &bytes),
        frame(PING, NONE, 0, [0; 8]),
        frame(CONTINUATION, END_HEADERS, 5, other),
    ] {
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        connection.write([frame(HEADERS, WHOLE - END_HEADERS, 3, one), between.clone()].concat());
        connection.try_write(frame(CONTINUATION, END_HEADERS, 3, other));
        assert!(connection.is_closed(), "{between:?}");
    }
    assert_eq!(test_bed.hits(), hits);
}

#[test]
fn response_to_head_has_no_body() {
    let test_bed = TestBed::routes(ROUTES);
    let head = |path: &str| {
        let request = Request::head(format!("http://api.test{path}"))
            .body(())
            .expect("a request");
        client::ask(test_bed.address, request, b"", None)
    };
    let response = head("/x");
    assert_eq!(
        (
            response.status.as_u16(),
            response.header("content-length"),
            &*response.body
        ),
        (200, Some("5"), &b""[..])
    );
    assert_eq!(
        (test_bed.last().method, response.error.is_some()),
        ("HEAD".to_owned(), false)
    );
    // A response of the gateway announces the length that it has for GET.
    let refused = head("/a//b");
    let length = client::ask(test_bed.address, get("/a//b", None), b"", None)
        .body
        .len()
        .to_string();
    assert_eq!(
        (refused.status.as_u16(), refused.header("content-length")),
        (400, Some(&*length))
    );
    assert!(refused.body.is_empty() && refused.error.is_none());
}

#[test]
fn responses_lose_connection_specific_fields() {
    let test_bed = TestBed::routes(ROUTES);
    let lines = "Connection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\n\
                 TE: gzip\r\nX-End: 1\r\n";
    for framing in [
        "Content-Length: 2\r\n\r\nok",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "\r\nok",
    ] {
        test_bed.upstream.script(move |_| {
            Reply::RawThenClose(format!("HTTP/1.1 200 OK\r\n{lines}{framing}").into_bytes())
        });
        let response = client::ask(test_bed.address, get("/x", None), b"", None);
        assert_eq!(
            (
                response.header("x-end"),
                &*response.body,
                response.error.is_some()
            ),
            (Some("1"), &b"ok"[..], false)
        );
        for name in [
            "connection",
            "x-hop",
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "te",
            "transfer-encoding",
        ] {
            assert_eq!(response.header(name), None, "{name}");
        }
        assert!(response.header("date").is_some(), "RFC 9110 §6.6.1");
    }
}

//! Requests that are refused before routing, because other servers could read them differently
//! (R40, R41).

use harness::{Connection, TestBed, send};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

/// Sends a request and then a second one. Returns the first status, and whether the connection
/// closed without a second response.
fn send_twice(test_bed: &TestBed, request: &str) -> (u16, bool) {
    let mut connection = Connection::open(test_bed.address);
    connection.write(request);
    let status = connection.read(false).status;
    connection.try_write("GET /after HTTP/1.1\r\nHost: a\r\n\r\n");
    (status, connection.is_closed())
}

#[test]
fn r40_ambiguous_framing_is_refused_and_closes_the_connection() {
    let test_bed = TestBed::routes(ROUTES);
    for lines in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: cow, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 5\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n");
        assert_eq!(send_twice(&test_bed, &request), (400, true), "{lines:?}");
    }
    let old = "POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(send_twice(&test_bed, old), (400, true));
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn r40_transfer_encoding_beside_content_length_is_forwarded_with_one_framing() {
    let test_bed = TestBed::routes(ROUTES);
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\nTransfer-Encoding: CHUNKED\r\n",
    ] {
        let hits = test_bed.hits();
        let (status, closed) = send_twice(
            &test_bed,
            &format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n3\r\nabc\r\n0\r\n\r\n"),
        );
        assert!(closed, "{lines:?}");
        assert!(matches!(status, 200 | 400), "{lines:?}: {status}");
        if status == 200 {
            let sent = test_bed.last();
            assert_eq!(
                sent.header("transfer-encoding").len() + sent.header("content-length").len(),
                1,
                "{lines:?}"
            );
            assert_eq!(
                (sent.body, test_bed.hits()),
                (b"abc".to_vec(), hits + 1),
                "{lines:?}"
            );
        } else {
            assert_eq!(test_bed.hits(), hits, "{lines:?}");
        }
    }
}

#[test]
fn content_length_is_forwarded_in_canonical_form() {
    let test_bed = TestBed::routes(ROUTES);
    for (length, sent) in [("0005", "5"), ("05", "5"), ("5", "5")] {
        let response = send(
            test_bed.address,
            format!("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nhello"),
        );
        assert_eq!(
            (response.status, test_bed.last().header("content-length")),
            (200, vec![sent]),
            "{length}"
        );
    }
    // The same length twice is that length (RFC 9112 §6.3).
    let twice =
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(
        (
            send(test_bed.address, twice).status,
            test_bed.last().header("content-length")
        ),
        (200, vec!["5"])
    );
    let response = send(
        test_bed.address,
        "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 00\r\n\r\n",
    );
    assert_eq!(
        (response.status, test_bed.last().header("content-length")),
        (200, vec!["0"])
    );
}

#[test]
fn r41_fragment_in_a_target_is_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let targets = [
        "/x#",
        "/x#b",
        "/x#/../admin",
        "/x?a=b#c",
        "/x?#",
        "/x##",
        "/#",
        "http://a/x#b",
        "http://a/?a#b",
        "#b",
    ];
    for target in targets {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(send(test_bed.address, &request).status, 400, "{target}");
        // After an empty line, and in two reads.
        let (one, other) = request.split_at(request.len() / 3);
        let mut connection = Connection::open(test_bed.address);
        connection.write(format!("\r\n{one}"));
        // The gateway has to read the two pieces separately; no metric counts its reads.
        std::thread::sleep(std::time::Duration::from_millis(20));
        connection.write(other);
        assert_eq!(connection.read(false).status, 400, "{target} in two pieces");
    }
    assert_eq!(test_bed.hits(), 0);
    // The connection stays open, and `#` is allowed outside the target.
    let mut connection = Connection::open(test_bed.address);
    for _ in 0..2 {
        assert_eq!(
            connection
                .ask("GET /x#b HTTP/1.1\r\nHost: a\r\n\r\n")
                .status,
            400
        );
        let post = "POST /x HTTP/1.1\r\nHost: a\r\nCookie: a#b\r\nContent-Length: 12\r\n\r\nGET /a#b\r\n#\n";
        assert_eq!(connection.ask(post).status, 200);
        assert_eq!(test_bed.last().body.len(), 12);
    }
    // The rest of a pipelined head that arrives later is not taken for a new request line.
    connection.write("GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\nX: ");
    assert_eq!(connection.read(false).status, 200);
    connection.write("GET /#\r\n\r\n");
    assert_eq!(
        (connection.read(false).status, &*test_bed.last().target),
        (200, "/y")
    );
}

#[test]
fn connect_and_trace_are_refused_on_every_route() {
    let test_bed = TestBed::routes(ROUTES);
    for request in [
        "CONNECT /x",
        "CONNECT a:80",
        "CONNECT a",
        "TRACE /x",
        "TRACE http://a/x",
    ] {
        let response = send(
            test_bed.address,
            format!("{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(response.status, 405, "{request}");
        let allow = response.header("allow").expect("Allow");
        assert!(
            !allow.contains("CONNECT") && !allow.contains("TRACE"),
            "{allow}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn r41_unsupported_target_forms_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    for target in [
        "!",
        "*",
        "a",
        "a:80",
        "x",
        "ftp://a/x",
        "ws://a/x",
        "file:///x",
        "http://b/x",
        "http://a:81/x",
        "http://u@a/x",
        "//a/x",
        "http:///x",
        "/x?\u{e4}",
        "/\u{e4}",
        "/x?a\tb",
        "/x\u{7f}",
        "/x?a b",
    ] {
        let response = send(
            test_bed.address,
            format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        );
        assert_eq!(response.status, 400, "{target:?}");
    }
    assert_eq!(test_bed.hits(), 0);
    // Every server must accept the absolute form (RFC 9112 §3.2.2).
    assert_eq!(
        send(
            test_bed.address,
            "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        .status,
        200
    );
    assert_eq!(test_bed.last().target, "/x?y");
}

#[test]
fn malformed_heads_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    for head in [
        "GET  /x HTTP/1.1\r\nHost: a\r\n",
        "GET /x\r\nHost: a\r\n",
        "GET /x HTTP/1.2\r\nHost: a\r\n",
        "GET /x HTTP/2.0\r\nHost: a\r\n",
        "GET /x http/1.1\r\nHost: a\r\n",
        "G(T /x HTTP/1.1\r\nHost: a\r\n",
        "G\u{e4}T /x HTTP/1.1\r\nHost: a\r\n",
        "GET /x HTTP/1.1\r\n Host: a\r\nHost: a\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX : y\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX\u{e4}: y\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n: y\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\n\"X\": y\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n",
        "GET /x HTTP/1.1\r\nHost: a\r\nX: a\u{1}b\r\n",
    ] {
        assert_eq!(
            send_twice(&test_bed, &format!("{head}\r\n")),
            (400, true),
            "{head:?}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn r39_headers_that_override_method_or_path_are_removed() {
    let test_bed = TestBed::routes(ROUTES);
    let lines = [
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "X_HTTP_Method_Override: DELETE",
        "X.Http-Method: DELETE",
        "X-Original-URL: /secret",
        "X_Rewrite_URL: /secret",
    ];
    let response = send(
        test_bed.address,
        format!(
            "GET /x HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n",
            lines.join("\r\n")
        ),
    );
    assert_eq!(response.status, 200);
    let sent = test_bed.last();
    assert!(
        sent.headers
            .iter()
            .all(|(_, value)| value != "DELETE" && value != "/secret"),
        "{:?}",
        sent.headers
    );
}

#[test]
fn bare_line_feeds_end_lines_and_are_not_forwarded() {
    // RFC 9112 §2.2 allows a bare LF as a line terminator, and hyper accepts it.
    let test_bed = TestBed::routes(ROUTES);
    assert_eq!(
        send(test_bed.address, "GET /x HTTP/1.1\nHost: a\nX-One: 1\n\n").status,
        200
    );
    assert_eq!(test_bed.last().header("x-one"), ["1"]);
}

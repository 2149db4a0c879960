//! Bodies, trailers and interim responses.

use std::time::Duration;

use super::test_bed;
use harness::{Connection, Reply, send};

#[test]
fn bodies_of_either_framing_are_forwarded_in_both_directions() {
    let test_bed = test_bed();
    test_bed.upstream.script(|received| {
        let body = String::from_utf8_lossy(&received.body).into_owned();
        let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
        Reply::Raw(
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}").into_bytes(),
        )
    });
    let mut connection = Connection::open(test_bed.address);
    for request in [
        "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
            .to_owned(),
        // A body is unusual with these methods, but it is forwarded.
        "GET /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "DELETE /open/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".to_owned(),
    ] {
        let response = connection.ask(request);
        assert_eq!((response.status, response.complete, response.text()), (200, true, "hello".to_owned()));
    }
    assert_eq!(
        test_bed.upstream.connections(),
        1,
        "these requests and the readiness request share one connection"
    );
}

#[test]
fn trailers_are_forwarded_in_both_directions() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
                .to_vec(),
        )
    });
    let response = send(
        test_bed.address,
        "POST /open/x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Check\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Check: 7\r\n\r\n",
    );
    assert!(response.complete);
    assert_eq!(response.header("trailer x-sum"), Some("1"));
    assert_eq!(test_bed.last().header("trailer x-check"), ["7"]);
}

#[test]
fn r39_trailers_cannot_set_protected_headers() {
    let test_bed = test_bed();
    let names = [
        "X-Client-Id",
        "x_client_id",
        "X-Forwarded-For",
        "Authorization",
        "Host",
        "Content-Length",
        "X-Check",
    ];
    let trailers: String = names
        .iter()
        .map(|name| format!("{name}: forged\r\n"))
        .collect();
    let response = send(
        test_bed.address,
        format!(
            "POST /open/x HTTP/1.1\r\nHost: a\r\nTrailer: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\n{trailers}\r\n",
            names.join(", ")
        ),
    );
    assert_eq!(response.status, 200);
    let received = test_bed.last();
    let forged: Vec<_> = received
        .headers
        .iter()
        .filter(|(_, value)| value == "forged")
        .collect();
    assert_eq!(forged.len(), 1, "{forged:?}");
    assert_eq!(received.header("trailer x-check"), ["forged"]);
}

#[test]
fn interim_responses_are_forwarded_before_the_final_one() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::InPieces(vec![
            b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(),
            b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nConnection: x\r\n\r\n".to_vec(),
            b"HTTP/1.1 102 Processing\r\n\r\n".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        ])
    });
    let mut connection = Connection::open(test_bed.address);
    for _ in 0..3 {
        connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut next = || connection.try_read(false).expect("a response");
        let hints = next();
        assert_eq!(
            (
                hints.status,
                hints.header("link"),
                hints.header("connection")
            ),
            (103, Some("</style.css>"), None)
        );
        assert_eq!([next().status, next().status], [102, 200]);
    }
    test_bed.upstream.script(|_| {
        Reply::Raw(
            b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                .to_vec(),
        )
    });
    // Interim and final response in one write, and two pipelined requests.
    connection
        .write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let statuses: Vec<_> = (0..4)
        .filter_map(|_| Some(connection.try_read(false)?.status))
        .collect();
    assert_eq!(statuses, [103, 200, 103, 200]);
    let http10 = send(test_bed.address, "GET /open/x HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((http10.status, http10.text()), (200, "ok".to_owned()));
    assert_eq!(test_bed.last().version, "HTTP/1.1");
}

#[test]
fn interim_responses_have_no_length() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        let interim =
            "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::Raw(format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").into_bytes())
    });
    let mut connection = Connection::open(test_bed.address);
    connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    let hints = connection.try_read(false).expect("a response");
    assert_eq!((hints.status, hints.header("link")), (103, Some("</x>")));
    for name in ["content-length", "transfer-encoding"] {
        assert_eq!(
            hints.header(name),
            None,
            "{name} (RFC 9110 §8.6, RFC 9112 §6.1)"
        );
    }
    assert_eq!(connection.read(false).text(), "ok");
}

#[test]
fn bodiless_response_with_framing_closes_the_upstream_connection() {
    for (status, lines, is_kept) in [
        (204, "", true),
        (204, "Content-Length: 0\r\n", true),
        (204, "Content-Length: 4\r\n", false),
        (204, "Transfer-Encoding: chunked\r\n", false),
        (304, "Content-Length: 4\r\n", true),
        (304, "Transfer-Encoding: chunked\r\n", false),
    ] {
        let test_bed = test_bed();
        test_bed.upstream.script(move |_| {
            Reply::Raw(format!("HTTP/1.1 {status} X\r\n{lines}\r\n").into_bytes())
        });
        let before = test_bed.upstream.connections();
        for _ in 0..3 {
            let response = send(test_bed.address, "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(
                (response.status, response.header("transfer-encoding")),
                (status, None),
                "{lines:?}"
            );
            assert!(
                status == 304 || response.header("content-length").is_none(),
                "{lines:?} (RFC 9110 §8.6)"
            );
        }
        let more = test_bed.upstream.connections() - before;
        assert_eq!(
            more < 2,
            is_kept,
            "{status} {lines:?}: {more} more connections"
        );
    }
}

#[test]
fn reason_phrase_outside_ascii_is_forwarded_unchanged() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::Raw(b"HTTP/1.1 404 Nicht verf\xfcgbar\r\nContent-Length: 2\r\n\r\nno".to_vec())
    });
    let mut connection = Connection::open(test_bed.address);
    connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut response = Vec::new();
    std::io::Read::read_to_end(&mut connection.clone_socket(), &mut response).expect("an end");
    assert!(
        response.starts_with(b"HTTP/1.1 404 Nicht verf\xfcgbar\r\n"),
        "{:?}",
        String::from_utf8_lossy(&response)
    );
}

#[test]
fn bodiless_responses_keep_their_connection() {
    let test_bed = test_bed();
    let mut connection = Connection::open(test_bed.address);
    for status in [204, 304] {
        test_bed.upstream.script(move |_| Reply::status(status));
        let response = connection.ask("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(
            (response.status, response.header("transfer-encoding")),
            (status, None)
        );
    }
    test_bed.upstream.script(|_| Reply::text("hello"));
    let head = connection.ask("HEAD /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("5"))
    );
    assert_eq!(
        connection
            .ask("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n")
            .text(),
        "hello"
    );
    assert_eq!(test_bed.upstream.connections(), 1);
}

#[test]
fn request_with_expect_is_refused_before_its_body() {
    let test_bed = test_bed();
    let mut connection = Connection::open(test_bed.address);
    let head =
        "POST /protected HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n";
    connection.write(format!("{head}\r\n"));
    assert_eq!(
        connection.try_read(false).map(|response| response.status),
        Some(401)
    );
    assert_eq!(test_bed.hits(), 0);

    let mut connection = Connection::open(test_bed.address);
    connection.write(format!(
        "{head}Authorization: Bearer {}\r\n\r\n",
        test_bed.token("")
    ));
    assert_eq!(
        connection.try_read(false).map(|response| response.status),
        Some(100)
    );
    connection.write("hello");
    assert_eq!(connection.read(false).status, 200);
    assert_eq!(test_bed.last().body, b"hello");
    assert!(test_bed.last().header("expect").is_empty());
}

#[test]
fn events_are_forwarded_without_delay() {
    let test_bed = test_bed();
    test_bed.upstream.script(|_| {
        Reply::RawThenHang(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ndata: 1\r\n".to_vec(),
        )
    });
    let mut connection = Connection::open(test_bed.address);
    connection.write("GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(
        connection.reads_until("data: 1"),
        "the first event is held back"
    );
}

#[test]
fn large_upload_and_slow_response_are_streamed() {
    let test_bed = test_bed();
    test_bed.upstream.script(|received| {
        Reply::Trickle(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{:08}",
                received.body.len()
            )
            .into_bytes(),
            Duration::from_millis(1),
        )
    });
    let size = 32 * 1024 * 1024;
    let mut connection = Connection::open(test_bed.address);
    connection.write(format!(
        "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    ));
    for _ in 0..32 {
        connection.write(vec![b'x'; 1024 * 1024]);
    }
    assert_eq!(connection.read(false).text(), format!("{size:08}"));
}

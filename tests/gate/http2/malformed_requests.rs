//! Malformed HTTP/2 requests: pseudo-fields, field names and values, and trailers (RFC 9113
//! §8.1.1).

use super::frame_connection::{End, FrameConnection};
use super::frames::{
    DATA, END_HEADERS, HEADERS, NONE, PROTOCOL_ERROR, WHOLE, block, frame, request,
};
use super::requests::{ROUTES, ask};
use harness::TestBed;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn malformed_request_is_reset_and_the_next_one_is_served() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    for fields in [
        &[(":scheme", "http"), (":authority", "a"), (":path", "/x")][..],
        &[(":method", "GET"), (":scheme", "http"), (":authority", "a")],
        &[(":method", "GET"), (":authority", "a"), (":path", "/x")],
        &[
            (":method", "GET"),
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
            (":path", "/x"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            ("x", "y"),
            (":path", "/x"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/x"),
            ("x", "y"),
            (":authority", "a"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
            (":status", "200"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
            (":protocol", "websocket"),
        ],
        &[
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
            (":protocol", "echo"),
        ],
        &[
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
        ],
    ] {
        let response = connection.ask(fields);
        assert_eq!(
            (response.status, response.end),
            (None, Some(End::Reset(PROTOCOL_ERROR))),
            "{fields:?}"
        );
    }
    // RFC 9113 §8.2.2.
    for (name, value) in [
        ("connection", "close"),
        ("connection", "keep-alive, x"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "identity"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        let response = connection.ask(&[&request("POST", "/x")[..], &[(name, value)]].concat());
        assert_eq!(
            (response.status, response.end),
            (None, Some(End::Reset(PROTOCOL_ERROR))),
            "{name}: {value}"
        );
    }
    // Without a path, and with a Host header instead of an authority.
    assert!(
        connection
            .ask(&[(":method", "GET"), (":scheme", "http"), ("host", "a")])
            .is_refusal()
    );
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(
        connection
            .ask(&[&request("GET", "/x")[..], &[("te", "trailers")]].concat())
            .status,
        Some(200)
    );
}

#[test]
fn invalid_field_names_and_values_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    for (name, value) in [
        ("X-Upper", "y"),
        ("Host", "a"),
        ("x y", "z"),
        ("x:y", "z"),
        (":unknown", "z"),
        (":", "z"),
        ("", "z"),
        ("x\u{e4}", "z"),
        ("x\r\ny", "z"),
        ("x", "a\0b"),
        ("x", "a\rb"),
        ("x", "a\nb"),
        ("x", "a\r\ntransfer-encoding: chunked"),
        ("x", "a\u{7f}b"),
    ] {
        let response = ask(
            &test_bed,
            &[&request("GET", "/x")[..], &[(name, value)]].concat(),
        );
        assert!(response.is_refusal(), "{name:?}: {value:?}: {response:?}");
    }
    for method in ["G(T", "", "G T", "GET\r\n", "G\u{e4}T"] {
        assert!(
            ask(&test_bed, &request(method, "/x")).is_refusal(),
            "{method:?}"
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn trailers_with_a_pseudo_field_are_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    for fields in [
        &[(":path", "/y")][..],
        &[(":method", "GET"), ("x-sum", "1")],
        &[(":authority", "b")],
        &[(":scheme", "http")],
        &[(":status", "200")],
        &[("x-sum", "1"), (":path", "/y")],
    ] {
        let hits = test_bed.hits();
        let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
        connection.write(frame(DATA, NONE, stream, b"hello"));
        connection.write(frame(HEADERS, WHOLE, stream, block(fields)));
        let response = connection.response(stream);
        assert!(response.is_refusal(), "{fields:?}: {response:?}");
        assert_eq!(test_bed.hits(), hits, "{fields:?}");
    }
    let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
    connection.write(frame(DATA, NONE, stream, b"hello"));
    connection.write(frame(HEADERS, WHOLE, stream, block(&[("x-sum", "1")])));
    assert_eq!(connection.response(stream).status, Some(200));
    assert_eq!(test_bed.last().header("trailer x-sum"), ["1"]);
}

//! Responses of HTTP/2 upstreams: complete, or visibly truncated (R45).

use super::client::{ask, get};
use super::frame_connection::{End, FrameConnection};
use super::frame_upstream::{self, FrameUpstream, whole_response};
use super::frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INTERNAL_ERROR, NO_ERROR,
    NONE, PUSH_PROMISE, RST_STREAM, WHOLE, block, frame, request,
};
use harness::{Connection, Reply, TestBed, eventually, send};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// The last frame of an upstream on a stream.
type LastFrame = fn(u32) -> Vec<u8>;

#[test]
fn truncated_response_is_truncated_for_every_client() {
    let failures: [(&str, LastFrame); 5] = [
        ("a reset", |stream| {
            frame(RST_STREAM, NONE, stream, INTERNAL_ERROR.to_be_bytes())
        }),
        ("a reset that is no error", |stream| {
            frame(RST_STREAM, NONE, stream, NO_ERROR.to_be_bytes())
        }),
        ("a cancellation", |stream| {
            frame(RST_STREAM, NONE, stream, CANCEL.to_be_bytes())
        }),
        ("a connection error", |_| frame(DATA, NONE, 0, b"x")),
        ("a GOAWAY that excludes the stream", |_| {
            frame(GOAWAY, NONE, 0, [0; 8])
        }),
    ];
    for (what, last_frame) in failures {
        for length in [&[][..], &[("content-length", "10")]] {
            let head = [&[0x88][..], &block(length)].concat();
            let upstream = FrameUpstream::start(&[], move |wire, call| {
                let start = [
                    frame(HEADERS, END_HEADERS, call.stream, &head),
                    frame(DATA, NONE, call.stream, b"hello"),
                ];
                wire.try_write([start.concat(), last_frame(call.stream)].concat());
            });
            let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
            let mut connection = Connection::open(test_bed.address);
            connection.write(GET);
            // If the failure arrives before the head is forwarded, the client gets a 502 or no
            // response.
            let response = connection.try_read(false);
            assert!(
                response.is_none_or(|response| response.status == 502 || !response.complete),
                "{what} {length:?}"
            );
            let response = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
            assert!(
                response.status == Some(502) || matches!(response.end, Some(End::Reset(_))),
                "{what} {length:?}: {response:?}"
            );
        }
    }
}

#[test]
fn response_with_a_wrong_content_length_is_truncated() {
    for body in [&b"hell"[..], b"hello!"] {
        let head = [&[0x88][..], &block(&[("content-length", "5")])].concat();
        let upstream = FrameUpstream::start(&[], move |wire, call| {
            let head = frame(HEADERS, END_HEADERS, call.stream, &head);
            wire.try_write([head, frame(DATA, END_STREAM, call.stream, body)].concat());
        });
        let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
        let response = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
        assert!(
            response.status == Some(502) || matches!(response.end, Some(End::Reset(_))),
            "{body:?}: {response:?}"
        );
        let mut connection = Connection::open(test_bed.address);
        connection.write(GET);
        let response = connection.try_read(false);
        assert!(
            response.is_none_or(|response| response.status == 502 || !response.complete),
            "{body:?}"
        );
    }
}

#[test]
fn early_response_is_complete_though_its_upload_is_refused() {
    // RFC 9113 §8.1: a complete response, then a reset with NO_ERROR.
    let upstream = FrameUpstream::start(&[], |wire, call| {
        let reset = frame(RST_STREAM, NONE, call.stream, NO_ERROR.to_be_bytes());
        wire.try_write([whole_response(call.stream, b"enough"), reset].concat());
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let mut connection = Connection::open(test_bed.address);
    connection.write("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello");
    let response = connection.read(false);
    assert_eq!(
        (response.status, response.text(), response.complete),
        (200, "enough".to_owned(), true)
    );
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let stream = wire.begin_request(END_HEADERS, &request("POST", "/x"));
    wire.write(frame(DATA, NONE, stream, b"hello"));
    let response = wire.response(stream);
    assert_eq!(
        (response.status, response.end, &*response.body),
        (Some(200), Some(End::Whole), &b"enough"[..])
    );
    assert_eq!(upstream.closed(), 0, "the connection stays open");
}

#[test]
fn response_with_a_flood_of_headers_is_a_502() {
    let long = block(&[("x-long", &"x".repeat(16_000))]);
    let many = block(&[("x", "y")]).repeat(2000);
    // A HEADERS frame, twenty CONTINUATION frames, and an empty last one.
    let pieces = |piece: &Vec<u8>| {
        let (first, last) = (
            (HEADERS, END_STREAM, vec![0x88]),
            (CONTINUATION, END_HEADERS, Vec::new()),
        );
        [
            vec![first],
            vec![(CONTINUATION, NONE, piece.clone()); 20],
            vec![last],
        ]
        .concat()
    };
    let endless = [
        vec![(HEADERS, END_STREAM, vec![0x88])],
        vec![(CONTINUATION, NONE, Vec::new()); 500],
    ]
    .concat();
    for (what, frames) in [
        ("long fields", pieces(&long)),
        ("many fields", pieces(&many)),
        ("a head without end", endless),
        ("no status", vec![(HEADERS, WHOLE, block(&[("x", "y")]))]),
        ("a malformed head", vec![(HEADERS, WHOLE, vec![0xff; 9])]),
    ] {
        let upstream = FrameUpstream::start(&[], move |wire, call| {
            if call.earlier > 0 {
                wire.try_write(whole_response(call.stream, b""));
                return;
            }
            for (kind, flags, payload) in &frames {
                wire.try_write(frame(*kind, *flags, call.stream, payload));
            }
        });
        let test_bed = frame_upstream::test_bed("", &upstream, "retries = 0", "public = true");
        let response = send(test_bed.address, GET);
        assert_eq!(
            (response.status, response.challenge()),
            (502, None),
            "{what}"
        );
        assert_eq!(send(test_bed.address, GET).status, 200, "after {what}");
    }
}

#[test]
fn interim_responses_are_accepted_and_a_push_promise_is_a_502() {
    let upstream = FrameUpstream::start(&[], |wire, call| {
        // Two interim responses before the final one.
        let interim = frame(
            HEADERS,
            END_HEADERS,
            call.stream,
            block(&[(":status", "103"), ("link", "</x>")]),
        );
        wire.try_write([interim.repeat(2), whole_response(call.stream, b"hello")].concat());
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let mut connection = Connection::open(test_bed.address);
    let response = connection.ask(GET);
    assert_eq!(
        (response.status, response.text()),
        (200, "hello".to_owned())
    );
    let response = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
    assert_eq!(
        (response.status, &*response.body),
        (Some(200), &b"hello"[..])
    );

    // The gateway disables push (RFC 9113 §6.5.2), so that a promise is a connection error.
    let upstream = FrameUpstream::start(&[], |wire, call| {
        let promised = [&2_u32.to_be_bytes()[..], &block(&request("GET", "/other"))].concat();
        wire.try_write(
            [
                frame(PUSH_PROMISE, END_HEADERS, call.stream, promised),
                whole_response(call.stream, b"hello"),
            ]
            .concat(),
        );
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "retries = 0", "public = true");
    assert_eq!(send(test_bed.address, GET).status, 502);
}

#[test]
fn date_follows_the_wall_clock_over_either_version() {
    let test_bed = TestBed::routes("[[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n");
    let mut connection = Connection::open(test_bed.address);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for (seconds, date) in [
        (0, "Fri, 15 Jan 2027 08:00:00 GMT"),
        (1, "Fri, 15 Jan 2027 08:00:01 GMT"),
        (-3600, "Fri, 15 Jan 2027 07:00:00 GMT"),
        (-3599, "Fri, 15 Jan 2027 07:00:01 GMT"),
    ] {
        test_bed.set_time(seconds);
        // A forwarded response, and one of the gateway itself.
        for path in ["/x", "/nowhere"] {
            assert_eq!(
                connection.ask(request(path)).header("date"),
                Some(date),
                "{path} over HTTP/1.1"
            );
            assert_eq!(
                ask(test_bed.address, get(path, None), b"", None).header("date"),
                Some(date),
                "{path} over HTTP/2"
            );
        }
    }
    // A date from the upstream is kept.
    let date = "Fri, 01 Jan 2027 00:00:00 GMT";
    test_bed
        .upstream
        .script(move |_| Reply::new(200, &[("Date", date)], ""));
    assert_eq!(connection.ask(request("/x")).header("date"), Some(date));
    assert_eq!(
        ask(test_bed.address, get("/x", None), b"", None).header("date"),
        Some(date)
    );
}

#[test]
fn switching_protocols_over_http2_is_a_502() {
    let upstream = FrameUpstream::start(&[], |wire, call| {
        if call.earlier > 0 {
            wire.try_write(whole_response(call.stream, b""));
            return;
        }
        let fields = block(&[(":status", "101"), ("link", "</x>")]);
        wire.try_write(frame(HEADERS, END_HEADERS, call.stream, fields));
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let mut connection = Connection::open(test_bed.address);
    connection
        .write("GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    // The very first head, interim or not.
    assert_eq!(connection.try_read(false).expect("a response").status, 502);
    eventually("the stream is reset", || upstream.resets() == 1);
    assert_eq!(connection.ask(GET).status, 200);
    assert_eq!(
        (upstream.connections(), upstream.calls().len()),
        (1, 2),
        "a stream error, and no retry"
    );
}

#[test]
fn response_with_a_request_pseudo_field_is_a_502_and_a_stream_error() {
    for fields in [
        &[(":status", "200"), (":path", "/x"), ("a", "b")][..],
        &[(":method", "GET"), (":status", "200")],
        &[(":status", "200"), (":authority", "a")],
    ] {
        let head = block(fields);
        let upstream = FrameUpstream::start(&[], move |wire, call| {
            if call.earlier > 0 {
                wire.try_write(whole_response(call.stream, b"hello"));
                return;
            }
            wire.try_write(frame(HEADERS, END_HEADERS, call.stream, &head));
        });
        let test_bed = frame_upstream::test_bed("", &upstream, "retries = 0", "public = true");
        let mut connection = Connection::open(test_bed.address);
        assert_eq!(connection.ask(GET).status, 502, "{fields:?}");
        eventually("the stream is reset", || upstream.resets() == 1);
        assert_eq!(connection.ask(GET).text(), "hello");
        assert_eq!(upstream.connections(), 1, "the connection stays open");
    }
}

#[test]
fn response_trailers_with_a_pseudo_field_truncate_the_response() {
    for fields in [
        &[(":path", "/x")][..],
        &[(":status", "200")],
        &[("x-sum", "1"), (":path", "/x")],
    ] {
        let trailers = block(fields);
        let upstream = FrameUpstream::start(&[], move |wire, call| {
            let head = frame(HEADERS, END_HEADERS, call.stream, [0x88]);
            let data = frame(DATA, NONE, call.stream, b"hello");
            wire.try_write([head, data, frame(HEADERS, WHOLE, call.stream, &trailers)].concat());
        });
        let test_bed = frame_upstream::test_bed("", &upstream, "retries = 0", "public = true");
        let over_http1 = send(test_bed.address, GET);
        assert!(
            over_http1.status == 502 || !over_http1.complete,
            "{fields:?}: {over_http1:?}"
        );
        let response = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
        assert!(
            response.status == Some(502) || response.end == Some(End::Reset(INTERNAL_ERROR)),
            "{fields:?}: {response:?}"
        );
    }
    // Valid trailers are forwarded, also after an interim response.
    let upstream = FrameUpstream::start(&[], |wire, call| {
        let interim = frame(
            HEADERS,
            END_HEADERS,
            call.stream,
            block(&[(":status", "103")]),
        );
        let head = frame(
            HEADERS,
            END_HEADERS,
            call.stream,
            block(&[(":status", "200"), ("trailer", "x-sum")]),
        );
        let rest = frame(DATA, NONE, call.stream, b"hello");
        let trailers = frame(HEADERS, WHOLE, call.stream, block(&[("x-sum", "1")]));
        wire.try_write([interim, head, rest, trailers].concat());
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let whole = ask(test_bed.address, get("/x", None), b"", None);
    assert_eq!(
        (whole.status.as_u16(), &*whole.body, whole.error.is_none()),
        (200, &b"hello"[..], true)
    );
    assert_eq!(whole.trailers.expect("trailers")["x-sum"], "1");
}

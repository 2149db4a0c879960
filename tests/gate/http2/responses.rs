//! Answers of upstreams over HTTP/2: whole, or seen to be broken off (R45).

use super::client::{ask, get};
use super::frame_connection::{End, FrameConnection};
use super::frame_upstream::{self, FrameUpstream, answer};
use super::frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INTERNAL_ERROR, NO_ERROR,
    NONE, PUSH_PROMISE, RST_STREAM, WHOLE, block, frame, request,
};
use harness::{Connection, Reply, TestBed, eventually, send};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// What an upstream says last on a stream.
type LastFrame = fn(u32) -> Vec<u8>;

#[test]
fn truncated_response_is_truncated_for_every_client() {
    let ends: [(&str, LastFrame); 5] = [
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
        ("a goodbye that leaves it out", |_| {
            frame(GOAWAY, NONE, 0, [0; 8])
        }),
    ];
    for (what, end) in ends {
        for length in [&[][..], &[("content-length", "10")]] {
            let head = [&[0x88][..], &block(length)].concat();
            let far = FrameUpstream::start(&[], move |wire, call| {
                let begun = [
                    frame(HEADERS, END_HEADERS, call.stream, &head),
                    frame(DATA, NONE, call.stream, b"hello"),
                ];
                wire.try_write([begun.concat(), end(call.stream)].concat());
            });
            let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
            let mut connection = Connection::open(test_bed.address);
            connection.write(GET);
            // What breaks at once may break before its head is written, and is then no answer at all.
            let answered = connection.try_read(false);
            assert!(
                answered.is_none_or(|answer| answer.status == 502 || !answer.complete),
                "{what} {length:?}"
            );
            let told = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
            assert!(
                told.status == Some(502) || matches!(told.end, Some(End::Reset(_))),
                "{what} {length:?}: {told:?}"
            );
        }
    }
}

#[test]
fn response_with_a_wrong_content_length_is_truncated() {
    for body in [&b"hell"[..], b"hello!"] {
        let head = [&[0x88][..], &block(&[("content-length", "5")])].concat();
        let far = FrameUpstream::start(&[], move |wire, call| {
            let head = frame(HEADERS, END_HEADERS, call.stream, &head);
            wire.try_write([head, frame(DATA, END_STREAM, call.stream, body)].concat());
        });
        let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
        let told = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
        assert!(
            told.status == Some(502) || matches!(told.end, Some(End::Reset(_))),
            "{body:?}: {told:?}"
        );
        let mut connection = Connection::open(test_bed.address);
        connection.write(GET);
        let answered = connection.try_read(false);
        assert!(
            answered.is_none_or(|answer| answer.status == 502 || !answer.complete),
            "{body:?}"
        );
    }
}

#[test]
fn early_response_is_complete_though_its_upload_is_refused() {
    // As RFC 9113 §8.1 has it: the whole answer, and a reset that is no error.
    let far = FrameUpstream::start(&[], |wire, call| {
        let reset = frame(RST_STREAM, NONE, call.stream, NO_ERROR.to_be_bytes());
        wire.try_write([answer(call.stream, b"enough"), reset].concat());
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let mut connection = Connection::open(test_bed.address);
    connection.write("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello");
    let answered = connection.read(false);
    assert_eq!(
        (answered.status, answered.text(), answered.complete),
        (200, "enough".to_owned(), true)
    );
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let stream = wire.begin_request(END_HEADERS, &request("POST", "/x"));
    wire.write(frame(DATA, NONE, stream, b"hello"));
    let told = wire.answer(stream);
    assert_eq!(
        (told.status, told.end, &*told.body),
        (Some(200), Some(End::Whole), &b"enough"[..])
    );
    assert_eq!(far.closed(), 0, "the connection goes on");
}

#[test]
fn response_with_a_flood_of_headers_is_a_502() {
    let long = block(&[("x-long", &"x".repeat(16_000))]);
    let many = block(&[("x", "y")]).repeat(2000);
    // A status, twenty pieces and an end.
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
        ("a head that is none", vec![(HEADERS, WHOLE, vec![0xff; 9])]),
    ] {
        let far = FrameUpstream::start(&[], move |wire, call| {
            if call.earlier > 0 {
                wire.try_write(answer(call.stream, b""));
                return;
            }
            for (kind, flags, payload) in &frames {
                wire.try_write(frame(*kind, *flags, call.stream, payload));
            }
        });
        let test_bed = frame_upstream::test_bed("", &far, "retries = 0", "public = true");
        let answered = send(test_bed.address, GET);
        assert_eq!(
            (answered.status, answered.challenge()),
            (502, None),
            "{what}"
        );
        assert_eq!(send(test_bed.address, GET).status, 200, "after {what}");
    }
}

#[test]
fn interim_responses_are_accepted_and_a_push_promise_is_a_502() {
    let far = FrameUpstream::start(&[], |wire, call| {
        // 103, twice, and then the answer.
        let interim = frame(
            HEADERS,
            END_HEADERS,
            call.stream,
            block(&[(":status", "103"), ("link", "</x>")]),
        );
        wire.try_write([interim.repeat(2), answer(call.stream, b"hello")].concat());
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let mut connection = Connection::open(test_bed.address);
    let answered = connection.ask(GET);
    assert_eq!(
        (answered.status, answered.text()),
        (200, "hello".to_owned())
    );
    let told = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
    assert_eq!((told.status, &*told.body), (Some(200), &b"hello"[..]));

    // A promise is one that the gateway said it takes none of.
    let far = FrameUpstream::start(&[], |wire, call| {
        let promised = [&2_u32.to_be_bytes()[..], &block(&request("GET", "/other"))].concat();
        wire.try_write(
            [
                frame(PUSH_PROMISE, END_HEADERS, call.stream, promised),
                answer(call.stream, b"hello"),
            ]
            .concat(),
        );
    });
    let test_bed = frame_upstream::test_bed("", &far, "retries = 0", "public = true");
    assert_eq!(send(test_bed.address, GET).status, 502);
}

#[test]
fn date_follows_the_wall_clock_over_either_version() {
    let test_bed = TestBed::routes("[[routes]]\npath = \"/x\"\npublic = true\nupstream = \"up\"\n");
    let mut kept = Connection::open(test_bed.address);
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for (seconds, date) in [
        (0, "Fri, 15 Jan 2027 08:00:00 GMT"),
        (1, "Fri, 15 Jan 2027 08:00:01 GMT"),
        (-3600, "Fri, 15 Jan 2027 07:00:00 GMT"),
        (-3599, "Fri, 15 Jan 2027 07:00:01 GMT"),
    ] {
        test_bed.set_time(seconds);
        // Forwarded, and a response of our own.
        for path in ["/x", "/nowhere"] {
            assert_eq!(
                kept.ask(request(path)).header("date"),
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
    // The upstream's own date is the older one, and it stays.
    let date = "Fri, 01 Jan 2027 00:00:00 GMT";
    test_bed
        .upstream
        .script(move |_| Reply::new(200, &[("Date", date)], ""));
    assert_eq!(kept.ask(request("/x")).header("date"), Some(date));
    assert_eq!(
        ask(test_bed.address, get("/x", None), b"", None).header("date"),
        Some(date)
    );
}

#[test]
fn switching_protocols_over_http2_is_a_502() {
    let far = FrameUpstream::start(&[], |wire, call| {
        if call.earlier > 0 {
            wire.try_write(answer(call.stream, b""));
            return;
        }
        let fields = block(&[(":status", "101"), ("link", "</x>")]);
        wire.try_write(frame(HEADERS, END_HEADERS, call.stream, fields));
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let mut connection = Connection::open(test_bed.address);
    connection
        .write("GET /x HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    // The first head of all, interim or not.
    assert_eq!(connection.try_read(false).expect("a response").status, 502);
    eventually("the stream is reset", || far.resets() == 1);
    assert_eq!(connection.ask(GET).status, 200);
    assert_eq!(
        (far.connections(), far.calls().len()),
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
        let far = FrameUpstream::start(&[], move |wire, call| {
            if call.earlier > 0 {
                wire.try_write(answer(call.stream, b"hello"));
                return;
            }
            wire.try_write(frame(HEADERS, END_HEADERS, call.stream, &head));
        });
        let test_bed = frame_upstream::test_bed("", &far, "retries = 0", "public = true");
        let mut connection = Connection::open(test_bed.address);
        assert_eq!(connection.ask(GET).status, 502, "{fields:?}");
        eventually("the stream is reset", || far.resets() == 1);
        assert_eq!(connection.ask(GET).text(), "hello");
        assert_eq!(far.connections(), 1, "the connection goes on");
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
        let far = FrameUpstream::start(&[], move |wire, call| {
            let head = frame(HEADERS, END_HEADERS, call.stream, [0x88]);
            let data = frame(DATA, NONE, call.stream, b"hello");
            wire.try_write([head, data, frame(HEADERS, WHOLE, call.stream, &trailers)].concat());
        });
        let test_bed = frame_upstream::test_bed("", &far, "retries = 0", "public = true");
        let over_http1 = send(test_bed.address, GET);
        assert!(
            over_http1.status == 502 || !over_http1.complete,
            "{fields:?}: {over_http1:?}"
        );
        let told = FrameConnection::open(test_bed.address, &[]).ask(&request("GET", "/x"));
        assert!(
            told.status == Some(502) || told.end == Some(End::Reset(INTERNAL_ERROR)),
            "{fields:?}: {told:?}"
        );
    }
    // And those without go through, interim responses before them.
    let far = FrameUpstream::start(&[], |wire, call| {
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
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let whole = ask(test_bed.address, get("/x", None), b"", None);
    assert_eq!(
        (whole.status.as_u16(), &*whole.body, whole.error.is_none()),
        (200, &b"hello"[..], true)
    );
    assert_eq!(whole.trailers.expect("trailers")["x-sum"], "1");
}

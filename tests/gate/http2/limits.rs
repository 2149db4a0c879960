//! Limits of a client: concurrent streams and the size of each head.

use super::client::{self, get};
use super::frame_connection::{End, FrameConnection};
use super::frames::{
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, NONE, REFUSED_STREAM,
    WHOLE, block, frame, request, settings,
};
use harness::TestBed;

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

#[test]
fn streams_beyond_a_hundred_are_refused_and_the_others_served() {
    let test_bed = TestBed::routes(ROUTES);
    // Without a window, no response ends: every stream stays open.
    let mut connection = FrameConnection::open(test_bed.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    let streams: Vec<u32> = (0..105).map(|_| connection.next_stream()).collect();
    let head = block(&request("GET", "/x"));
    connection.write(
        streams
            .iter()
            .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
            .collect::<Vec<_>>(),
    );
    for &stream in &streams[100..] {
        assert_eq!(
            connection.response(stream).end,
            Some(End::Reset(REFUSED_STREAM)),
            "not processed"
        );
    }
    connection.until(|connection| {
        streams[..100]
            .iter()
            .all(|&stream| connection.stream(stream).status == Some(200))
    });
    assert_eq!(test_bed.hits(), 100);
    connection.write(settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
    for &stream in &streams[..100] {
        let response = connection.response(stream);
        assert_eq!(
            (response.end, &*response.body),
            (Some(End::Whole), &b"hello"[..])
        );
    }
    // A client whose stream was refused may try again.
    assert_eq!(connection.ask(&request("GET", "/x")).status, Some(200));
}

#[test]
fn oversized_head_is_a_431_and_the_next_request_is_served() {
    let test_bed = TestBed::toml(
        "[server]\nmax_headers = 20\nmax_header_size = \"8KiB\"\n",
        "",
        "",
        ROUTES,
    );
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let long = "x".repeat(9 * 1024);
    let names: Vec<String> = (0..30).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (&**name, "1")).collect();
    let crumbs: Vec<_> = names.iter().map(|name| ("cookie", &**name)).collect();
    let path = format!("/{long}");
    for fields in [
        [&request("GET", "/x")[..], &[("x-long", &*long)]].concat(),
        [&request("GET", "/x")[..], &many].concat(),
        [&request("GET", "/x")[..], &crumbs].concat(),
        request("GET", &path),
    ] {
        let response = connection.ask(&fields);
        assert_eq!(
            (response.status, response.end),
            (Some(431), Some(End::Whole))
        );
    }
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(connection.ask(&request("GET", "/x")).status, Some(200));
    // A head below the limit, split over three frames.
    let fits = "x".repeat(7 * 1024);
    let bytes = block(&[&request("GET", "/x")[..], &[("x-long", &*fits)]].concat());
    let stream = connection.next_stream();
    connection.write(frame(HEADERS, END_STREAM, stream, &bytes[..100]));
    connection.write(frame(CONTINUATION, NONE, stream, &bytes[100..4000]));
    connection.write(frame(CONTINUATION, END_HEADERS, stream, &bytes[4000..]));
    assert_eq!(
        (
            connection.response(stream).status,
            test_bed.last().header("x-long")
        ),
        (Some(200), vec![&*fits])
    );
}

#[test]
fn upload_with_an_oversized_head_is_a_431() {
    let test_bed = TestBed::toml(
        "[server]\nmax_headers = 20\nmax_header_size = \"8KiB\"\n",
        "",
        "",
        ROUTES,
    );
    let long = "x".repeat(9 * 1024);
    let names: Vec<String> = (0..30).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (&**name, "1")).collect();
    for fields in [&[("x-long", &*long)][..], &many] {
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        let stream =
            connection.begin_request(END_HEADERS, &[&request("POST", "/x")[..], fields].concat());
        connection.until(|connection| connection.stream(stream).status.is_some());
        assert_eq!(connection.stream(stream).status, Some(431));
        assert_eq!(connection.ask(&request("GET", "/x")).status, Some(200));
    }
    assert!(
        test_bed
            .upstream
            .received()
            .iter()
            .all(|received| received.method == "GET")
    );
}

#[test]
fn hpack_bomb_is_refused() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    // A field of 4 KB with incremental indexing (RFC 7541 §6.2.1), then one byte for each reference
    // to it (§6.1).
    let value = "x".repeat(4000);
    let indexed = block(&[("x-bomb", &value)]);
    let bytes = [
        &block(&request("GET", "/x"))[..],
        &[0x40],
        &indexed[1..],
        &[0x80 | 62; 10_000],
    ]
    .concat();
    let stream = connection.next_stream();
    connection.write(frame(HEADERS, WHOLE, stream, bytes));
    let response = connection.response(stream);
    assert!(response.is_refusal(), "{response:?}");
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(
        client::ask(test_bed.address, get("/x", None), b"", None).status,
        200
    );
}

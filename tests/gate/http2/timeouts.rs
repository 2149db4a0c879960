//! Timeouts of a client: preface, head and next request.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::concurrently;
use super::frame_connection::{End, FrameConnection, StreamState, connect};
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, NO_ERROR, PREFACE, WHOLE, block, frame,
    request, settings,
};
use super::identity::tls_gateway;
use harness::{Authority, Reply, Server, TIMEOUT, TestBed, eventually};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";
/// The other timeouts keep their defaults, which exceed the duration of a test.
const SHORT_HEAD: &str = "[server]\nheader_timeout = \"300ms\"\n";

/// Asserts that the gateway closes the connection after its timeout, and not much later.
fn assert_times_out(connection: &mut FrameConnection, began: Instant, what: &str) {
    assert!(connection.is_closed(), "{what}");
    assert!(
        (250..4000).contains(&began.elapsed().as_millis()),
        "{what}: after {:?}",
        began.elapsed()
    );
}

/// Writes single bytes with pauses until the gateway closes the connection.
fn trickle(connection: &mut FrameConnection, bytes: &[u8]) {
    for byte in bytes {
        if !connection.try_write([*byte]) {
            return;
        }
        // Paces the bytes: the timeout counts from the first byte, and each further byte must not
        // extend it.
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn incomplete_head_times_out_and_closes_the_connection() {
    let test_bed = TestBed::toml(SHORT_HEAD, "", "", ROUTES);
    let bytes = block(&[&request("GET", "/x")[..], &[("x-long", &"x".repeat(200))]].concat());
    let (one, other) = bytes.split_at(20);
    let first_frame = frame(HEADERS, END_STREAM, 1, one);
    let cases = [
        ("half a head", first_frame.clone(), Vec::new()),
        (
            "a trickle in a second frame",
            first_frame.clone(),
            frame(CONTINUATION, END_HEADERS, 1, other),
        ),
        (
            "a trickle in a first frame of two",
            Vec::new(),
            frame(HEADERS, END_STREAM, 1, &bytes),
        ),
        (
            "a trickle in the only frame",
            Vec::new(),
            frame(HEADERS, WHOLE, 1, &bytes),
        ),
        (
            "half of the only frame",
            frame(HEADERS, WHOLE, 1, &bytes)[..100].to_vec(),
            Vec::new(),
        ),
    ];
    concurrently(cases, |(what, sent, trickled)| {
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        assert!(connection.ping());
        let began = Instant::now();
        connection.write(sent);
        trickle(&mut connection, &trickled);
        assert_times_out(&mut connection, began, what);
    });
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn incomplete_head_closes_a_connection_with_a_request_in_flight() {
    let test_bed = TestBed::toml(SHORT_HEAD, "", "", ROUTES);
    test_bed.upstream.script(|_| {
        Reply::RawThenHang(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec())
    });
    let bytes = block(&request("GET", "/x"));
    let cases = [
        (
            "a frame that is not the last",
            frame(HEADERS, END_STREAM, 3, &bytes),
        ),
        (
            "half a frame",
            frame(HEADERS, WHOLE, 3, &bytes)[..30].to_vec(),
        ),
    ];
    let closed = test_bed.upstream.closed();
    concurrently(cases, |(what, half)| {
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        let stream = connection.begin_request(WHOLE, &request("GET", "/hangs"));
        connection.until(|connection| connection.stream(stream).status == Some(200));
        let began = Instant::now();
        connection.write(half);
        assert_times_out(&mut connection, began, what);
    });
    eventually("the requests are cancelled", || {
        test_bed.upstream.closed() >= closed + 2
    });
}

#[test]
fn header_timeout_does_not_limit_the_body_or_the_response() {
    let test_bed = TestBed::toml(SHORT_HEAD, "", "", ROUTES);
    test_bed.upstream.script(|_| {
        // Longer than the head timeout under test.
        thread::sleep(Duration::from_millis(500));
        Reply::text("late")
    });
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let upload = connection.begin_request(END_HEADERS, &request("POST", "/x"));
    let bytes = block(&request("GET", "/x"));
    let stream = connection.next_stream();
    connection.write(frame(HEADERS, END_STREAM, stream, &bytes[..20]));
    // Within the head timeout under test.
    thread::sleep(Duration::from_millis(50));
    connection.write(frame(CONTINUATION, END_HEADERS, stream, &bytes[20..]));
    assert_eq!(connection.response(stream).status, Some(200));
    // The header timeout does not apply to the upload either.
    connection.write(frame(DATA, END_STREAM, upload, b"late"));
    assert_eq!(connection.response(upload).status, Some(200));
}

#[test]
fn incomplete_preface_times_out_and_closes_the_connection() {
    let test_bed = TestBed::toml(SHORT_HEAD, "", "", ROUTES);
    let whole = [PREFACE, &settings(&[])].concat();
    let cases = [
        ("a trickle", &b""[..], &whole[..30]),
        ("half a preface", &PREFACE[..10], &[][..]),
        ("a preface and nothing", PREFACE, &[]),
        ("a preface and half a frame", &whole[..30], &[]),
    ];
    concurrently(cases, |(what, sent, trickled)| {
        let mut connection = FrameConnection::over(connect(test_bed.address));
        connection.acknowledges = false;
        let began = Instant::now();
        connection.write(sent);
        trickle(&mut connection, trickled);
        assert_times_out(&mut connection, began, what);
    });
}

/// A TLS connection to `a.test` that has negotiated HTTP/2 and sent nothing.
pub(super) fn connect_h2(authority: &Authority, address: SocketAddr) -> FrameConnection {
    let mut config = authority.client_config(None);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("a.test").expect("a name");
    let mut session = ClientConnection::new(Arc::new(config), name).expect("a session");
    let mut socket = connect(address);
    while session.is_handshaking() {
        session.complete_io(&mut socket).expect("a handshake");
    }
    assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
    FrameConnection::over(StreamOwned::new(session, socket))
}

#[test]
fn silent_client_after_alpn_is_disconnected() {
    let (authority, upstream) = (
        Authority::generate(),
        Server::start(|_| Reply::text("hello")),
    );
    let gateway = tls_gateway(&authority, "header_timeout = \"300ms\"", &upstream);
    concurrently([&b""[..], &PREFACE[..10], PREFACE], |sent| {
        let mut connection = connect_h2(&authority, gateway.addresses[1]);
        connection.acknowledges = false;
        let began = Instant::now();
        connection.write(sent);
        assert_times_out(&mut connection, began, "silence");
    });
    // The negotiated protocol is the only one accepted.
    let mut connection = connect_h2(&authority, gateway.addresses[1]);
    connection.write("GET /x HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(connection.is_closed());
    assert_eq!(upstream.hits(), 0);
}

const SHORT_IDLE: &str = "[server]\nkeep_alive_timeout = \"300ms\"\nheader_timeout = \"300ms\"\n";

#[test]
fn idle_connection_gets_a_goaway_despite_pings() {
    let test_bed = TestBed::toml(SHORT_IDLE, "", "", ROUTES);
    concurrently([false, true], |has_request| {
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        if has_request {
            assert_eq!(connection.ask(&request("GET", "/x")).status, Some(200));
        }
        let began = Instant::now();
        while connection.goaways.is_empty() && connection.ping() {
            assert!(began.elapsed() < Duration::from_secs(4));
            // Paces the pings.
            thread::sleep(Duration::from_millis(20));
        }
        assert_times_out(
            &mut connection,
            began,
            "a client that leaves after the GOAWAY",
        );
        assert!(
            !connection.goaways.is_empty()
                && connection.goaways.iter().all(|code| *code == NO_ERROR),
            "{:?}",
            connection.goaways
        );
    });
}

#[test]
fn connection_with_a_request_in_flight_is_not_idle() {
    let test_bed = TestBed::toml(SHORT_IDLE, "", "", ROUTES);
    test_bed.upstream.script(|_| {
        // Longer than the idle timeout under test.
        thread::sleep(Duration::from_millis(700));
        Reply::text("late")
    });
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let response = connection.ask(&request("GET", "/x"));
    assert_eq!(
        (response.status, response.end, &*connection.goaways),
        (Some(200), Some(End::Whole), &[][..])
    );
}

#[test]
fn client_that_ignores_a_goaway_is_disconnected() {
    let test_bed = TestBed::toml(SHORT_IDLE, "", "", ROUTES);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    // It does not acknowledge the PING either.
    connection.acknowledges = false;
    let began = Instant::now();
    assert_times_out(&mut connection, began, "a client that ignores the GOAWAY");
    assert_eq!(connection.goaways.first(), Some(&NO_ERROR));
}

#[test]
fn client_that_sends_requests_after_a_goaway_is_disconnected() {
    let test_bed = TestBed::toml(SHORT_IDLE, "", "", ROUTES);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    connection.acknowledges = false;
    connection.until(|connection| !connection.goaways.is_empty());
    let began = Instant::now();
    // The gateway serves requests that cross the GOAWAY; these are sent after it.
    while !matches!(
        connection.ask(&request("GET", "/x")),
        StreamState { status: None, .. }
    ) {
        assert!(
            began.elapsed() < Duration::from_secs(4),
            "requests are still served"
        );
        // Paces the requests.
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn idle_connection_is_evicted_with_a_goaway_and_one_with_a_stream_is_not() {
    let test_bed = TestBed::toml("[server]\nmax_connections = 2\n", "", "", ROUTES);
    let (release, released) = channel();
    let released = Mutex::new(released);
    test_bed.upstream.script(move |received| {
        if received.target == "/held" {
            let _ = released.lock().expect("no panic").recv_timeout(TIMEOUT);
        }
        Reply::text("hello")
    });
    let (mut busy, mut idle) = (
        FrameConnection::open(test_bed.address, &[]),
        FrameConnection::open(test_bed.address, &[]),
    );
    let stream = busy.begin_request(WHOLE, &request("GET", "/held"));
    assert_eq!(idle.ask(&request("GET", "/x")).status, Some(200));
    eventually("both requests arrive", || test_bed.hits() == 2);
    assert_eq!(test_bed.get("/x", None).status, 200);
    assert!(idle.is_closed());
    assert_eq!(idle.goaways, [NO_ERROR]);
    release.send(()).expect("the upstream waits");
    assert_eq!(busy.response(stream).status, Some(200));
}

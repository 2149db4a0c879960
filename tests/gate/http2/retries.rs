//! HTTP/2 upstreams that refuse or drop requests: only safe retries happen (RFC 9113 §8.7).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::frame_connection::{End, FrameConnection};
use super::frame_upstream::{self, FAR_ROUTE, FrameUpstream, whole_response};
use super::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, INTERNAL_ERROR,
    MAX_CONCURRENT_STREAMS, MAX_WINDOW, NO_ERROR, NONE, PREFACE, REFUSED_STREAM, RST_STREAM, WHOLE,
    block, frame, request, settings,
};
use super::refusing_port;
use harness::{Gateway, TIMEOUT, eventually, send};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

fn goaway(last_stream: u32, code: u32) -> Vec<u8> {
    frame(
        GOAWAY,
        NONE,
        0,
        [last_stream.to_be_bytes(), code.to_be_bytes()].concat(),
    )
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, NONE, stream, code.to_be_bytes())
}

#[test]
fn refused_request_is_retried_unless_it_has_a_body() {
    // Every other request is refused.
    let upstream = FrameUpstream::start(&[], |connection, call| {
        let is_refused = call.earlier % 2 == 0;
        let frames = if is_refused {
            reset(call.stream, REFUSED_STREAM)
        } else {
            whole_response(call.stream, b"hello")
        };
        connection.try_write(frames);
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let response = send(test_bed.address, GET);
    assert_eq!(
        (response.status, response.text(), upstream.calls().len()),
        (200, "hello".to_owned(), 2)
    );
    assert_eq!(send(test_bed.address, POST).status, 502);
    assert_eq!(
        upstream.calls().len(),
        3,
        "a request with a body is not retried"
    );
}

#[test]
fn request_unprocessed_before_a_goaway_is_retried_on_another_connection() {
    for (request, status) in [(GET, 200), (POST, 502)] {
        // The first connection sends a GOAWAY that excludes the request.
        let upstream = FrameUpstream::start(&[], |connection, call| {
            connection.try_write(if call.connection == 1 {
                goaway(0, NO_ERROR)
            } else {
                whole_response(call.stream, b"")
            });
        });
        let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
        assert_eq!(send(test_bed.address, request).status, status);
        assert_eq!(upstream.calls().len(), if status == 200 { 2 } else { 1 });
        // In either case, the next request does not use the closing connection.
        assert_eq!(send(test_bed.address, request).status, 200);
        assert_eq!(upstream.connections(), 2);
    }
}

#[test]
fn request_that_may_have_had_an_effect_is_not_retried() {
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let delete = "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n";
    for request in [POST, post, delete] {
        for code in [NO_ERROR, INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM] {
            let upstream = FrameUpstream::start(&[], move |connection, call| {
                _ = connection.try_write(reset(call.stream, code))
            });
            let test_bed = frame_upstream::test_bed("", &upstream, "retries = 5", "public = true");
            assert_eq!(
                (
                    send(test_bed.address, request).status,
                    upstream.calls().len()
                ),
                (502, 1),
                "{request} {code}"
            );
        }
    }
}

#[test]
fn safe_request_is_retried_up_to_the_configured_limit() {
    let upstream = FrameUpstream::start(&[], |connection, call| {
        _ = connection.try_write(reset(call.stream, INTERNAL_ERROR))
    });
    for (retries, times) in [("retries = 0", 1), ("", 2), ("retries = 3", 4)] {
        let calls = upstream.calls().len();
        let test_bed = frame_upstream::test_bed("", &upstream, retries, "public = true");
        assert_eq!(
            (
                send(test_bed.address, GET).status,
                upstream.calls().len() - calls
            ),
            (502, times),
            "{retries}"
        );
    }
}

/// An upstream that writes these bytes on each connection and closes it; it counts connections.
fn closing_upstream(greeting: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (address, connections) = (
        listener.local_addr().expect("a bound socket"),
        Arc::new(AtomicUsize::new(0)),
    );
    let counted = Arc::clone(&connections);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            // Reads the preface first: closing with unread bytes would reset the connection and
            // discard the greeting.
            let mut preface = [0; PREFACE.len()];
            let _ = socket
                .read_exact(&mut preface)
                .and_then(|()| socket.write_all(&greeting));
        }
    });
    (address, connections)
}

#[test]
fn upstream_that_closes_after_its_settings_is_a_502_with_few_connections() {
    for greeting in [
        settings(&[]),
        [settings(&[]), goaway(0, NO_ERROR)].concat(),
        goaway(0, NO_ERROR),
    ] {
        for (request, retries) in [(GET, 0), (POST, 0), (GET, 3)] {
            let (address, connections) = closing_upstream(greeting.clone());
            let gateway = Gateway::start(&format!(
                "[upstreams.far]\ntargets = \"http://{address}\"\nprotocol = \"http2\"\nretries = {retries}\n{FAR_ROUTE}public = true\n"
            ));
            // 503 as soon as the target is ejected.
            let status = send(gateway.address, request).status;
            let connections = connections.load(Ordering::SeqCst);
            assert!(matches!(status, 502 | 503), "{status}");
            assert!(
                connections <= 2 * (retries + 1),
                "{connections} connections"
            );
        }
    }
}

#[test]
fn connection_that_sent_a_goaway_is_not_reused() {
    for retries in ["", "retries = 0"] {
        // Servers that restart send a GOAWAY and finish their open streams.
        let upstream = FrameUpstream::start(&[], |connection, call| {
            if call.connection == 1 {
                let head = frame(HEADERS, END_HEADERS, call.stream, [0x88]);
                let goaway = goaway(MAX_WINDOW, NO_ERROR);
                connection
                    .try_write([head, frame(DATA, NONE, call.stream, b"begun"), goaway].concat());
            } else {
                connection.try_write(whole_response(call.stream, b""));
            }
        });
        let test_bed = frame_upstream::test_bed("", &upstream, retries, "public = true");
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        let stream = connection.begin_request(WHOLE, &request("GET", "/long"));
        connection.until(|connection| {
            !connection.stream(stream).body.is_empty() || connection.stream(stream).end.is_some()
        });
        // These requests were never sent on the closing connection: with `retries = 0` they succeed
        // too.
        for request in [POST, GET, POST] {
            assert_eq!(send(test_bed.address, request).status, 200, "{retries}");
        }
        assert_eq!(
            (
                connection.stream(stream).end,
                upstream.connections(),
                upstream.closed()
            ),
            (None, 2, 0)
        );
    }
}

#[test]
fn upstream_with_one_stream_per_connection_gets_one_connection_per_request() {
    static RECEIVED: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
    let upstream = FrameUpstream::start(&[(MAX_CONCURRENT_STREAMS, 1)], |connection, call| {
        // No response before all requests have arrived.
        let mut received = RECEIVED.0.lock().expect("no panic");
        *received += 1;
        RECEIVED.1.notify_all();
        let waited = RECEIVED
            .1
            .wait_timeout_while(received, TIMEOUT, |received| *received < 5)
            .expect("no panic");
        assert!(!waited.1.timed_out());
        connection.try_write(whole_response(call.stream, b""));
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| assert_eq!(send(test_bed.address, POST).status, 200));
        }
    });
    assert_eq!(upstream.connections(), 5);
    // The connections are reused.
    for _ in 0..5 {
        assert_eq!(send(test_bed.address, GET).status, 200);
    }
    assert_eq!(upstream.connections(), 5);
}

#[test]
fn burst_of_first_requests_opens_one_connection() {
    let upstream = FrameUpstream::start(&[], |connection, call| {
        _ = connection.try_write(whole_response(call.stream, b"hello"))
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let head = block(&request("GET", "/x"));
    let streams: Vec<u32> = (0..30).map(|_| connection.next_stream()).collect();
    connection.write(
        streams
            .iter()
            .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
            .collect::<Vec<_>>(),
    );
    for stream in streams {
        assert_eq!(connection.response(stream).end, Some(End::Whole));
    }
    assert_eq!((upstream.connections(), upstream.calls().len()), (1, 30));
}

#[test]
fn burst_of_first_requests_fails_together_without_an_upstream() {
    let (_socket, address) = refusing_port();
    let gateway = Gateway::start(&format!(
        "[upstreams.far]\ntargets = \"http://{address}\"\nprotocol = \"http2\"\n{FAR_ROUTE}public = true\n"
    ));
    let mut connection = FrameConnection::open(gateway.address, &[]);
    let head = block(&request("GET", "/x"));
    let streams: Vec<u32> = (0..30).map(|_| connection.next_stream()).collect();
    connection.write(
        streams
            .iter()
            .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
            .collect::<Vec<_>>(),
    );
    for stream in streams {
        let response = connection.response(stream);
        // 503 as soon as the target is ejected.
        assert!(matches!(response.status, Some(502 | 503)), "{response:?}");
    }
}

#[test]
fn idle_connection_is_closed_and_one_with_a_request_in_flight_is_not() {
    let upstream = FrameUpstream::start(&[], |connection, call| {
        if call.earlier == 0 {
            connection.try_write(whole_response(call.stream, b""));
        } else {
            connection.try_write(frame(HEADERS, END_HEADERS, call.stream, [0x88]));
        }
    });
    let test_bed = frame_upstream::test_bed(
        "",
        &upstream,
        "pool_idle_timeout = \"200ms\"",
        "public = true",
    );
    assert_eq!(send(test_bed.address, GET).status, 200);
    eventually("the idle connection is closed", || upstream.closed() == 1);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(WHOLE, &request("GET", "/x"));
    connection.until(|connection| connection.stream(stream).status == Some(200));
    // Longer than the idle timeout: shows that the connection stays open.
    thread::sleep(Duration::from_millis(500));
    assert_eq!((upstream.connections(), upstream.closed()), (2, 1));
    connection.write(reset(stream, CANCEL));
    eventually("the connection is closed after its last stream", || {
        upstream.closed() == 2
    });
}

#[test]
fn complete_bodies_are_forwarded_over_one_connection() {
    let upstream = FrameUpstream::start(&[], |connection, call| {
        if call.is_whole {
            connection.try_write(whole_response(call.stream, b""));
        } else {
            let stream = call.stream;
            connection.until(|connection| connection.stream(stream).end.is_some());
            let body = connection.stream(stream).body;
            connection.try_write(whole_response(stream, &body));
        }
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let chunked =
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for request in [POST, chunked] {
        assert_eq!(send(test_bed.address, request).text(), "hello");
    }
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
    connection.write(
        [
            frame(DATA, NONE, stream, b"hel"),
            frame(DATA, END_STREAM, stream, b"lo"),
        ]
        .concat(),
    );
    assert_eq!(connection.response(stream).body, b"hello");
    assert_eq!(upstream.connections(), 1);
}

//! Upstreams over HTTP/2 that turn a request away: what may be sent again is, and nothing else (RFC 9113 §8.7).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use super::frame_connection::{End, FrameConnection};
use super::frame_upstream::{self, FAR, FrameUpstream, answer};
use super::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, INTERNAL_ERROR,
    LARGEST_WINDOW, MAX_CONCURRENT_STREAMS, NO_ERROR, NONE, PREFACE, REFUSED_STREAM, RST_STREAM,
    WHOLE, block, frame, request, settings,
};
use super::held;
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
    // Every other one is refused.
    let far = FrameUpstream::start(&[], |wire, call| {
        let refuses = call.earlier % 2 == 0;
        let said = if refuses {
            reset(call.stream, REFUSED_STREAM)
        } else {
            answer(call.stream, b"hello")
        };
        wire.try_write(said);
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let answered = send(test_bed.address, GET);
    assert_eq!(
        (answered.status, answered.text(), far.calls().len()),
        (200, "hello".to_owned(), 2)
    );
    assert_eq!(send(test_bed.address, POST).status, 502);
    assert_eq!(far.calls().len(), 3, "a body is not sent twice");
}

#[test]
fn request_unprocessed_before_a_goaway_is_retried_on_another_connection() {
    for (request, status) in [(GET, 200), (POST, 502)] {
        // The first connection goes with the request on its way.
        let far = FrameUpstream::start(&[], |wire, call| {
            wire.try_write(if call.connection == 1 {
                goaway(0, NO_ERROR)
            } else {
                answer(call.stream, b"")
            });
        });
        let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
        assert_eq!(send(test_bed.address, request).status, status);
        assert_eq!(far.calls().len(), if status == 200 { 2 } else { 1 });
        // Whatever became of that one, the next takes no connection that goes.
        assert_eq!(send(test_bed.address, request).status, 200);
        assert_eq!(far.connections(), 2);
    }
}

#[test]
fn request_that_may_have_had_an_effect_is_not_retried() {
    let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    let delete = "DELETE /x HTTP/1.1\r\nHost: a\r\n\r\n";
    for request in [POST, post, delete] {
        for code in [NO_ERROR, INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM] {
            let far = FrameUpstream::start(&[], move |wire, call| {
                _ = wire.try_write(reset(call.stream, code))
            });
            let test_bed = frame_upstream::test_bed("", &far, "retries = 5", "public = true");
            assert_eq!(
                (send(test_bed.address, request).status, far.calls().len()),
                (502, 1),
                "{request} {code}"
            );
        }
    }
}

#[test]
fn safe_request_is_retried_up_to_the_configured_limit() {
    let far = FrameUpstream::start(&[], |wire, call| {
        _ = wire.try_write(reset(call.stream, INTERNAL_ERROR))
    });
    for (retries, times) in [("retries = 0", 1), ("", 2), ("retries = 3", 4)] {
        let calls = far.calls().len();
        let test_bed = frame_upstream::test_bed("", &far, retries, "public = true");
        assert_eq!(
            (
                send(test_bed.address, GET).status,
                far.calls().len() - calls
            ),
            (502, times),
            "{retries}"
        );
    }
}

/// An upstream that says this on each connection and then closes it, and how many connections there were.
fn greeting(said: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (address, connections) = (
        listener.local_addr().expect("bound"),
        Arc::new(AtomicUsize::new(0)),
    );
    let counted = Arc::clone(&connections);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            counted.fetch_add(1, Ordering::SeqCst);
            // So that nothing is left unread, which would take back what is said.
            let mut preface = [0; PREFACE.len()];
            let _ = socket
                .read_exact(&mut preface)
                .and_then(|()| socket.write_all(&said));
        }
    });
    (address, connections)
}

#[test]
fn upstream_that_closes_after_its_settings_is_a_502_with_few_connections() {
    for said in [
        settings(&[]),
        [settings(&[]), goaway(0, NO_ERROR)].concat(),
        goaway(0, NO_ERROR),
    ] {
        for (request, retries) in [(GET, 0), (POST, 0), (GET, 3)] {
            let (address, connections) = greeting(said.clone());
            let gateway = Gateway::start(&format!(
                "[upstreams.far]\ntargets = \"http://{address}\"\nprotocol = \"http2\"\nretries = {retries}\n{FAR}public = true\n"
            ));
            // 503 once the target is given a rest.
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
        // As servers do that are restarted: they say that they will go, and finish what they have.
        let far = FrameUpstream::start(&[], |wire, call| {
            if call.connection == 1 {
                let begun = frame(HEADERS, END_HEADERS, call.stream, [0x88]);
                let going = goaway(LARGEST_WINDOW, NO_ERROR);
                wire.try_write([begun, frame(DATA, NONE, call.stream, b"begun"), going].concat());
            } else {
                wire.try_write(answer(call.stream, b""));
            }
        });
        let test_bed = frame_upstream::test_bed("", &far, retries, "public = true");
        let mut wire = FrameConnection::open(test_bed.address, &[]);
        let stream = wire.begin_request(WHOLE, &request("GET", "/long"));
        wire.until(|wire| !wire.told(stream).body.is_empty() || wire.told(stream).end.is_some());
        // Nothing of it was sent on the connection that goes, so it is no second attempt.
        for request in [POST, GET, POST] {
            assert_eq!(send(test_bed.address, request).status, 200, "{retries}");
        }
        assert_eq!(
            (wire.told(stream).end, far.connections(), far.closed()),
            (None, 2, 0)
        );
    }
}

#[test]
fn upstream_with_one_stream_per_connection_gets_one_connection_per_request() {
    static HERE: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());
    let far = FrameUpstream::start(&[(MAX_CONCURRENT_STREAMS, 1)], |wire, call| {
        // None is answered before all are here.
        let mut here = HERE.0.lock().expect("no panic");
        *here += 1;
        HERE.1.notify_all();
        let waited = HERE
            .1
            .wait_timeout_while(here, TIMEOUT, |here| *here < 5)
            .expect("no panic");
        assert!(!waited.1.timed_out());
        wire.try_write(answer(call.stream, b""));
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| assert_eq!(send(test_bed.address, POST).status, 200));
        }
    });
    assert_eq!(far.connections(), 5);
    // They are used again.
    for _ in 0..5 {
        assert_eq!(send(test_bed.address, GET).status, 200);
    }
    assert_eq!(far.connections(), 5);
}

#[test]
fn burst_of_first_requests_opens_one_connection() {
    let far = FrameUpstream::start(&[], |wire, call| {
        _ = wire.try_write(answer(call.stream, b"hello"))
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let head = block(&request("GET", "/x"));
    let streams: Vec<u32> = (0..30).map(|_| wire.next_stream()).collect();
    wire.write(
        streams
            .iter()
            .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
            .collect::<Vec<_>>(),
    );
    for stream in streams {
        assert_eq!(wire.answer(stream).end, Some(End::Whole));
    }
    assert_eq!((far.connections(), far.calls().len()), (1, 30));
}

#[test]
fn burst_of_first_requests_fails_together_without_an_upstream() {
    let (_held, address) = held();
    let gateway = Gateway::start(&format!(
        "[upstreams.far]\ntargets = \"http://{address}\"\nprotocol = \"http2\"\n{FAR}public = true\n"
    ));
    let mut wire = FrameConnection::open(gateway.address, &[]);
    let head = block(&request("GET", "/x"));
    let streams: Vec<u32> = (0..30).map(|_| wire.next_stream()).collect();
    wire.write(
        streams
            .iter()
            .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
            .collect::<Vec<_>>(),
    );
    for stream in streams {
        let told = wire.answer(stream);
        // 503 once the target is given a rest.
        assert!(matches!(told.status, Some(502 | 503)), "{told:?}");
    }
}

#[test]
fn idle_connection_is_closed_and_one_with_a_request_in_flight_is_not() {
    let far = FrameUpstream::start(&[], |wire, call| {
        if call.earlier == 0 {
            wire.try_write(answer(call.stream, b""));
        } else {
            wire.try_write(frame(HEADERS, END_HEADERS, call.stream, [0x88]));
        }
    });
    let test_bed =
        frame_upstream::test_bed("", &far, "pool_idle_timeout = \"200ms\"", "public = true");
    assert_eq!(send(test_bed.address, GET).status, 200);
    eventually("it is closed", || far.closed() == 1);
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let stream = wire.begin_request(WHOLE, &request("GET", "/x"));
    wire.until(|wire| wire.told(stream).status == Some(200));
    // Shows that the connection stays open: an absence has no condition to wait for.
    thread::sleep(Duration::from_millis(500));
    assert_eq!((far.connections(), far.closed()), (2, 1));
    wire.write(reset(stream, CANCEL));
    eventually("it is closed as well", || far.closed() == 2);
}

#[test]
fn complete_bodies_are_forwarded_over_one_connection() {
    let far = FrameUpstream::start(&[], |wire, call| {
        if call.is_whole {
            wire.try_write(answer(call.stream, b""));
        } else {
            let stream = call.stream;
            wire.until(|wire| wire.told(stream).end.is_some());
            let body = wire.told(stream).body;
            wire.try_write(answer(stream, &body));
        }
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let chunked =
        "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for request in [POST, chunked] {
        assert_eq!(send(test_bed.address, request).text(), "hello");
    }
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let stream = wire.begin_request(END_HEADERS, &request("POST", "/x"));
    wire.write(
        [
            frame(DATA, NONE, stream, b"hel"),
            frame(DATA, END_STREAM, stream, b"lo"),
        ]
        .concat(),
    );
    assert_eq!(wire.answer(stream).body, b"hello");
    assert_eq!(far.connections(), 1);
}

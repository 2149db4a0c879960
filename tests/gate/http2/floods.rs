//! Clients that flood the gateway with frames: each is disconnected, and another client of the same
//! worker is served meanwhile.
//!
//! CVE-2019-9511 to 9518, CVE-2023-44487 (rapid reset), CVE-2024-27316 and its kind (CONTINUATION),
//! CVE-2025-8671 (MadeYouReset).

use std::thread;
use std::time::{Duration, Instant};

use super::frame_connection::FrameConnection;
use super::frame_upstream::{self, FrameUpstream};
use super::frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, HEADERS, INITIAL_WINDOW_SIZE, MAX_WINDOW, NONE,
    PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block, frame,
    request, settings,
};
use harness::{Connection, TestBed, eventually};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";
/// Exceeds the burst limit, and is sent faster than the limit refills.
const FLOOD: usize = 5000;

fn ones() -> [u8; 4] {
    1_u32.to_be_bytes()
}

/// Floods the gateway beside another client: the first is disconnected, the other one is served.
fn assert_flood_is_cut_off(
    what: &str,
    test_bed: &TestBed,
    flood: impl FnOnce(&mut FrameConnection) + Send,
) {
    let mut neighbour = Connection::open(test_bed.address);
    let get = format!(
        "GET /_ready HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
        test_bed.token("")
    );
    assert_eq!(neighbour.ask(&get).status, 200);
    // The duration without a flood, because the machine may be busy.
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(neighbour.ask(&get).status, 200);
    }
    let unloaded = began.elapsed();
    let address = test_bed.address;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut connection = FrameConnection::open(address, &[]);
            flood(&mut connection);
            assert!(connection.is_closed(), "{what}");
        });
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(neighbour.ask(&get).status, 200, "{what}");
        }
        let bound = Duration::from_secs(5) + 50 * unloaded;
        assert!(
            began.elapsed() < bound,
            "{what}: {:?} for 50 after {unloaded:?} for 10 without a flood",
            began.elapsed()
        );
    });
}

#[test]
fn flood_of_empty_frames_closes_the_connection() {
    let test_bed = TestBed::routes(ROUTES);
    for (what, frame) in [
        ("SETTINGS", settings(&[])),
        ("unsolicited SETTINGS ACK", frame(SETTINGS, ACK, 0, [])),
        ("PING", frame(PING, NONE, 0, [7; 8])),
        ("unsolicited PING ACK", frame(PING, ACK, 0, [7; 8])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, NONE, 0, ones())),
        ("PRIORITY", frame(PRIORITY, NONE, 1, [0, 0, 0, 0, 7])),
        ("unknown", frame(0xbe, NONE, 1, [0; 4])),
    ] {
        assert_flood_is_cut_off(what, &test_bed, |connection| {
            _ = connection.try_write(frame.repeat(FLOOD))
        });
    }
}

#[test]
fn flood_of_empty_stream_frames_closes_the_connection() {
    let test_bed = TestBed::routes(ROUTES);
    for (what, frame) in [
        ("DATA", frame(DATA, NONE, 1, [])),
        ("DATA of padding", frame(DATA, PADDED, 1, [3, 0, 0, 0])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, NONE, 1, ones())),
    ] {
        assert_flood_is_cut_off(what, &test_bed, |connection| {
            connection.begin_request(END_HEADERS, &request("POST", "/x"));
            connection.try_write(frame.repeat(FLOOD));
        });
    }
    assert!(
        test_bed
            .upstream
            .received()
            .iter()
            .all(|received| received.method == "GET"),
        "no upload was complete"
    );
}

#[test]
fn endless_head_closes_the_connection() {
    let test_bed = TestBed::routes(ROUTES);
    let field = block(&[("x-more", "of it")]);
    let late = frame(CONTINUATION, END_HEADERS, 1, []);
    for (what, more) in [
        ("CONTINUATION", frame(CONTINUATION, NONE, 1, &field)),
        (
            "large CONTINUATION",
            frame(CONTINUATION, NONE, 1, field.repeat(1000)),
        ),
        ("empty CONTINUATION", frame(CONTINUATION, NONE, 1, [])),
    ] {
        assert_flood_is_cut_off(what, &test_bed, |connection| {
            connection.write(frame(HEADERS, NONE, 1, block(&request("GET", "/flooded"))));
            // Even with END_HEADERS, it is not accepted.
            connection.try_write([more.repeat(200), late.clone()].concat());
        });
    }
    assert!(
        test_bed
            .upstream
            .received()
            .iter()
            .all(|received| received.target != "/flooded")
    );
}

#[test]
fn rapid_reset_closes_the_connection() {
    let test_bed = TestBed::routes(ROUTES);
    let head = block(&request("GET", "/x"));
    assert_flood_is_cut_off("rapid reset", &test_bed, |connection| {
        let mut flood = Vec::new();
        for _ in 0..FLOOD {
            let stream = connection.next_stream();
            flood.extend(frame(HEADERS, WHOLE, stream, &head));
            flood.extend(frame(RST_STREAM, NONE, stream, CANCEL.to_be_bytes()));
        }
        connection.try_write(flood);
    });
    assert!(
        test_bed.hits() < 200,
        "{} requests reached the upstream",
        test_bed.hits()
    );
}

/// An upstream that responds only to its first request, and is connected already: further requests
/// reach it at once.
fn silent_upstream() -> (FrameUpstream, TestBed) {
    let upstream = FrameUpstream::start(&[], |connection, call| {
        if call.earlier == 0 {
            connection.try_write(frame_upstream::whole_response(call.stream, b""));
        }
    });
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    assert_eq!(
        FrameConnection::open(test_bed.address, &[])
            .ask(&request("GET", "/x"))
            .status,
        Some(200)
    );
    (upstream, test_bed)
}

#[test]
fn resets_of_begun_requests_close_the_connection_and_cancel_them_upstream() {
    let (upstream, test_bed) = silent_upstream();
    let head = block(&request("GET", "/x"));
    assert_flood_is_cut_off("resets", &test_bed, |connection| {
        let began = Instant::now();
        let mut sent = 800;
        // Cheap frames use up most of the burst limit.
        connection.write(frame(0xbe, NONE, 1, []).repeat(sent));
        // Small batches, so that each request is forwarded before its reset.
        while connection.ping() {
            let streams: Vec<u32> = (0..10).map(|_| connection.next_stream()).collect();
            connection.try_write(
                streams
                    .iter()
                    .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
                    .collect::<Vec<_>>(),
            );
            if !connection.ping() {
                break;
            }
            let reset = |stream: &u32| frame(RST_STREAM, NONE, *stream, CANCEL.to_be_bytes());
            connection.try_write(streams.iter().flat_map(reset).collect::<Vec<_>>());
            sent += streams.len();
        }
        let bound = 1000 + 200 * (began.elapsed().as_secs() + 1);
        assert!(sent as u64 <= bound, "{sent} in {:?}", began.elapsed());
    });
    assert!(
        upstream.calls().len() > 50,
        "{} reached the upstream",
        upstream.calls().len()
    );
    eventually("all requests are cancelled upstream", || {
        upstream.resets() == upstream.calls().len() - 1
    });
}

#[test]
fn made_you_reset_closes_the_connection_and_cancels_the_requests_upstream() {
    let (upstream, test_bed) = silent_upstream();
    assert_flood_is_cut_off("MadeYouReset", &test_bed, |connection| {
        let mut sent = 0;
        while connection.ping() {
            let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
            // The request has to be in flight first.
            connection.ping();
            connection.try_write(match sent % 3 {
                // A window that overflows.
                0 => frame(WINDOW_UPDATE, NONE, stream, MAX_WINDOW.to_be_bytes()),
                // A stream that depends on itself.
                1 => frame(
                    PRIORITY,
                    NONE,
                    stream,
                    [&stream.to_be_bytes()[..], &[7]].concat(),
                ),
                // A second head that does not end the stream.
                _ => frame(HEADERS, END_HEADERS, stream, block(&[("x", "y")])),
            });
            sent += 1;
            assert!(sent <= 200, "the connection is never closed");
        }
    });
    assert!(
        upstream.calls().len() > 50,
        "{} reached the upstream",
        upstream.calls().len()
    );
    eventually("all requests are cancelled upstream", || {
        upstream.resets() == upstream.calls().len() - 1
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn protocol_violation_closes_the_connection_at_once() {
    let test_bed = TestBed::routes(ROUTES);
    for (what, broken) in [
        (
            "a window update of zero",
            frame(WINDOW_UPDATE, NONE, 1, [0; 4]),
        ),
        (
            "a window update of zero for the connection",
            frame(WINDOW_UPDATE, NONE, 0, [0; 4]),
        ),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, NONE, 0, MAX_WINDOW.to_be_bytes()),
        ),
        ("DATA after the end", frame(DATA, NONE, 3, b"x")),
        (
            "a second request on a stream",
            frame(HEADERS, WHOLE, 3, block(&request("GET", "/x"))),
        ),
        (
            "a request on an earlier stream",
            frame(HEADERS, WHOLE, 1, block(&request("GET", "/x"))),
        ),
        (
            "a request on a server's stream",
            frame(HEADERS, WHOLE, 6, block(&request("GET", "/x"))),
        ),
        ("DATA on no stream", frame(DATA, NONE, 0, b"x")),
        ("DATA before a request", frame(DATA, NONE, 7, b"x")),
        (
            "a reset before a request",
            frame(RST_STREAM, NONE, 7, [0; 4]),
        ),
        (
            "a promise",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                3,
                [&[0, 0, 0, 8][..], &block(&request("GET", "/x"))].concat(),
            ),
        ),
        ("an unknown table index", frame(HEADERS, WHOLE, 7, [0xbf])),
        (
            "a frame that is too large",
            frame(DATA, NONE, 5, vec![0; 16_385]),
        ),
        ("SETTINGS on a stream", frame(SETTINGS, NONE, 3, [])),
        ("half a setting", frame(SETTINGS, NONE, 0, [0; 5])),
        ("a PING that is too short", frame(PING, NONE, 0, [0; 7])),
        (
            "padding that is longer than its frame",
            frame(DATA, PADDED, 5, [9, 0]),
        ),
    ] {
        // One stream that the client has ended, and an open one. Without a window, neither gets its
        // response.
        let mut connection = FrameConnection::open(test_bed.address, &[(INITIAL_WINDOW_SIZE, 0)]);
        assert_eq!(connection.next_stream(), 1, "stays unused");
        let ended = connection.begin_request(WHOLE, &request("GET", "/ended"));
        let open = connection.begin_request(END_HEADERS, &request("POST", "/open"));
        assert_eq!((ended, open), (3, 5));
        connection.until(|connection| connection.stream(ended).status == Some(200));
        connection.write(&broken);
        assert!(connection.is_closed(), "{what}");
    }
    assert!(
        test_bed
            .upstream
            .received()
            .iter()
            .all(|received| matches!(&*received.target, "/ended" | "/_ready"))
    );
}

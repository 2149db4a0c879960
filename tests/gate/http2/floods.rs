//! Clients who send frames instead of requests: each is cut off, and a neighbour on the same worker is served meanwhile.
//!
//! CVE-2019-9511 to 9518, CVE-2023-44487 (rapid reset), CVE-2024-27316 and its kind (CONTINUATION), CVE-2025-8671
//! (MadeYouReset).

use std::thread;
use std::time::{Duration, Instant};

use super::frame_connection::FrameConnection;
use super::frame_upstream::{self, FrameUpstream};
use super::frames::{
    ACK, CANCEL, CONTINUATION, DATA, END_HEADERS, HEADERS, INITIAL_WINDOW_SIZE, LARGEST_WINDOW,
    NONE, PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block,
    frame, request, settings,
};
use harness::{Connection, TestBed, eventually};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";
/// More than anybody may send at once, and less than time makes up for.
const FLOOD: usize = 5000;

fn ones() -> [u8; 4] {
    1_u32.to_be_bytes()
}

/// Lets a client flood the gateway beside one who does not. The first ends cut off, and the other is served.
fn ends_cut_off(what: &str, test_bed: &TestBed, flood: impl FnOnce(&mut FrameConnection) + Send) {
    let mut neighbour = Connection::open(test_bed.address);
    let get = format!(
        "GET /_ready HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n",
        test_bed.token("")
    );
    assert_eq!(neighbour.ask(&get).status, 200);
    // How fast that is without a flood: a busy machine takes its time either way.
    let alone = Instant::now();
    for _ in 0..10 {
        assert_eq!(neighbour.ask(&get).status, 200);
    }
    let alone = alone.elapsed();
    let address = test_bed.address;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut wire = FrameConnection::open(address, &[]);
            flood(&mut wire);
            assert!(wire.is_closed(), "{what}");
        });
        let began = Instant::now();
        for _ in 0..50 {
            assert_eq!(neighbour.ask(&get).status, 200, "{what}");
        }
        let bound = Duration::from_secs(5) + 50 * alone;
        assert!(
            began.elapsed() < bound,
            "{what}: {:?} for 50 after {alone:?} for 10",
            began.elapsed()
        );
    });
}

#[test]
fn flood_of_empty_frames_closes_the_connection() {
    let test_bed = TestBed::routes(ROUTES);
    for (what, frame) in [
        ("SETTINGS", settings(&[])),
        (
            "SETTINGS that acknowledge nothing",
            frame(SETTINGS, ACK, 0, []),
        ),
        ("PING", frame(PING, NONE, 0, [7; 8])),
        ("PING that answers nothing", frame(PING, ACK, 0, [7; 8])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, NONE, 0, ones())),
        ("PRIORITY", frame(PRIORITY, NONE, 1, [0, 0, 0, 0, 7])),
        ("unknown", frame(0xbe, NONE, 1, [0; 4])),
    ] {
        ends_cut_off(what, &test_bed, |wire| {
            _ = wire.try_write(frame.repeat(FLOOD))
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
        ends_cut_off(what, &test_bed, |wire| {
            wire.begin_request(END_HEADERS, &request("POST", "/x"));
            wire.try_write(frame.repeat(FLOOD));
        });
    }
    assert!(
        test_bed
            .upstream
            .received()
            .iter()
            .all(|received| received.method == "GET"),
        "no upload was whole"
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
        ends_cut_off(what, &test_bed, |wire| {
            wire.write(frame(HEADERS, NONE, 1, block(&request("GET", "/flooded"))));
            // Ended after all, it is still no request.
            wire.try_write([more.repeat(200), late.clone()].concat());
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
    ends_cut_off("rapid reset", &test_bed, |wire| {
        let mut flood = Vec::new();
        for _ in 0..FLOOD {
            let stream = wire.next_stream();
            flood.extend(frame(HEADERS, WHOLE, stream, &head));
            flood.extend(frame(RST_STREAM, NONE, stream, CANCEL.to_be_bytes()));
        }
        wire.try_write(flood);
    });
    assert!(
        test_bed.hits() < 200,
        "{} requests went on to the upstream",
        test_bed.hits()
    );
}

/// An upstream that answers one request and none after that, and is connected to: what goes there goes at once.
fn silent_upstream() -> (FrameUpstream, TestBed) {
    let far = FrameUpstream::start(&[], |wire, call| {
        if call.earlier == 0 {
            wire.try_write(frame_upstream::answer(call.stream, b""));
        }
    });
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    assert_eq!(
        FrameConnection::open(test_bed.address, &[])
            .ask(&request("GET", "/x"))
            .status,
        Some(200)
    );
    (far, test_bed)
}

#[test]
fn resets_of_begun_requests_close_the_connection_and_cancel_them_upstream() {
    let (far, test_bed) = silent_upstream();
    let head = block(&request("GET", "/x"));
    ends_cut_off("resets", &test_bed, |wire| {
        let (began, mut sent) = (Instant::now(), 800);
        // Most of what may be sent is spent already, on what costs the test less.
        wire.write(frame(0xbe, NONE, 1, []).repeat(sent));
        // Fewer at a time than might be reset before they are looked at.
        while wire.ping() {
            let streams: Vec<u32> = (0..10).map(|_| wire.next_stream()).collect();
            wire.try_write(
                streams
                    .iter()
                    .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
                    .collect::<Vec<_>>(),
            );
            if !wire.ping() {
                break;
            }
            let reset = |stream: &u32| frame(RST_STREAM, NONE, *stream, CANCEL.to_be_bytes());
            wire.try_write(streams.iter().flat_map(reset).collect::<Vec<_>>());
            sent += streams.len();
        }
        let bound = 1000 + 200 * (began.elapsed().as_secs() + 1);
        assert!(sent as u64 <= bound, "{sent} in {:?}", began.elapsed());
    });
    assert!(
        far.calls().len() > 50,
        "{} went on to the upstream",
        far.calls().len()
    );
    eventually("all that began upstream is cancelled there", || {
        far.resets() == far.calls().len() - 1
    });
}

#[test]
fn made_you_reset_closes_the_connection_and_cancels_the_requests_upstream() {
    let (far, test_bed) = silent_upstream();
    ends_cut_off("MadeYouReset", &test_bed, |wire| {
        let mut sent = 0;
        while wire.ping() {
            let stream = wire.begin_request(END_HEADERS, &request("POST", "/x"));
            // So that it is under way.
            wire.ping();
            wire.try_write(match sent % 3 {
                // A window that overflows.
                0 => frame(WINDOW_UPDATE, NONE, stream, LARGEST_WINDOW.to_be_bytes()),
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
            assert!(sent <= 200, "it goes on for ever");
        }
    });
    assert!(
        far.calls().len() > 50,
        "{} went on to the upstream",
        far.calls().len()
    );
    eventually("all that began upstream is cancelled there", || {
        far.resets() == far.calls().len() - 1
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn protocol_violation_closes_the_connection_at_once() {
    let test_bed = TestBed::routes(ROUTES);
    for (what, broken) in [
        (
            "a window update of nothing",
            frame(WINDOW_UPDATE, NONE, 1, [0; 4]),
        ),
        (
            "a window update of nothing for the connection",
            frame(WINDOW_UPDATE, NONE, 0, [0; 4]),
        ),
        (
            "a window that overflows",
            frame(WINDOW_UPDATE, NONE, 0, LARGEST_WINDOW.to_be_bytes()),
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
        (
            "a table index that is not there",
            frame(HEADERS, WHOLE, 7, [0xbf]),
        ),
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
        // Streams that the client has ended, and that it has not. Without a window, neither is over.
        let mut wire = FrameConnection::open(test_bed.address, &[(INITIAL_WINDOW_SIZE, 0)]);
        assert_eq!(wire.next_stream(), 1, "left out");
        let ended = wire.begin_request(WHOLE, &request("GET", "/ended"));
        let open = wire.begin_request(END_HEADERS, &request("POST", "/open"));
        assert_eq!((ended, open), (3, 5));
        wire.until(|wire| wire.told(ended).status == Some(200));
        wire.write(&broken);
        assert!(wire.is_closed(), "{what}");
    }
    assert!(
        test_bed
            .upstream
            .received()
            .iter()
            .all(|received| matches!(&*received.target, "/ended" | "/_ready"))
    );
}

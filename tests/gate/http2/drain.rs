//! Drain over HTTP/2: clients get a GOAWAY, and requests in flight finish (RFC 9113 §6.8).

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::frame_connection::{End, FrameConnection, connect};
use super::frame_upstream::{self, FrameUpstream, whole_response};
use super::frames::{DATA, END_HEADERS, END_STREAM, NO_ERROR, PREFACE, WHOLE, frame, request};
use harness::{Reply, TIMEOUT, TestBed, eventually};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

/// A test bed whose upstream holds its responses; each message on the channel releases one.
fn test_bed_with_held_responses() -> (TestBed, Sender<()>) {
    let test_bed = TestBed::routes(ROUTES);
    let (release, released) = channel();
    let released = Mutex::new(released);
    test_bed.upstream.script(move |_| {
        let _ = released.lock().expect("no panic").recv_timeout(TIMEOUT);
        Reply::text("late")
    });
    (test_bed, release)
}

#[test]
fn request_in_flight_finishes_after_a_goaway() {
    let (test_bed, release) = test_bed_with_held_responses();
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(WHOLE, &request("GET", "/x"));
    eventually("the upstream has the request", || test_bed.hits() == 1);
    let TestBed {
        gateway, upstream, ..
    } = test_bed;
    gateway.begin_drain();
    assert!(connection.until(|connection| !connection.goaways.is_empty()));
    assert_eq!(connection.stream(stream).end, None);
    release.send(()).expect("the upstream waits");
    let response = connection.response(stream);
    assert_eq!(
        (response.status, response.end, &*response.body),
        (Some(200), Some(End::Whole), &b"late"[..])
    );
    assert!(connection.is_closed());
    assert!(
        connection.goaways.iter().all(|code| *code == NO_ERROR),
        "{:?}",
        connection.goaways
    );
    drop(upstream);
}

#[test]
fn upload_in_flight_finishes_after_a_goaway() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
    connection.write(frame(DATA, 0, stream, b"hel"));
    assert!(connection.ping());
    let TestBed {
        gateway, upstream, ..
    } = test_bed;
    gateway.begin_drain();
    assert!(connection.until(|connection| !connection.goaways.is_empty()));
    connection.write(frame(DATA, END_STREAM, stream, b"lo"));
    assert_eq!(connection.response(stream).status, Some(200));
    assert_eq!(
        upstream.received().pop().expect("the upload").body,
        b"hello"
    );
    assert!(connection.is_closed());
}

#[test]
fn request_that_crosses_the_goaway_is_served_and_later_ones_are_not() {
    let (test_bed, release) = test_bed_with_held_responses();
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let first = connection.begin_request(WHOLE, &request("GET", "/x"));
    eventually("the upstream has the request", || test_bed.hits() == 1);
    let TestBed {
        gateway, upstream, ..
    } = test_bed;
    // This client does not acknowledge the PING that follows the first GOAWAY.
    connection.acknowledges = false;
    gateway.begin_drain();
    assert!(connection.until(|connection| !connection.goaways.is_empty()));
    let crossed = connection.begin_request(WHOLE, &request("GET", "/crossed"));
    for _ in 0..3 {
        release.send(()).expect("the upstream waits");
    }
    for stream in [first, crossed] {
        assert_eq!(connection.response(stream).status, Some(200));
    }
    // Now the client acknowledges the PING.
    connection.acknowledge();
    let later = connection.begin_request(WHOLE, &request("GET", "/later"));
    assert_eq!(connection.response(later).end, Some(End::ConnectionClosed));
    assert!(
        upstream
            .received()
            .iter()
            .all(|received| received.target != "/later")
    );
}

#[test]
fn drain_closes_idle_connections_at_once() {
    let upstream = FrameUpstream::start(&[], |connection, call| {
        _ = connection.try_write(whole_response(call.stream, b"hello"))
    });
    let test_bed = frame_upstream::test_bed(
        "[server]\nheader_timeout = \"300ms\"\n",
        &upstream,
        "",
        "public = true",
    );
    let mut idle = FrameConnection::open(test_bed.address, &[]);
    assert_eq!(idle.ask(&request("GET", "/x")).status, Some(200));
    let mut incomplete = FrameConnection::over(connect(test_bed.address));
    incomplete.write(&PREFACE[..10]);
    let mut silent = FrameConnection::over(connect(test_bed.address));
    silent.acknowledges = false;
    silent.write(PREFACE);
    assert!(idle.ping());
    let began = Instant::now();
    drop(test_bed);
    assert!(idle.is_closed() && !idle.goaways.is_empty());
    assert!(incomplete.is_closed() && silent.is_closed());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    eventually("the upstream's connection is closed", || {
        upstream.closed() == 1
    });
}

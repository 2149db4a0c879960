//! The end of the gateway: clients are told to go, and what is on its way is finished (RFC 9113 §6.8).

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use super::frame_connection::{End, FrameConnection, connect};
use super::frame_upstream::{self, FrameUpstream, answer};
use super::frames::{DATA, END_HEADERS, END_STREAM, NO_ERROR, PREFACE, WHOLE, frame, request};
use harness::{Reply, TIMEOUT, TestBed, eventually};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

/// A stand whose upstream answers when it is told.
fn waiting_stand() -> (TestBed, Sender<()>) {
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
    let (test_bed, release) = waiting_stand();
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let stream = wire.begin_request(WHOLE, &request("GET", "/x"));
    eventually("the upstream has it", || test_bed.hits() == 1);
    let TestBed {
        gateway, upstream, ..
    } = test_bed;
    gateway.begin_drain();
    assert!(wire.until(|wire| !wire.goaways.is_empty()));
    assert_eq!(wire.told(stream).end, None);
    release.send(()).expect("somebody waits");
    let told = wire.answer(stream);
    assert_eq!(
        (told.status, told.end, &*told.body),
        (Some(200), Some(End::Whole), &b"late"[..])
    );
    assert!(wire.is_closed());
    assert!(
        wire.goaways.iter().all(|code| *code == NO_ERROR),
        "{:?}",
        wire.goaways
    );
    drop(upstream);
}

#[test]
fn upload_in_flight_finishes_after_a_goaway() {
    let test_bed = TestBed::routes(ROUTES);
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let stream = wire.begin_request(END_HEADERS, &request("POST", "/x"));
    wire.write(frame(DATA, 0, stream, b"hel"));
    assert!(wire.ping());
    let TestBed {
        gateway, upstream, ..
    } = test_bed;
    gateway.begin_drain();
    assert!(wire.until(|wire| !wire.goaways.is_empty()));
    wire.write(frame(DATA, END_STREAM, stream, b"lo"));
    assert_eq!(wire.answer(stream).status, Some(200));
    assert_eq!(
        upstream.received().pop().expect("the upload").body,
        b"hello"
    );
    assert!(wire.is_closed());
}

#[test]
fn request_that_crosses_the_goaway_is_served_and_later_ones_are_not() {
    let (test_bed, release) = waiting_stand();
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let first = wire.begin_request(WHOLE, &request("GET", "/x"));
    eventually("the upstream has it", || test_bed.hits() == 1);
    let TestBed {
        gateway, upstream, ..
    } = test_bed;
    // A client that has not heard of it yet.
    wire.answers = false;
    gateway.begin_drain();
    assert!(wire.until(|wire| !wire.goaways.is_empty()));
    let crossed = wire.begin_request(WHOLE, &request("GET", "/crossed"));
    for _ in 0..3 {
        release.send(()).expect("somebody waits");
    }
    for stream in [first, crossed] {
        assert_eq!(wire.answer(stream).status, Some(200));
    }
    // It hears of it: the ping that goes with the goodbye is answered.
    wire.acknowledge();
    let later = wire.begin_request(WHOLE, &request("GET", "/later"));
    assert_eq!(wire.answer(later).end, Some(End::Gone));
    assert!(
        upstream
            .received()
            .iter()
            .all(|received| received.target != "/later")
    );
}

#[test]
fn drain_closes_idle_connections_at_once() {
    let far = FrameUpstream::start(&[], |wire, call| {
        _ = wire.try_write(answer(call.stream, b"hello"))
    });
    let test_bed = frame_upstream::test_bed(
        "[server]\nheader_timeout = \"300ms\"\n",
        &far,
        "",
        "public = true",
    );
    let mut idle = FrameConnection::open(test_bed.address, &[]);
    assert_eq!(idle.ask(&request("GET", "/x")).status, Some(200));
    let mut halfway = FrameConnection::over(connect(test_bed.address));
    halfway.write(&PREFACE[..10]);
    let mut silent = FrameConnection::over(connect(test_bed.address));
    silent.answers = false;
    silent.write(PREFACE);
    assert!(idle.ping());
    let began = Instant::now();
    drop(test_bed);
    assert!(idle.is_closed() && !idle.goaways.is_empty());
    assert!(halfway.is_closed() && silent.is_closed());
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    eventually("the upstream's connection is closed", || far.closed() == 1);
}

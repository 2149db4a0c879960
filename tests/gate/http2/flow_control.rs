//! Clients who make no room for what they asked for: others are served, little is read ahead, and they are not waited for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client::block_on;
use super::frame_connection::{End, FrameConnection};
use super::frame_upstream::{self, FrameUpstream};
use super::frames::{
    CANCEL, DATA, END_HEADERS, HEADERS, INITIAL_WINDOW_SIZE, LARGEST_WINDOW, NONE, WHOLE,
    WINDOW_UPDATE, block, frame, request,
};
use harness::{Gateway, TIMEOUT, eventually};

const SHORT: &str = "[server]\nbody_idle_timeout = \"400ms\"\n";
const MIB: usize = 1 << 20;

/// An upstream whose answers are long, and which counts what it got rid of.
struct Pouring {
    address: SocketAddr,
    poured: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Pouring {
    /// Over HTTP/1. Answers `/small` as well, shortly.
    fn http1(length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // Connections have it from their listener: what the kernel takes is not counted for the gateway's.
        socket2::SockRef::from(&listener)
            .set_send_buffer_size(16 * 1024)
            .expect("an open socket");
        let pouring = Self::at(listener.local_addr().expect("bound"));
        let (poured, closed) = (Arc::clone(&pouring.poured), Arc::clone(&pouring.closed));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(mut socket), poured, closed) =
                    (socket, Arc::clone(&poured), Arc::clone(&closed))
                else {
                    return;
                };
                thread::spawn(move || {
                    socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
                    socket.set_write_timeout(Some(TIMEOUT)).expect("a time-out");
                    let mut head = [0; 4096];
                    let read = socket.read(&mut head).unwrap_or(0);
                    let length = if head[..read].starts_with(b"GET /small") {
                        5
                    } else {
                        length
                    };
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
                    );
                    let mut left = if socket.write_all(answer.as_bytes()).is_ok() {
                        length
                    } else {
                        0
                    };
                    while left > 0 {
                        let Ok(written @ 1..) =
                            socket.write(&[b'x'; 16 * 1024][..left.min(16 * 1024)])
                        else {
                            break;
                        };
                        poured.fetch_add(written, Ordering::SeqCst);
                        left -= written;
                    }
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        pouring
    }

    /// Over HTTP/2.
    fn http2(length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("an open socket");
        let pouring = Self::at(listener.local_addr().expect("bound"));
        let poured = Arc::clone(&pouring.poured);
        thread::spawn(move || {
            block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                let (socket, _) = listener.accept().await.expect("a connection");
                let mut streams = h2::server::handshake(socket).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = streams.accept().await {
                    let poured = Arc::clone(&poured);
                    tokio::spawn(async move {
                        let mut stream = respond
                            .send_response(http::Response::new(()), false)
                            .expect("open");
                        let mut left = length;
                        while left > 0 {
                            stream.reserve_capacity(left.min(16 * 1024));
                            let room =
                                std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                            let Some(Ok(room)) = room else { return };
                            let piece = room.min(left);
                            left -= piece;
                            if stream
                                .send_data(Bytes::from(vec![b'x'; piece]), left == 0)
                                .is_err()
                            {
                                return;
                            }
                            poured.fetch_add(piece, Ordering::SeqCst);
                        }
                    });
                }
            });
        });
        pouring
    }

    fn at(address: SocketAddr) -> Self {
        Self {
            address,
            poured: Arc::default(),
            closed: Arc::default(),
        }
    }

    /// How much it has got rid of when it gets rid of no more.
    fn poured(&self) -> usize {
        let mut poured = 0;
        eventually("it comes to a halt", || {
            // Two samples apart in time show that the upload has stopped.
            thread::sleep(Duration::from_millis(100));
            std::mem::replace(&mut poured, self.poured.load(Ordering::SeqCst))
                == self.poured.load(Ordering::SeqCst)
        });
        poured
    }
}

fn gateway(front: &str, upstream: &Pouring, protocol: &str) -> Gateway {
    Gateway::start(&format!(
        "{front}[upstreams.up]\ntargets = \"http://{}\"\nprotocol = \"{protocol}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ))
}

fn room(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, NONE, stream, bytes.to_be_bytes())
}

#[test]
fn stalled_stream_is_reset_and_the_others_continue() {
    let upstream = Pouring::http1(MIB);
    let gateway = gateway(SHORT, &upstream, "http1");
    let mut wire = FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    let began = Instant::now();
    let stalled = wire.begin_request(WHOLE, &request("GET", "/big"));
    wire.until(|wire| wire.told(stalled).status == Some(200));
    // Others make room in time, again and again.
    while wire.told(stalled).end.is_none() {
        let served = wire.begin_request(WHOLE, &request("GET", "/small"));
        wire.until(|wire| wire.told(served).status == Some(200));
        wire.write(room(served, 100));
        assert_eq!(wire.answer(served).body, b"xxxxx");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "it is still waited for"
        );
        // Polls.
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(wire.told(stalled).end, Some(End::Reset(CANCEL)));
    assert!(
        began.elapsed() >= Duration::from_millis(400),
        "after {:?}",
        began.elapsed()
    );
    let served = wire.begin_request(WHOLE, &request("GET", "/small"));
    wire.write(room(served, 5));
    assert_eq!(wire.answer(served).end, Some(End::Whole));
    assert!(wire.goaways.is_empty());
}

#[test]
fn window_that_opens_byte_by_byte_is_not_a_stall() {
    let upstream = Pouring::http1(12);
    let gateway = gateway(SHORT, &upstream, "http1");
    let mut wire = FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    let stream = wire.begin_request(WHOLE, &request("GET", "/slow"));
    for length in 1..=12 {
        // Paces the window updates within the timeout under test.
        thread::sleep(Duration::from_millis(50));
        wire.write(room(stream, 1));
        wire.until(|wire| wire.told(stream).body.len() == length);
    }
    assert_eq!(wire.answer(stream).end, Some(End::Whole));
}

#[test]
fn hundred_stalled_streams_are_bounded_and_reset() {
    let upstream = Pouring::http1(4 * MIB);
    // Long enough for all of them to begin.
    let gateway = gateway("[server]\nbody_idle_timeout = \"1s\"\n", &upstream, "http1");
    let mut wire = FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    let streams: Vec<u32> = (0..100).map(|_| wire.next_stream()).collect();
    let head = block(&request("GET", "/big"));
    wire.write(
        streams
            .iter()
            .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
            .collect::<Vec<_>>(),
    );
    wire.until(|wire| {
        streams
            .iter()
            .all(|&stream| wire.told(stream).status == Some(200))
    });
    let poured = upstream.poured();
    assert!(poured < 64 * MIB, "{poured} bytes of 400 MiB");
    for stream in streams {
        assert_eq!(wire.answer(stream).end, Some(End::Reset(CANCEL)));
    }
    eventually("the upstream is let go", || {
        upstream.closed.load(Ordering::SeqCst) == 100
    });
    assert!(upstream.poured() < 64 * MIB, "{} bytes", upstream.poured());
}

#[test]
fn slow_client_slows_its_upstream() {
    for (upstream, protocol) in [
        (Pouring::http1(3 * MIB), "http1"),
        (Pouring::http2(3 * MIB), "http2"),
    ] {
        let gateway = gateway("", &upstream, protocol);
        let mut wire = FrameConnection::open(gateway.address, &[]);
        let stream = wire.begin_request(WHOLE, &request("GET", "/big"));
        wire.until(|wire| wire.told(stream).body.len() == 65_535);
        let poured = upstream.poured();
        assert!(
            poured < MIB,
            "{protocol}: {poured} bytes, of which the client took 64 KiB"
        );
        wire.write(
            [
                room(0, LARGEST_WINDOW - 65_535),
                room(stream, LARGEST_WINDOW - 65_535),
            ]
            .concat(),
        );
        let told = wire.answer(stream);
        assert_eq!(
            (told.end, told.body.len()),
            (Some(End::Whole), 3 * MIB),
            "{protocol}"
        );
    }
}

#[test]
fn client_that_never_reads_is_disconnected() {
    let upstream = Pouring::http1(64 * MIB);
    let gateway = gateway(SHORT, &upstream, "http1");
    let mut wire = FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, LARGEST_WINDOW)]);
    wire.write(room(0, LARGEST_WINDOW - 65_535));
    let stream = wire.begin_request(WHOLE, &request("GET", "/big"));
    eventually("the upstream is let go", || {
        upstream.closed.load(Ordering::SeqCst) == 1
    });
    assert!(upstream.poured() < 32 * MIB, "{} bytes", upstream.poured());
    // What was sent before may still be there.
    assert!(wire.is_closed());
    assert!(wire.told(stream).end.is_none());
}

#[test]
fn small_messages_to_a_stalled_upstream_do_not_close_the_client_connection() {
    let far = FrameUpstream::start(&[(INITIAL_WINDOW_SIZE, 0)], |_, _| {});
    let test_bed = frame_upstream::test_bed("", &far, "", "public = true");
    let mut wire = FrameConnection::open(test_bed.address, &[]);
    let stream = wire.begin_request(END_HEADERS, &request("POST", "/x"));
    eventually("the upstream has it", || far.calls().len() == 1);
    // As telemetry, chats and language models send them; all of them fill less than a fifth of the stream's window.
    wire.write(frame(DATA, NONE, stream, [b'm'; 20]).repeat(2400));
    assert!(wire.ping(), "{:?}", wire.goaways);
    assert_eq!((wire.told(stream).end, far.resets()), (None, 0));
}

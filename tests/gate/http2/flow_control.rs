//! Clients that open no flow-control window: others are served, little is read ahead, and the
//! stalled stream is reset.

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
    CANCEL, DATA, END_HEADERS, HEADERS, INITIAL_WINDOW_SIZE, MAX_WINDOW, NONE, WHOLE,
    WINDOW_UPDATE, block, frame, request,
};
use harness::{Gateway, TIMEOUT, eventually};

const SHORT: &str = "[server]\nbody_idle_timeout = \"400ms\"\n";
const MIB: usize = 1 << 20;

/// An upstream with large responses that counts the bytes it has written.
struct LargeResponses {
    address: SocketAddr,
    written: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl LargeResponses {
    /// Over HTTP/1.1; the response to `/small` has 5 bytes.
    fn http1(length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        // Connections inherit a small send buffer, so that the kernel of the upstream holds little
        // of what counts as read by the gateway.
        socket2::SockRef::from(&listener)
            .set_send_buffer_size(16 * 1024)
            .expect("an open socket");
        let upstream = Self::at(listener.local_addr().expect("a bound socket"));
        let (written, closed) = (Arc::clone(&upstream.written), Arc::clone(&upstream.closed));
        thread::spawn(move || {
            for socket in listener.incoming() {
                let (Ok(mut socket), total, closed) =
                    (socket, Arc::clone(&written), Arc::clone(&closed))
                else {
                    return;
                };
                thread::spawn(move || {
                    socket
                        .set_read_timeout(Some(TIMEOUT))
                        .expect("an open socket");
                    socket
                        .set_write_timeout(Some(TIMEOUT))
                        .expect("an open socket");
                    let mut head = [0; 4096];
                    let read = socket.read(&mut head).unwrap_or(0);
                    let length = if head[..read].starts_with(b"GET /small") {
                        5
                    } else {
                        length
                    };
                    let response = format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
                    );
                    let mut left = if socket.write_all(response.as_bytes()).is_ok() {
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
                        total.fetch_add(written, Ordering::SeqCst);
                        left -= written;
                    }
                    closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        upstream
    }

    /// Over HTTP/2.
    fn http2(length: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("an open socket");
        let upstream = Self::at(listener.local_addr().expect("a bound socket"));
        let written = Arc::clone(&upstream.written);
        thread::spawn(move || {
            block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                let (socket, _) = listener.accept().await.expect("a connection");
                let mut streams = h2::server::handshake(socket).await.expect("HTTP/2");
                while let Some(Ok((_, mut respond))) = streams.accept().await {
                    let written = Arc::clone(&written);
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
                            written.fetch_add(piece, Ordering::SeqCst);
                        }
                    });
                }
            });
        });
        upstream
    }

    fn at(address: SocketAddr) -> Self {
        Self {
            address,
            written: Arc::default(),
            closed: Arc::default(),
        }
    }

    /// Waits until the upstream is blocked, and returns how much it has written.
    fn written_when_blocked(&self) -> usize {
        let mut written = 0;
        eventually("the upstream is blocked", || {
            // Equal samples with a pause between them show that the upstream is blocked.
            thread::sleep(Duration::from_millis(100));
            std::mem::replace(&mut written, self.written.load(Ordering::SeqCst))
                == self.written.load(Ordering::SeqCst)
        });
        written
    }
}

fn gateway(top: &str, upstream: &LargeResponses, protocol: &str) -> Gateway {
    Gateway::start(&format!(
        "{top}[upstreams.up]\ntargets = \"http://{}\"\nprotocol = \"{protocol}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    ))
}

fn window_update(stream: u32, bytes: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, NONE, stream, bytes.to_be_bytes())
}

#[test]
fn stalled_stream_is_reset_and_the_others_continue() {
    let upstream = LargeResponses::http1(MIB);
    let gateway = gateway(SHORT, &upstream, "http1");
    let mut connection = FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    let began = Instant::now();
    let stalled = connection.begin_request(WHOLE, &request("GET", "/big"));
    connection.until(|connection| connection.stream(stalled).status == Some(200));
    // Other streams open their windows in time.
    while connection.stream(stalled).end.is_none() {
        let served = connection.begin_request(WHOLE, &request("GET", "/small"));
        connection.until(|connection| connection.stream(served).status == Some(200));
        connection.write(window_update(served, 100));
        assert_eq!(connection.response(served).body, b"xxxxx");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "the stalled stream stays open"
        );
        // Paces the requests.
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(connection.stream(stalled).end, Some(End::Reset(CANCEL)));
    assert!(
        began.elapsed() >= Duration::from_millis(400),
        "after {:?}",
        began.elapsed()
    );
    let served = connection.begin_request(WHOLE, &request("GET", "/small"));
    connection.write(window_update(served, 5));
    assert_eq!(connection.response(served).end, Some(End::Whole));
    assert!(connection.goaways.is_empty());
}

#[test]
fn window_that_opens_byte_by_byte_is_not_a_stall() {
    let upstream = LargeResponses::http1(12);
    let gateway = gateway(SHORT, &upstream, "http1");
    let mut connection = FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    let stream = connection.begin_request(WHOLE, &request("GET", "/slow"));
    for length in 1..=12 {
        // Paces the window updates within the timeout under test.
        thread::sleep(Duration::from_millis(50));
        connection.write(window_update(stream, 1));
        connection.until(|connection| connection.stream(stream).body.len() == length);
    }
    assert_eq!(connection.response(stream).end, Some(End::Whole));
}

#[test]
fn hundred_stalled_streams_are_bounded_and_reset() {
    let upstream = LargeResponses::http1(4 * MIB);
    // Long enough for all streams to begin.
    let gateway = gateway("[server]\nbody_idle_timeout = \"1s\"\n", &upstream, "http1");
    let mut connection = FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, 0)]);
    let streams: Vec<u32> = (0..100).map(|_| connection.next_stream()).collect();
    let head = block(&request("GET", "/big"));
    connection.write(
        streams
            .iter()
            .flat_map(|&stream| frame(HEADERS, WHOLE, stream, &head))
            .collect::<Vec<_>>(),
    );
    connection.until(|connection| {
        streams
            .iter()
            .all(|&stream| connection.stream(stream).status == Some(200))
    });
    let written = upstream.written_when_blocked();
    assert!(written < 64 * MIB, "{written} bytes of 400 MiB");
    for stream in streams {
        assert_eq!(connection.response(stream).end, Some(End::Reset(CANCEL)));
    }
    eventually("the upstream connections are closed", || {
        upstream.closed.load(Ordering::SeqCst) == 100
    });
    assert!(
        upstream.written_when_blocked() < 64 * MIB,
        "{} bytes",
        upstream.written_when_blocked()
    );
}

#[test]
fn slow_client_slows_its_upstream() {
    for (upstream, protocol) in [
        (LargeResponses::http1(3 * MIB), "http1"),
        (LargeResponses::http2(3 * MIB), "http2"),
    ] {
        let gateway = gateway("", &upstream, protocol);
        let mut connection = FrameConnection::open(gateway.address, &[]);
        let stream = connection.begin_request(WHOLE, &request("GET", "/big"));
        connection.until(|connection| connection.stream(stream).body.len() == 65_535);
        let written = upstream.written_when_blocked();
        assert!(
            written < MIB,
            "{protocol}: {written} bytes, of which the client received 64 KiB"
        );
        connection.write(
            [
                window_update(0, MAX_WINDOW - 65_535),
                window_update(stream, MAX_WINDOW - 65_535),
            ]
            .concat(),
        );
        let response = connection.response(stream);
        assert_eq!(
            (response.end, response.body.len()),
            (Some(End::Whole), 3 * MIB),
            "{protocol}"
        );
    }
}

#[test]
fn client_that_never_reads_is_disconnected() {
    let upstream = LargeResponses::http1(64 * MIB);
    let gateway = gateway(SHORT, &upstream, "http1");
    let mut connection =
        FrameConnection::open(gateway.address, &[(INITIAL_WINDOW_SIZE, MAX_WINDOW)]);
    connection.write(window_update(0, MAX_WINDOW - 65_535));
    let stream = connection.begin_request(WHOLE, &request("GET", "/big"));
    eventually("the upstream connections are closed", || {
        upstream.closed.load(Ordering::SeqCst) == 1
    });
    assert!(
        upstream.written_when_blocked() < 32 * MIB,
        "{} bytes",
        upstream.written_when_blocked()
    );
    // Bytes sent earlier may still be in the socket.
    assert!(connection.is_closed());
    assert!(connection.stream(stream).end.is_none());
}

#[test]
fn small_messages_to_a_stalled_upstream_do_not_close_the_client_connection() {
    let upstream = FrameUpstream::start(&[(INITIAL_WINDOW_SIZE, 0)], |_, _| {});
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
    eventually("the upstream has the request", || {
        upstream.calls().len() == 1
    });
    // Typical of telemetry, chats and language models; in total less than a fifth of the stream's
    // window.
    connection.write(frame(DATA, NONE, stream, [b'm'; 20]).repeat(2400));
    assert!(connection.ping(), "{:?}", connection.goaways);
    assert_eq!(
        (connection.stream(stream).end, upstream.resets()),
        (None, 0)
    );
}

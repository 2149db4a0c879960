//! Connections and requests while the process drains, and its exit code.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, connect, own_address, start_upstream, wait_for};
use harness::{Reply, Server};

fn file(address: Ipv4Addr, upstream: SocketAddr, keys: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 2\n{keys}\n[upstreams.up]\ntargets = \"http://{upstream}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n"
    )
}

/// Sends a request and reads the head of its response.
fn head(socket: &mut TcpStream) -> String {
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("the gateway reads");
    let head = read_until(socket, b"\r\n\r\n");
    String::from_utf8(head).expect("ASCII").to_ascii_lowercase()
}

/// Reads up to this end, and no more.
fn read_until(socket: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.ends_with(end) {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("more to read");
        read.push(byte[0]);
    }
    read
}

fn terminate(process: &Process) {
    process.signal("TERM");
    wait_for("the gateway drains", || {
        process.printed().1.contains("shutting down")
    });
}

#[test]
fn http1_client_gets_connection_close_with_its_next_response() {
    let address = own_address();
    let mut process = Process::start(
        address,
        &file(address, start_upstream(address), "drain_delay = \"1h\""),
    );
    let mut idle = connect(address, 8080);
    assert!(!head(&mut idle).contains("connection: close"));
    idle.read_exact(&mut [0; 2]).expect("a body");
    terminate(&process);
    for mut client in [idle, connect(address, 8080)] {
        let head = head(&mut client);
        assert!(
            head.starts_with("http/1.1 200 ") && head.contains("\r\nconnection: close\r\n"),
            "{head}"
        );
        let mut rest = String::new();
        client
            .read_to_string(&mut rest)
            .expect("a body, then the end");
        assert_eq!(rest, "ok");
    }
    process.signal("TERM");
    assert_eq!(process.wait_for_exit().code(), Some(0));
}

/// An HTTP/2 client that reads single frames.
struct FrameClient(TcpStream);

const HEADERS: u8 = 1;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

impl FrameClient {
    fn open(address: Ipv4Addr) -> Self {
        let mut socket = connect(address, 8080);
        socket
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .expect("the gateway reads");
        Self(socket)
    }

    /// Sends `GET /` on a stream.
    fn send_get(&mut self, stream: u8) {
        // Method, scheme and path from the static table, and an authority (RFC 7541 §6, appendix
        // A).
        let fields = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
        self.0
            .write_all(&[&[0, 0, 6, HEADERS, 5, 0, 0, 0, stream][..], &fields].concat())
            .expect("the gateway reads");
    }

    /// Reads the next frame: its type and payload. `None` at the end of the connection.
    /// Acknowledges PING.
    fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header).ok()?;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
        self.0.read_exact(&mut payload).ok()?;
        if header[3] == PING && header[4] == 0 {
            self.0
                .write_all(&[&[0, 0, 8, PING, 1, 0, 0, 0, 0], &*payload].concat())
                .expect("the gateway reads");
        }
        Some((header[3], payload))
    }

    fn read_until(&mut self, wanted: u8) -> Vec<u8> {
        loop {
            match self.read().expect("a frame of this type") {
                (kind, payload) if kind == wanted => return payload,
                _ => {}
            }
        }
    }
}

#[test]
fn http2_client_gets_goaway_during_drain_delay_and_its_requests_are_served() {
    let address = own_address();
    let mut process = Process::start(
        address,
        &file(address, start_upstream(address), "drain_delay = \"1h\""),
    );
    let mut idle = FrameClient::open(address);
    idle.send_get(1);
    idle.read_until(HEADERS);
    terminate(&process);
    // The first GOAWAY warns, the second names the last stream (RFC 9113 §6.8).
    let warning = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let last_stream_1 = [0, 0, 0, 1, 0, 0, 0, 0];
    // An idle client gets no response that could say `Connection: close`.
    assert_eq!(
        (idle.read_until(GOAWAY), idle.read_until(GOAWAY)),
        (warning.to_vec(), last_stream_1.to_vec())
    );
    let mut new = FrameClient::open(address);
    new.send_get(1);
    let (mut goaways, mut responses) = (Vec::new(), 0);
    while let Some((kind, payload)) = new.read() {
        match kind {
            GOAWAY => goaways.push(payload),
            HEADERS => responses += 1,
            _ => {}
        }
    }
    assert_eq!(
        (goaways, responses),
        (vec![warning.to_vec(), last_stream_1.to_vec()], 1)
    );
    process.signal("TERM");
    assert_eq!(process.wait_for_exit().code(), Some(0));
}

#[test]
fn exit_code_is_1_when_requests_were_cut_off_and_they_are_counted() {
    let address = own_address();
    let upstream = Server::start(|request| match &*request.target {
        "/endless" => {
            Reply::RawThenHang(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec())
        }
        _ => Reply::RawThenHang(Vec::new()),
    });
    let mut process = Process::start(
        address,
        &file(address, upstream.address, "drain_timeout = \"300ms\""),
    );
    let mut clients = [(); 3].map(|()| connect(address, 8080));
    for (client, path) in clients.iter_mut().zip(["/endless", "/", "/"]) {
        client
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .expect("the gateway reads");
    }
    wait_for("the requests are in flight", || upstream.hits() == 3);
    process.signal("TERM");
    assert_eq!(process.wait_for_exit().code(), Some(1));
    let log = process.printed().1;
    let stopped = "\"message\":\"stopped; requests aborted after drain_timeout\",\"requests\":3,\"streams\":0";
    assert!(log.contains(stopped), "{log}");
    // The access log has a line for each of them.
    assert_eq!(log.matches("\"message\":\"request\"").count(), 3, "{log}");
}

#[test]
fn truncated_response_does_not_look_complete_to_an_http10_client() {
    let address = own_address();
    let upstream = Server::start(|_| {
        Reply::RawThenHang(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec(),
        )
    });
    for signal in ["TERM", "KILL"] {
        let mut process = Process::start(
            address,
            &file(address, upstream.address, "drain_timeout = \"300ms\""),
        );
        let mut client = connect(address, 8080);
        client
            .write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            .expect("the gateway reads");
        let mut read = Vec::new();
        while !read.ends_with(b"half") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("half a response");
            read.push(byte[0]);
        }
        process.signal(signal);
        let end = client.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{signal}");
        process.wait_for_exit();
    }
}

#[test]
fn open_streams_and_silent_clients_do_not_change_the_exit_code() {
    let address = own_address();
    let upstream = Server::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::RawThenHang(format!("{head}9\r\ndata: x\n\n\r\n").into_bytes())
    });
    let mut process = Process::start(
        address,
        &file(address, upstream.address, "drain_timeout = \"1500ms\""),
    );
    let mut stream = connect(address, 8080);
    assert!(head(&mut stream).starts_with("http/1.1 200 "));
    let _silent = connect(address, 8080);
    let mut half = connect(address, 8080);
    half.write_all(b"GET / HTTP/1.1\r\nHo")
        .expect("the gateway reads");
    process.signal("TERM");
    assert_eq!(process.wait_for_exit().code(), Some(0));
    let log = process.printed().1;
    assert!(
        log.contains("\"message\":\"stopped\",\"streams\":1"),
        "{log}"
    );
}

#[test]
fn tunnel_stays_open_until_drain_timeout() {
    let address = own_address();
    let upstream = TcpListener::bind((address, 0)).expect("a port");
    let port = upstream.local_addr().expect("a bound socket").port();
    // An upstream that switches protocols and echoes every byte.
    thread::spawn(move || {
        let (mut socket, _) = upstream.accept().expect("the gateway");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        socket
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .expect("the gateway reads");
        let mut chunk = [0; 64];
        while let Ok(read @ 1..) = socket.read(&mut chunk) {
            socket.write_all(&chunk[..read]).expect("the gateway reads");
        }
    });
    let mut process = Process::start(
        address,
        &format!(
            "[server]\nlisten = \"{address}:8080\"\nworkers = 1\ndrain_timeout = \"1s\"\n\
             [upstreams.up]\ntargets = \"http://{address}:{port}\"\n\
             [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
        ),
    );
    let mut socket = connect(address, 8080);
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .expect("the gateway reads");
    let mut head = [0; 12];
    socket.read_exact(&mut head).expect("a response");
    assert_eq!(&head, b"HTTP/1.1 101");
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        rest.push(byte[0]);
    }

    process.signal("TERM");
    let began = Instant::now();
    let mut echoed = 0;
    while socket.write_all(b"x").is_ok() && matches!(socket.read(&mut [0]), Ok(1)) {
        echoed += 1;
        // Paces the echoes of a tunnel in use.
        thread::sleep(Duration::from_millis(20));
    }
    let lasted = began.elapsed();
    assert!(echoed > 5, "{echoed} bytes went through after the signal");
    assert!(
        lasted > Duration::from_millis(900) && lasted < Duration::from_secs(5),
        "the tunnel lasted {lasted:?}"
    );
    assert!(process.wait_for_exit().success());
}

#[test]
fn drain_waits_for_an_upload_that_outlasts_its_response() {
    const SIZE: usize = 50_000;
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\n",
    ] {
        let address = own_address();
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let upstream = listener.local_addr().expect("a bound socket");
        let uploading = thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a connection");
            socket
                .set_read_timeout(Some(Duration::from_secs(20)))
                .expect("an open socket");
            read_until(&mut socket, b"\r\n\r\n");
            socket
                .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
                .expect("the gateway reads");
            socket
                .read_exact(&mut vec![0; SIZE])
                .expect("the whole body");
        });
        let mut process = Process::start(address, &file(address, upstream, ""));
        let mut client = connect(address, 8080);
        client
            .write_all(format!("{request}Content-Length: {SIZE}\r\n\r\n").as_bytes())
            .expect("the gateway reads");
        read_until(&mut client, b"ok");
        client
            .write_all(&vec![b'x'; SIZE / 2])
            .expect("the gateway reads");
        terminate(&process);
        // The drain has begun at the worker as well.
        wait_for("the listener is closed", || {
            TcpStream::connect((address, 8080)).is_err()
        });
        client
            .write_all(&vec![b'x'; SIZE / 2])
            .expect("the gateway reads");
        uploading.join().expect("no panic");
        assert_eq!(process.wait_for_exit().code(), Some(0), "{request:?}");
    }
}

//! What becomes of connections and requests when the process is to stop, and what its exit code says of them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{Process, TIMEOUT, own_address, upstream, wait};
use harness::{Reply, Server};

fn file(address: Ipv4Addr, upstream: SocketAddr, keys: &str) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 2\n{keys}\n[upstreams.up]\ntargets = \"http://{upstream}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n"
    )
}

fn connected(address: Ipv4Addr) -> TcpStream {
    let socket = TcpStream::connect((address, 8080)).expect("it listens");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
    socket
}

/// Sends a request and reads the head of its response.
fn head(socket: &mut TcpStream) -> String {
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("it reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("ASCII").to_ascii_lowercase()
}

fn terminated(process: &Process) {
    process.signal("TERM");
    wait("it is stopping", || {
        process.printed().1.contains("shutting down")
    });
}

#[test]
fn client_of_http1_is_told_with_its_next_response_that_the_gateway_ends() {
    let address = own_address();
    let mut process = Process::start(
        address,
        &file(address, upstream(address), "drain_delay = \"1h\""),
    );
    let mut kept = connected(address);
    assert!(!head(&mut kept).contains("connection: close"));
    kept.read_exact(&mut [0; 2]).expect("a body");
    terminated(&process);
    for mut client in [kept, connected(address)] {
        let head = head(&mut client);
        assert!(
            head.starts_with("http/1.1 200 ") && head.contains("\r\nconnection: close\r\n"),
            "{head}"
        );
        let mut rest = String::new();
        client
            .read_to_string(&mut rest)
            .expect("a body, and the end");
        assert_eq!(rest, "ok");
    }
    process.signal("TERM");
    assert_eq!(process.stopped().code(), Some(0));
}

/// A client of HTTP/2 that sees every frame.
struct Frames(TcpStream);

const HEADERS: u8 = 1;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

impl Frames {
    fn open(address: Ipv4Addr) -> Self {
        let mut socket = connected(address);
        socket
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .expect("it reads");
        Self(socket)
    }

    /// Asks for `/` on a stream.
    fn ask(&mut self, stream: u8) {
        // GET, http, /, and an authority (RFC 7541 §6, appendix A).
        let fields = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
        self.0
            .write_all(&[&[0, 0, 6, HEADERS, 5, 0, 0, 0, stream][..], &fields].concat())
            .expect("it reads");
    }

    /// Reads a frame: its kind and its payload; none where the connection ends first. Pings are answered.
    fn read(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 9];
        self.0.read_exact(&mut header).ok()?;
        let mut payload = vec![0; usize::from(u16::from_be_bytes([header[1], header[2]]))];
        self.0.read_exact(&mut payload).ok()?;
        if header[3] == PING && header[4] == 0 {
            self.0
                .write_all(&[&[0, 0, 8, PING, 1, 0, 0, 0, 0], &*payload].concat())
                .expect("it reads");
        }
        Some((header[3], payload))
    }

    fn until(&mut self, wanted: u8) -> Vec<u8> {
        loop {
            match self.read().expect("such a frame") {
                (kind, payload) if kind == wanted => return payload,
                _ => {}
            }
        }
    }
}

#[test]
fn client_of_http2_is_told_to_go_during_drain_delay_and_what_it_asks_is_answered() {
    let address = own_address();
    let mut process = Process::start(
        address,
        &file(address, upstream(address), "drain_delay = \"1h\""),
    );
    let mut kept = Frames::open(address);
    kept.ask(1);
    kept.until(HEADERS);
    terminated(&process);
    // The first one tells that it ends, the second one which stream was the last (RFC 9113 §6.8).
    let goodbye = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let last_was_1 = [0, 0, 0, 1, 0, 0, 0, 0];
    // Nothing else would tell a client that is idle.
    assert_eq!(
        (kept.until(GOAWAY), kept.until(GOAWAY)),
        (goodbye.to_vec(), last_was_1.to_vec())
    );
    let mut new = Frames::open(address);
    new.ask(1);
    let (mut goodbyes, mut responses) = (Vec::new(), 0);
    while let Some((kind, payload)) = new.read() {
        match kind {
            GOAWAY => goodbyes.push(payload),
            HEADERS => responses += 1,
            _ => {}
        }
    }
    assert_eq!(
        (goodbyes, responses),
        (vec![goodbye.to_vec(), last_was_1.to_vec()], 1)
    );
    process.signal("TERM");
    assert_eq!(process.stopped().code(), Some(0));
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
    let mut clients = [(); 3].map(|()| connected(address));
    for (client, path) in clients.iter_mut().zip(["/endless", "/", "/"]) {
        client
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .expect("it reads");
    }
    wait("they are under way", || upstream.hits() == 3);
    process.signal("TERM");
    assert_eq!(process.stopped().code(), Some(1));
    let log = process.printed().1;
    let stopped = "\"message\":\"stopped; requests aborted after drain_timeout\",\"requests\":3,\"streams\":0";
    assert!(log.contains(stopped), "{log}");
    // What was cut off is told as what it came to.
    assert_eq!(log.matches("\"message\":\"request\"").count(), 3, "{log}");
}

#[test]
fn response_that_the_end_of_the_process_cuts_off_does_not_look_whole_to_a_client_of_http10() {
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
        let mut client = connected(address);
        client
            .write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            .expect("it reads");
        let mut read = Vec::new();
        while !read.ends_with(b"half") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("half a response");
            read.push(byte[0]);
        }
        process.signal(signal);
        let end = client.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{signal}");
        process.stopped();
    }
}

#[test]
fn streams_and_clients_that_are_silent_do_not_change_the_exit_code() {
    let address = own_address();
    let upstream = Server::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n";
        Reply::RawThenHang(format!("{head}9\r\ndata: x\n\n\r\n").into_bytes())
    });
    let mut process = Process::start(
        address,
        &file(address, upstream.address, "drain_timeout = \"1500ms\""),
    );
    let mut stream = connected(address);
    assert!(head(&mut stream).starts_with("http/1.1 200 "));
    let _silent = connected(address);
    let mut half = connected(address);
    half.write_all(b"GET / HTTP/1.1\r\nHo").expect("it reads");
    process.signal("TERM");
    assert_eq!(process.stopped().code(), Some(0));
    let log = process.printed().1;
    assert!(
        log.contains("\"message\":\"stopped\",\"streams\":1"),
        "{log}"
    );
}

#[test]
fn tunnel_goes_on_while_the_process_drains_and_is_cut_off_at_the_deadline() {
    let address = own_address();
    let upstream = TcpListener::bind((address, 0)).expect("a port");
    let port = upstream.local_addr().expect("a bound socket").port();
    // Agrees to the other protocol, and sends everything back.
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
    let mut socket = TcpStream::connect((address, 8080)).expect("it listens");
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a time-out");
    socket
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
        .expect("it reads");
    let mut head = [0; 12];
    socket.read_exact(&mut head).expect("an answer");
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
    // Until it is cut off.
    while socket.write_all(b"x").is_ok() && matches!(socket.read(&mut [0]), Ok(1)) {
        echoed += 1;
        // A tunnel in use: the pause only paces the echoes.
        thread::sleep(Duration::from_millis(20));
    }
    let lasted = began.elapsed();
    assert!(echoed > 5, "{echoed} bytes went through after the signal");
    assert!(
        lasted > Duration::from_millis(900) && lasted < Duration::from_secs(5),
        "it lasted {lasted:?}"
    );
    assert!(process.stopped().success());
}

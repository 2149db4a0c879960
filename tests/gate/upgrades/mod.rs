//! Upgrades to WebSocket and other protocols (RFC 9110 §7.8).

mod refused_switches;
mod token_expiry;
mod websocket;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use harness::{Connection, Reply, TIMEOUT, TestBed, eventually, send};

const ROUTES: &str = "[[routes]]\npath = \"/ws\"\nscope = \"read\"\nupstream = \"up\"\n";

const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Custom: yes\r\n\r\n";

/// An upstream that reads one head per connection, sends it to the test, then runs `serve`.
fn upstream(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, (sender, heads)) = (listener.local_addr().expect("bound"), channel());
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match socket.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
            if sender
                .send(String::from_utf8(head).expect("ASCII"))
                .is_err()
            {
                return;
            }
            serve(socket);
        }
    });
    (address, heads)
}

fn echo(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = socket.read(&mut buffer) {
        if socket.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn test_bed(upstream: SocketAddr, top: &str) -> TestBed {
    TestBed::toml(
        top,
        "",
        "",
        &format!("{ROUTES}[upstreams.tunnel]\ntargets = \"http://{upstream}\"\n")
            .replace("upstream = \"up\"", "upstream = \"tunnel\""),
    )
}

fn request(token: &str, lines: &str) -> String {
    format!("GET /ws HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{lines}\r\n")
}

const UPGRADE: &str =
    "Connection: keep-alive, Upgrade\r\nUpgrade: echo\r\nSec-WebSocket-Key: k\r\n";

fn read_exactly(connection: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes).expect("what was sent");
    bytes
}

#[test]
fn bytes_are_forwarded_both_ways_after_the_101_and_none_before() {
    let (address, heads) = upstream(|mut socket| {
        // Shows an absence: no byte arrives before the 101.
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a timeout");
        assert!(
            socket.read(&mut [0; 16]).is_err(),
            "a byte arrived before the 101"
        );
        socket.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        // The first bytes are sent together with the head.
        socket
            .write_all(format!("{ACCEPTED}first").as_bytes())
            .expect("an open connection");
        echo(socket);
    });
    let test_bed = test_bed(address, "");
    let mut connection = Connection::open(test_bed.address);
    // A client may send before it has read the 101.
    connection.write(request(&test_bed.token("read"), UPGRADE) + "early");
    let response = connection.try_read(false).expect("a response");
    assert_eq!(
        (
            response.status,
            response.header("upgrade"),
            response.header("connection")
        ),
        (101, Some("echo"), Some("upgrade"))
    );
    assert_eq!(response.header("x-custom"), Some("yes"));
    assert!(connection.reads_until("firstearly"));
    let large = vec![b'x'; 1 << 20];
    let mut socket = connection.clone_socket();
    thread::scope(|scope| {
        scope.spawn(|| {
            connection
                .clone_socket()
                .write_all(&large)
                .expect("an open connection")
        });
        assert!(read_exactly(&mut socket, large.len()) == large);
    });
    let head = heads.recv_timeout(TIMEOUT).expect("a head").to_lowercase();
    for line in [
        "connection: upgrade\r\n",
        "upgrade: echo\r\n",
        "sec-websocket-key: k\r\n",
        "via: 1.1 scopegate\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
}

#[test]
fn protocol_is_switched_only_with_a_sufficient_token() {
    let (address, heads) = upstream(|mut socket| {
        socket
            .write_all(ACCEPTED.as_bytes())
            .expect("an open connection");
        echo(socket);
    });
    let test_bed = test_bed(address, "");
    let no_token = send(
        test_bed.address,
        format!("GET /ws HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n"),
    );
    assert_eq!(
        (no_token.status, no_token.challenge()),
        (401, Some("Bearer"))
    );
    let narrow = send(test_bed.address, request(&test_bed.token("other"), UPGRADE));
    assert_eq!(narrow.status, 403);
    assert!(heads.try_recv().is_err(), "the upstream was reached");
}

#[test]
fn closed_sending_half_is_forwarded_and_the_other_half_stays_open() {
    let (address, _heads) = upstream(|mut socket| {
        socket
            .write_all(ACCEPTED.as_bytes())
            .expect("an open connection");
        let mut all = Vec::new();
        socket.read_to_end(&mut all).expect("an end");
        socket.write_all(&all).expect("an open connection");
    });
    let test_bed = test_bed(address, "");
    let mut connection = Connection::open(test_bed.address);
    connection.write(request(&test_bed.token("read"), UPGRADE));
    assert_eq!(connection.try_read(false).expect("a response").status, 101);
    let mut socket = connection.clone_socket();
    socket.write_all(b"all of it").expect("an open connection");
    socket.shutdown(Shutdown::Write).expect("open");
    let mut all = String::new();
    socket.read_to_string(&mut all).expect("an end");
    assert_eq!(all, "all of it");
}

#[test]
fn idle_tunnel_times_out() {
    let (address, _heads) = upstream(|mut socket| {
        socket
            .write_all(ACCEPTED.as_bytes())
            .expect("an open connection");
        echo(socket);
    });
    let test_bed = test_bed(
        address,
        "[server]\nbody_idle_timeout = \"400ms\"\nkeep_alive_timeout = \"100ms\"\nheader_timeout = \"5s\"\n",
    );
    let mut connection = Connection::open(test_bed.address);
    connection.write(request(&test_bed.token("read"), UPGRADE));
    assert_eq!(connection.try_read(false).expect("a response").status, 101);
    let (mut socket, began) = (connection.clone_socket(), Instant::now());
    for _ in 0..6 {
        socket.write_all(b"ping").expect("an open connection");
        assert_eq!(read_exactly(&mut socket, 4), b"ping");
        // Paces the echoes: together they outlast the idle timeout, but no pause does.
        thread::sleep(Duration::from_millis(100));
    }
    assert!(connection.is_closed());
    assert!(
        (600..5000).contains(&began.elapsed().as_millis()),
        "after {:?}",
        began.elapsed()
    );
}

#[test]
fn response_of_an_upstream_that_declines_is_forwarded() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.upstream.script(|_| Reply::text("no"));
    let mut connection = Connection::open(test_bed.address);
    for _ in 0..2 {
        let response = connection.ask(request(&test_bed.token("read"), UPGRADE));
        assert_eq!((response.status, response.text()), (200, "no".to_owned()));
    }
    let received = test_bed.last();
    assert_eq!(
        (received.header("upgrade"), received.header("connection")),
        (vec!["echo"], vec!["upgrade"])
    );
}

#[test]
fn head_of_a_101_has_no_length() {
    let (address, _heads) = upstream(|mut socket| {
        let head = ACCEPTED.replace(
            "X-Custom: yes",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
        );
        socket
            .write_all(head.as_bytes())
            .expect("an open connection");
        echo(socket);
    });
    let test_bed = test_bed(address, "");
    let mut connection = Connection::open(test_bed.address);
    connection.write(request(&test_bed.token("read"), UPGRADE));
    let response = connection.try_read(false).expect("a response");
    assert_eq!(
        (response.status, response.header("upgrade")),
        (101, Some("echo"))
    );
    assert_eq!(
        (
            response.header("content-length"),
            response.header("transfer-encoding")
        ),
        (None, None)
    );
    connection.write("hello");
    assert!(connection.reads_until("hello"));
}

#[test]
fn upgrade_to_an_unreachable_upstream_is_a_502() {
    let unreachable = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound");
    let test_bed = test_bed(unreachable, "");
    assert_eq!(
        send(test_bed.address, request(&test_bed.token("read"), UPGRADE)).status,
        502
    );
    eventually("the failure is logged", || {
        harness::logged("upstream_connect_failed")
    });
}

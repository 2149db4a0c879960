//! WebSocket and other protocols that a connection may go on in (RFC 9110 §7.8).

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

const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Told: yes\r\n\r\n";

/// An upstream that reads one head, does as it is told, and says what it read.
fn upstream(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let (address, (tell, heads)) = (listener.local_addr().expect("bound"), channel());
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(mut socket) = socket else { return };
            socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match socket.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
            if tell.send(String::from_utf8(head).expect("ASCII")).is_err() {
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

fn test_bed(upstream: SocketAddr, front: &str) -> TestBed {
    TestBed::toml(
        front,
        "",
        "",
        &format!("{ROUTES}[upstreams.far]\ntargets = \"http://{upstream}\"\n")
            .replace("upstream = \"up\"", "upstream = \"far\""),
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
fn bytes_go_both_ways_after_the_101_and_none_before() {
    let (address, heads) = upstream(|mut socket| {
        // Nothing may come before the 101.
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a time-out");
        assert!(
            socket.read(&mut [0; 16]).is_err(),
            "a byte came before the 101"
        );
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        // The first bytes come with the head.
        socket
            .write_all(format!("{ACCEPTED}first").as_bytes())
            .expect("it reads");
        echo(socket);
    });
    let test_bed = test_bed(address, "");
    let mut connection = Connection::open(test_bed.address);
    // Whoever is sure of the answer does not wait for it.
    connection.write(request(&test_bed.token("read"), UPGRADE) + "early");
    let answer = connection.try_read(false).expect("an answer");
    assert_eq!(
        (
            answer.status,
            answer.header("upgrade"),
            answer.header("connection")
        ),
        (101, Some("echo"), Some("upgrade"))
    );
    assert_eq!(answer.header("x-told"), Some("yes"));
    assert!(connection.reads_until("firstearly"));
    let big = vec![b'x'; 1 << 20];
    let mut hand = connection.clone_socket();
    thread::scope(|scope| {
        scope.spawn(|| connection.clone_socket().write_all(&big).expect("it reads"));
        assert!(read_exactly(&mut hand, big.len()) == big);
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
fn protocol_is_switched_for_who_has_the_scope_and_nobody_else() {
    let (address, heads) = upstream(|mut socket| {
        socket.write_all(ACCEPTED.as_bytes()).expect("it reads");
        echo(socket);
    });
    let test_bed = test_bed(address, "");
    let without = send(
        test_bed.address,
        format!("GET /ws HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n"),
    );
    assert_eq!((without.status, without.challenge()), (401, Some("Bearer")));
    let narrow = send(test_bed.address, request(&test_bed.token("other"), UPGRADE));
    assert_eq!(narrow.status, 403);
    assert!(heads.try_recv().is_err(), "the upstream was reached");
}

#[test]
fn end_that_finishes_is_told_to_the_other_which_may_go_on() {
    let (address, _heads) = upstream(|mut socket| {
        socket.write_all(ACCEPTED.as_bytes()).expect("it reads");
        let mut all = Vec::new();
        socket.read_to_end(&mut all).expect("an end");
        socket.write_all(&all).expect("it reads");
    });
    let test_bed = test_bed(address, "");
    let mut connection = Connection::open(test_bed.address);
    connection.write(request(&test_bed.token("read"), UPGRADE));
    assert_eq!(connection.try_read(false).expect("an answer").status, 101);
    let mut hand = connection.clone_socket();
    hand.write_all(b"all of it").expect("it reads");
    hand.shutdown(Shutdown::Write).expect("open");
    let mut all = String::new();
    hand.read_to_string(&mut all).expect("an end");
    assert_eq!(all, "all of it");
}

#[test]
fn silence_ends_it() {
    let (address, _heads) = upstream(|mut socket| {
        socket.write_all(ACCEPTED.as_bytes()).expect("it reads");
        echo(socket);
    });
    let test_bed = test_bed(
        address,
        "[server]\nbody_idle_timeout = \"400ms\"\nkeep_alive_timeout = \"100ms\"\nheader_timeout = \"5s\"\n",
    );
    let mut connection = Connection::open(test_bed.address);
    connection.write(request(&test_bed.token("read"), UPGRADE));
    assert_eq!(connection.try_read(false).expect("an answer").status, 101);
    let (mut hand, began) = (connection.clone_socket(), Instant::now());
    for _ in 0..6 {
        hand.write_all(b"ping").expect("it reads");
        assert_eq!(read_exactly(&mut hand, 4), b"ping");
        // Paces the echoes.
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
fn upstream_that_declines_answers_as_usual() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.upstream.script(|_| Reply::text("no"));
    let mut connection = Connection::open(test_bed.address);
    for _ in 0..2 {
        let answer = connection.ask(request(&test_bed.token("read"), UPGRADE));
        assert_eq!((answer.status, answer.text()), (200, "no".to_owned()));
    }
    let received = test_bed.last();
    assert_eq!(
        (received.header("upgrade"), received.header("connection")),
        (vec!["echo"], vec!["upgrade"])
    );
}

#[test]
fn head_of_a_switch_has_no_length() {
    let (address, _heads) = upstream(|mut socket| {
        let head = ACCEPTED.replace(
            "X-Told: yes",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
        );
        socket.write_all(head.as_bytes()).expect("it reads");
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
fn upstream_that_is_gone_is_a_502_and_a_tunnel_is_logged_at_its_end() {
    let gone = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound");
    let test_bed = test_bed(gone, "");
    assert_eq!(
        send(test_bed.address, request(&test_bed.token("read"), UPGRADE)).status,
        502
    );
    eventually("it is logged", || {
        harness::logged("upstream_connect_failed")
    });
}

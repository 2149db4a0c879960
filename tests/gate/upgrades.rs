//! WebSocket and other protocols that a connection may go on in (RFC 9110 §7.8).

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use harness::{Authority, Connection, Reply, TIMEOUT, TestBed, eventually, send};

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

/// A WebSocket server that says everything back.
fn websocket_upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for socket in listener.incoming() {
            let Ok(socket) = socket else { return };
            thread::spawn(move || {
                let Ok(mut session) = tungstenite::accept(socket) else {
                    return;
                };
                while let Ok(message) = session.read() {
                    if (message.is_binary() || message.is_text()) && session.send(message).is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn speaks_websocket<S: Read + Write>(stream: S, token: &str) {
    let mut request = "ws://a.test/ws".into_client_request().expect("a request");
    let value = format!("Bearer {token}").parse().expect("a header value");
    request.headers_mut().insert("authorization", value);
    let (mut session, answer) = tungstenite::client(request, stream).expect("a handshake");
    assert_eq!(answer.status(), 101);
    for length in [1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
        let message = Message::binary(vec![7; length]);
        session.send(message.clone()).expect("it reads");
        assert!(
            session.read().expect("an answer") == message,
            "{length} bytes"
        );
    }
    session
        .send(Message::Ping(vec![1].into()))
        .expect("it reads");
    assert_eq!(
        session.read().expect("an answer"),
        Message::Pong(vec![1].into())
    );
    session.close(None).expect("it reads");
    assert!(session.read().is_ok_and(|message| message.is_close()));
    assert!(session.read().is_err(), "both have closed");
}

#[test]
fn websocket_of_other_peoples_making_goes_through_plain_and_over_tls() {
    let authority = Authority::generate();
    let (certificate, key) = authority.files("a", "a.test");
    let listener = format!(
        "[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n",
        certificate.display(),
        key.display()
    );
    let test_bed = test_bed(websocket_upstream(), &format!("[server]\n{listener}"));
    let token = test_bed.token("read");
    let connect = |address: SocketAddr| {
        let socket = TcpStream::connect(address).expect("it listens");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time-out");
        socket
    };
    speaks_websocket(connect(test_bed.address), &token);
    let name = ServerName::try_from("a.test").expect("a name");
    let session =
        ClientConnection::new(Arc::new(authority.trusting(None)), name).expect("a session");
    speaks_websocket(
        StreamOwned::new(session, connect(test_bed.gateway.addresses[1])),
        &token,
    );
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
    let mut hand = connection.another_hand();
    thread::scope(|scope| {
        scope.spawn(|| connection.another_hand().write_all(&big).expect("it reads"));
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
    let mut hand = connection.another_hand();
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
    let (mut hand, began) = (connection.another_hand(), Instant::now());
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
fn stream_ends_with_its_token_where_the_route_says_so() {
    let (address, _heads) = upstream(|mut socket| {
        socket.write_all(ACCEPTED.as_bytes()).expect("it reads");
        echo(socket);
    });
    let events = format!(
        "[upstreams.far]\ntargets = \"http://{address}\"\n\
         [[routes]]\npath = \"/ws\"\nupstream = \"far\"\nclose_at_expiry = true\n\
         [[routes]]\npath = \"/events\"\nupstream = \"up\"\nclose_at_expiry = true\n\
         [[routes]]\npath = \"/patient\"\nupstream = \"up\"\n"
    );
    let test_bed = TestBed::toml(
        "[server]\nbody_idle_timeout = \"3s\"\n",
        "leeway = \"0s\"",
        "",
        &events,
    );
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\n\n\r\n";
    test_bed
        .upstream
        .script(|_| Reply::RawThenHang(head.to_vec()));
    let mut claims = test_bed.issuer.claims("read");
    claims["exp"] = serde_json::json!(harness::NOW + 1);
    let brief = test_bed.key.token(&claims);
    let ask = |path: &str, lines: &str| {
        let mut connection = Connection::open(test_bed.address);
        connection.write(request(&brief, lines).replace("/ws", path));
        connection
    };
    let (mut switched, mut events, mut patient) =
        (ask("/ws", UPGRADE), ask("/events", ""), ask("/patient", ""));
    assert_eq!(switched.try_read(false).expect("an answer").status, 101);
    let began = Instant::now();
    assert!(switched.is_closed());
    assert!(
        events.reads_until("\n\n\r\n") && !events.reads_until("0\r\n\r\n"),
        "it breaks off"
    );
    assert!(
        (800..2800).contains(&began.elapsed().as_millis()),
        "after {:?}",
        began.elapsed()
    );
    assert!(!patient.reads_until("0\r\n\r\n"));
    assert!(
        began.elapsed() > Duration::from_millis(2800),
        "that one ends with its upstream's silence"
    );
    eventually("it is logged", || harness::logged("token_ended"));
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
fn other_versions_of_http_are_not_switched_to() {
    let test_bed = TestBed::routes(ROUTES);
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
        "Connection: Upgrade\r\nUpgrade: \"h2c\"\r\n",
        "Connection: Upgrade\r\nUpgrade: x/h2c\r\n",
        "Connection: Upgrade\r\nUpgrade:\r\n",
        "Connection: Upgrade\r\nUpgrade: ,\r\n",
        "Connection: Upgrade\r\nUpgrade: \"websocket\"\r\n",
        "Connection: Upgrade\r\nUpgrade: web socket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket/13/h2c\r\n",
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: echo\r\n",
    ] {
        assert_eq!(
            send(test_bed.address, request(&test_bed.token("read"), lines)).status,
            200,
            "{lines}"
        );
        let received = test_bed.last();
        assert!(
            received.header("upgrade").is_empty() && received.header("connection").is_empty(),
            "{received:?}"
        );
        assert!(received.header("http2-settings").is_empty(), "{received:?}");
    }
    // What is left of a list goes on.
    let lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, WebSocket\r\nHTTP2-Settings: AAMAAABk\r\n";
    assert_eq!(
        send(test_bed.address, request(&test_bed.token("read"), lines)).status,
        200
    );
    let received = test_bed.last();
    assert_eq!(
        (received.header("upgrade"), received.header("connection")),
        (vec!["WebSocket"], vec!["upgrade"])
    );
    assert!(received.header("http2-settings").is_empty(), "{received:?}");
}

#[test]
fn switch_that_nobody_asked_for_is_a_broken_answer() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed
        .upstream
        .script(|_| Reply::RawThenHang(ACCEPTED.as_bytes().to_vec()));
    let answer = send(test_bed.address, request(&test_bed.token("read"), ""));
    assert_eq!((answer.status, answer.challenge()), (502, None));
}

#[test]
fn switch_to_another_protocol_than_was_asked_for_is_a_broken_answer_and_ends_its_connection() {
    let test_bed = TestBed::routes(ROUTES);
    for (asked, head) in [
        (
            "websocket",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ),
        ("websocket", "HTTP/1.1 101 X\r\nConnection: Upgrade\r\n\r\n"),
        (
            "websocket",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade:\r\n\r\n",
        ),
        ("websocket", "HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"),
        (
            "websocket",
            "HTTP/1.0 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ),
        (
            "websocket",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket/13\r\n\r\n",
        ),
        (
            "websocket, echo",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket, echo\r\n\r\n",
        ),
        (
            "websocket, h2c",
            "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        ),
    ] {
        test_bed.upstream.script(move |_| {
            Reply::RawThenHang(format!("{head}HTTP/1.1 200 OK\r\n\r\nstray").into_bytes())
        });
        let lines = format!("Connection: Upgrade\r\nUpgrade: {asked}\r\n");
        let response = send(test_bed.address, request(&test_bed.token("read"), &lines));
        assert_eq!(
            (response.status, response.text().contains("stray")),
            (502, false),
            "{head:?} for {asked}"
        );
    }
    test_bed.upstream.script(|_| Reply::text("hello"));
    assert_eq!(
        send(test_bed.address, request(&test_bed.token("read"), "")).text(),
        "hello"
    );
    // The one that answers, at most, is open still.
    eventually("their connections are closed", || {
        test_bed.upstream.closed() + 2 >= test_bed.upstream.connections()
    });
    eventually("it is logged", || {
        harness::logged("to switch to a requested protocol")
    });
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

#[test]
fn upload_ends_with_its_token_where_the_route_says_so() {
    let routes = "[[routes]]\npath = \"/up\"\nupstream = \"up\"\nclose_at_expiry = true\n";
    let test_bed = TestBed::toml("", "leeway = \"0s\"", "", routes);
    let mut claims = test_bed.issuer.claims("");
    claims["exp"] = serde_json::json!(harness::NOW + 1);
    let brief = test_bed.key.token(&claims);
    let mut connection = Connection::open(test_bed.address);
    connection.write(format!(
        "POST /up HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {brief}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    let mut hand = connection.another_hand();
    let began = Instant::now();
    // It goes on and on.
    let uploading = std::thread::spawn(move || {
        while hand.write_all(b"1\r\nx\r\n").is_ok() && began.elapsed() < Duration::from_secs(8) {
            // Paces the upload.
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let refused = connection.read(false);
    assert_eq!(
        (refused.status, refused.challenge()),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    assert!(
        (800..5000).contains(&began.elapsed().as_millis()),
        "after {:?}",
        began.elapsed()
    );
    drop(connection);
    uploading.join().expect("it ends");
    assert_eq!(test_bed.hits(), 0, "half an upload is no request");
}

//! Exchanges over HTTP/1.1 with upstreams whose responses are early, late, duplicate, truncated or
//! ambiguous.

mod client_disconnects;
mod early_responses;
mod http10_clients;
mod last_requests;
mod request_targets;
mod surplus_responses;
mod tls;
mod unbounded_responses;

use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use harness::{Connection, Gateway, Reply, Server, TIMEOUT, eventually, send};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn target_metric(gateway: &Gateway, name: &str, target: impl Display) -> Option<f64> {
    gateway.metric(&format!(
        "scopegate_upstream_target_{name}{{upstream=\"up\",target=\"{target}\"}}"
    ))
}

fn gateway(upstream: impl Display) -> Gateway {
    gateway_with("", "http", upstream, "")
}

fn gateway_with(server: &str, scheme: &str, upstream: impl Display, settings: &str) -> Gateway {
    Gateway::start(&format!(
        "{server}[upstreams.up]\ntargets = \"{scheme}://{upstream}\"\n{settings}\n\
         [[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
    ))
}

/// Uploads until the gateway takes no more, disconnects, and waits until the exchange has ended.
fn upload_until_stuck(gateway: &Gateway, upstream: SocketAddr) {
    let mut connection = Connection::open(gateway.address);
    connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 67108864\r\n\r\nx");
    assert_eq!(connection.read(false).status, 200);
    let mut writer = connection.clone_socket();
    writer
        .set_write_timeout(Some(Duration::from_millis(300)))
        .expect("an open socket");
    while writer.write_all(&[b'x'; 65536]).is_ok() {}
    drop((writer, connection));
    eventually("the exchange has ended", || {
        target_metric(gateway, "in_flight", upstream) == Some(0.0)
    });
}

/// An upstream that runs `serve` on each connection.
fn upstream(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (socket, serve) = (socket.expect("a connection"), Arc::clone(&serve));
            socket
                .set_read_timeout(Some(TIMEOUT))
                .expect("an open socket");
            socket
                .set_write_timeout(Some(TIMEOUT))
                .expect("an open socket");
            thread::spawn(move || serve(socket));
        }
    });
    address
}

/// An upstream that runs `serve` on one connection; the handle returns its result.
fn upstream_once<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let serving = thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a connection");
        socket
            .set_read_timeout(Some(TIMEOUT))
            .expect("an open socket");
        socket
            .set_write_timeout(Some(TIMEOUT))
            .expect("an open socket");
        serve(socket)
    });
    (address, serving)
}

fn read_head(socket: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("more of the head");
        head.push(byte[0]);
    }
    head
}

#[test]
fn ambiguous_response_is_a_502_and_closes_its_connection() {
    let server = Server::start(|_| Reply::text("hello"));
    let gateway = gateway(server.address);
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length : 5",
        "A: b\r\n Content-Length: 5",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        server.script(move |_| Reply::Raw(wire.clone().into_bytes()));
        let response = send(gateway.address, GET);
        assert_eq!(
            (response.status, response.text().contains("hello")),
            (502, false),
            "{fields}"
        );
        server.script(|_| Reply::text("hello"));
        assert_eq!(send(gateway.address, GET).text(), "hello", "after {fields}");
    }
}

#[test]
fn bytes_after_a_response_reach_no_client() {
    // A second response in the same bytes, and one that arrives while the connection is idle.
    let server = Server::start(|received| {
        match &*received.target {
        "/?two" => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec(),
        ),
        "/?chunks" => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec(),
        ),
        "/?late" => Reply::InPieces(vec![
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec(),
        ]),
        _ => Reply::text("own"),
    }
    });
    let gateway = gateway(server.address);
    for target in ["/?two", "/?chunks", "/?late"] {
        let response = send(
            gateway.address,
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
        );
        assert_eq!(
            (response.text(), response.complete),
            ("one".to_owned(), true),
            "{target}"
        );
        if target == "/?late" {
            let connections = server.connections();
            eventually("the connection is closed", || {
                server.closed() == connections
            });
        }
        assert_eq!(send(gateway.address, GET).text(), "own", "after {target}");
    }
}

#[test]
fn connection_of_a_truncated_response_is_not_reused() {
    // Nothing follows the malformed part: unread bytes cannot reveal the fault to the pool.
    let server = Server::start(|_| Reply::text("own"));
    let short = "[server]\nbody_idle_timeout = \"200ms\"\n";
    let gateway = gateway_with(short, "http", server.address, "");
    for rest in [
        "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\nzz\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\nno field\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        "Content-Length: 10\r\n\r\none",
    ] {
        let wire = format!("HTTP/1.1 200 OK\r\n{rest}");
        server.script(move |_| Reply::Raw(wire.clone().into_bytes()));
        let mut client = Connection::open(gateway.address);
        client.write(GET);
        let response = client.try_read(false);
        assert!(
            response.is_none_or(|response| !response.complete),
            "{rest:?}"
        );
        server.script(|_| Reply::text("own"));
        let connections = server.connections();
        assert_eq!(send(gateway.address, GET).text(), "own", "after {rest:?}");
        assert_eq!(server.connections(), connections + 1, "after {rest:?}");
    }
}

#[test]
fn http10_response_ends_with_its_connection() {
    let server = Server::start(|_| {
        Reply::RawThenClose(b"HTTP/1.0 200 Well Done\nContent-Type: text/plain\n\nhello".to_vec())
    });
    let gateway = gateway(server.address);
    // The client's connection stays open although each upstream connection closes.
    let mut connection = Connection::open(gateway.address);
    for _ in 0..3 {
        let response = connection.ask(GET);
        assert_eq!(
            (response.status, response.text(), response.complete),
            (200, "hello".to_owned(), true)
        );
        assert_eq!(
            (response.header("content-type"), response.header("via")),
            (Some("text/plain"), Some("1.0 scopegate"))
        );
    }
}

#[test]
fn connection_closed_by_its_target_leaves_the_pool() {
    let server = Server::start(|_| {
        Reply::InPieces(vec![
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(),
        ])
    });
    let gateway = gateway(server.address);
    assert_eq!(send(gateway.address, GET).status, 200);
    eventually("the connection is in the pool", || {
        target_metric(&gateway, "connections", server.address) == Some(1.0)
    });
    server.script(|_| {
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    });
    assert_eq!(send(gateway.address, GET).status, 200);
    eventually("the connection has left the pool", || {
        target_metric(&gateway, "connections", server.address) == Some(0.0)
    });
}

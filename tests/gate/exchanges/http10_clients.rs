//! HTTP/1.0 clients: a response without a length ends with the connection (RFC 9112 §6.3).

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::{gateway, gateway_with, read_head, upstream_once};
use harness::{Authority, Gateway, Reply, Server, TIMEOUT};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("a listener");
    socket
        .set_read_timeout(Some(TIMEOUT))
        .expect("an open socket");
    socket
}

/// Reads until the connection ends; returns the bytes, and the error if it was reset.
fn read_to_end(mut stream: impl Read) -> (String, Option<ErrorKind>) {
    let mut read = Vec::new();
    let error = stream
        .read_to_end(&mut read)
        .err()
        .map(|error| error.kind());
    (String::from_utf8(read).expect("ASCII"), error)
}

fn get(address: SocketAddr, lines: &str) -> (String, Option<ErrorKind>) {
    let mut socket = connect(address);
    socket
        .write_all(format!("GET / HTTP/1.0\r\nHost: a\r\n{lines}\r\n").as_bytes())
        .expect("the gateway reads");
    read_to_end(socket)
}

fn serve(reply: Reply) -> (Server, Gateway) {
    let server = Server::start(move |_| reply.clone());
    let gateway = gateway_with(
        "[server]\nbody_idle_timeout = \"500ms\"\n",
        "http",
        server.address,
        "",
    );
    (server, gateway)
}

#[test]
fn truncated_response_never_looks_complete_to_an_http10_client() {
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec();
    for (what, reply) in [
        (
            "closed within chunks",
            Reply::RawThenClose(CHUNKED.as_bytes().to_vec()),
        ),
        (
            "reset within chunks",
            Reply::RawThenReset(CHUNKED.as_bytes().to_vec()),
        ),
        (
            "malformed chunk",
            Reply::Raw(format!("{CHUNKED}zz\r\n").into_bytes()),
        ),
        (
            "silent within chunks",
            Reply::RawThenHang(CHUNKED.as_bytes().to_vec()),
        ),
        ("reset instead of closed", Reply::RawThenReset(until_close)),
    ] {
        let (_server, gateway) = serve(reply);
        for lines in ["", "Connection: keep-alive\r\n"] {
            let (read, error) = get(gateway.address, lines);
            assert_eq!(error, Some(ErrorKind::ConnectionReset), "{what}: {read:?}");
            // An HTTP/1.1 client sees the missing last chunk, so that the received part may be
            // forwarded.
            let mut socket = connect(gateway.address);
            socket
                .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                .expect("the gateway reads");
            let (read, error) = read_to_end(socket);
            assert!(
                error.is_none() && !read.ends_with("0\r\n\r\n"),
                "{what}: {read:?}, {error:?}"
            );
            assert!(
                what.starts_with("reset instead") || read.ends_with("5\r\nhello\r\n"),
                "{what}: {read:?}"
            );
        }
    }
}

#[test]
fn complete_response_ends_normally_for_an_http10_client() {
    for (reply, body) in [
        (
            Reply::Raw(format!("{CHUNKED}0\r\n\r\n").into_bytes()),
            "hello",
        ),
        (
            Reply::InPieces(vec![CHUNKED.as_bytes().to_vec(), b"0\r\n\r\n".to_vec()]),
            "hello",
        ),
        (
            Reply::RawThenClose(b"HTTP/1.1 200 OK\r\n\r\nhello".to_vec()),
            "hello",
        ),
        (
            Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_vec()),
            "hello",
        ),
        (Reply::Raw(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()), ""),
    ] {
        let (_server, gateway) = serve(reply.clone());
        let (read, error) = get(gateway.address, "");
        assert_eq!(
            (read.split("\r\n\r\n").nth(1), error),
            (Some(body), None),
            "{reply:?}"
        );
    }
    // A body that exceeds the socket buffers, and a client that reads late.
    let big = vec![b'x'; 8 << 20];
    let chunk = [
        format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
            big.len()
        )
        .into_bytes(),
        big,
    ];
    let (_server, gateway) = serve(Reply::Raw(
        [chunk.concat(), b"\r\n0\r\n\r\n".to_vec()].concat(),
    ));
    let mut socket = connect(gateway.address);
    socket
        .write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        .expect("the gateway reads");
    // The socket buffers have to be full before the client reads; nothing shows when they are.
    thread::sleep(Duration::from_millis(100));
    let (read, error) = read_to_end(socket);
    assert_eq!(
        (read.split("\r\n\r\n").nth(1).map(str::len), error),
        (Some(8 << 20), None)
    );
}

#[test]
fn truncated_response_is_reset_for_a_half_closed_http10_client() {
    let (_server, gateway) = serve(Reply::RawThenHang(CHUNKED.as_bytes().to_vec()));
    let mut socket = connect(gateway.address);
    socket
        .write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        .expect("the gateway reads");
    let mut read = [0; 4096];
    assert!(
        socket.read(&mut read).is_ok_and(|read| read > 0),
        "the response has begun"
    );
    socket.shutdown(Shutdown::Write).expect("an open socket");
    assert_eq!(read_to_end(socket).1, Some(ErrorKind::ConnectionReset));
}

#[test]
fn truncated_response_over_tls_is_reset_without_close_notify() {
    let authority = Authority::generate();
    let (certificate, key) = authority.server_files("a", "a.test");
    let listener = format!(
        "[server]\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}\n",
        certificate.display(),
        key.display()
    );
    for (reply, expected) in [
        (
            Reply::RawThenClose(CHUNKED.as_bytes().to_vec()),
            Some(ErrorKind::ConnectionReset),
        ),
        (Reply::Raw(format!("{CHUNKED}0\r\n\r\n").into_bytes()), None),
    ] {
        let server = Server::start(move |_| reply.clone());
        let gateway = gateway_with(&listener, "http", server.address, "");
        let name = ServerName::try_from("a.test").expect("a name");
        let session = ClientConnection::new(Arc::new(authority.client_config(None)), name)
            .expect("a session");
        let mut stream = StreamOwned::new(session, connect(gateway.addresses[1]));
        stream
            .write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            .expect("the gateway reads");
        assert_eq!(read_to_end(stream).1, expected);
    }
}

#[test]
fn http10_connection_is_kept_alive_if_lengths_are_known() {
    let server = Server::start(|_| Reply::text("hello"));
    let gateway = gateway(server.address);
    let mut socket = connect(gateway.address);
    for _ in 0..3 {
        socket
            .write_all(b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
            .expect("the gateway reads");
        let mut read = Vec::new();
        while !read.ends_with(b"hello") {
            let mut bytes = [0; 512];
            let length = socket.read(&mut bytes).expect("a response");
            assert!(length > 0, "closed");
            read.extend_from_slice(&bytes[..length]);
        }
    }
}

#[test]
fn complete_response_ends_normally_while_its_upload_goes_on() {
    // More than the buffers on the way to the upstream usually hold; the gateway reads the rest.
    const SIZE: usize = 3_000_000;
    let (client_has_half, send_rest) = channel();
    let (client_has_all, end) = channel();
    let (address, upstream) = upstream_once(move |mut socket| {
        read_head(&mut socket);
        socket
            .write_all(CHUNKED.as_bytes())
            .expect("the gateway reads");
        send_rest.recv_timeout(TIMEOUT).expect("the client reads");
        socket
            .write_all(b"5\r\nworld\r\n0\r\n\r\n")
            .expect("the gateway reads");
        end.recv_timeout(TIMEOUT).expect("the client reads");
    });
    let gateway = gateway(address);
    let mut client = connect(gateway.address);
    client
        .write_all(
            format!("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes(),
        )
        .expect("the gateway reads");
    let mut sending = client.try_clone().expect("an open socket");
    let sent = thread::spawn(move || sending.write_all(&vec![b'x'; SIZE]));
    let mut half = Vec::new();
    while !half.ends_with(b"hello") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("half of the response");
        half.push(byte[0]);
    }
    client_has_half.send(()).expect("the upstream waits");
    let (rest, error) = read_to_end(&client);
    assert_eq!((&*rest, error), ("world", None));
    client_has_all.send(()).expect("the upstream waits");
    upstream.join().expect("no panic");
    drop(client);
    let _ = sent.join().expect("no panic");
}

//! Responses that begin before the request has ended.

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::{
    GET, gateway, gateway_with, read_head, target_metric, upload_until_stuck, upstream,
    upstream_once,
};
use harness::{Connection, TIMEOUT, eventually, send};

const FIRST_CHUNK: &str = "5\r\nhello\r\n";

#[test]
fn upload_continues_after_an_early_response() {
    let size = 3 * 1024 * 1024;
    let (response_read, client_has_response) = channel();
    let (address, upload) = upstream_once(move |mut socket| {
        let head = read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
            .expect("the gateway reads");
        client_has_response
            .recv_timeout(TIMEOUT)
            .expect("the client reads the response");
        let mut body = vec![0; size];
        socket.read_exact(&mut body).expect("the whole body");
        assert!(body.iter().all(|byte| *byte == b'x'));
        // The next request uses this connection again.
        let next = read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")
            .expect("the gateway reads");
        (head, next)
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\nx"
    ));
    let response = connection.read(false);
    assert_eq!((response.status, response.text()), (202, "ok".to_owned()));
    response_read.send(()).expect("the upstream waits");
    connection.write(vec![b'x'; size - 1]);
    eventually("the upload ends", || {
        target_metric(&gateway, "in_flight", address) == Some(0.0)
    });
    assert_eq!(send(gateway.address, GET).text(), "again");
    let (head, next) = upload.join().expect("no panic");
    assert!(head.starts_with(b"POST / HTTP/1.1\r\n") && next.starts_with(b"GET / HTTP/1.1\r\n"));
}

#[test]
fn exchange_lasts_until_the_upload_has_ended() {
    const SIZE: usize = 12;
    let (address, upload) = upstream_once(|mut socket| {
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
            .expect("the gateway reads");
        socket.read_exact(&mut [0; SIZE]).expect("the whole body");
    });
    // The bytes that follow the response are no request head.
    let gateway = gateway_with(
        "[server]\nheader_timeout = \"300ms\"\n",
        "http",
        address,
        "",
    );
    let mut connection = Connection::open(gateway.address);
    connection.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    assert_eq!(connection.read(false).status, 202);
    for _ in 0..SIZE {
        assert_eq!(gateway.requests.lines().len(), 0);
        // Paces the upload: it takes four times as long as a head may.
        thread::sleep(Duration::from_millis(100));
        connection.write("x");
    }
    upload.join().expect("no panic");
    eventually("the request is logged", || {
        gateway.requests.lines().len() == 1
    });
    assert_eq!(gateway.requests.lines()[0]["request_bytes"], SIZE);
}

#[test]
fn client_that_reads_only_after_its_upload_gets_an_early_response() {
    // Each body exceeds what the buffers hold. If the gateway sent one body after the other, both
    // sides would wait for ever.
    let size = 24 * 1024 * 1024;
    let (address, serving) = upstream_once(move |mut socket| {
        read_head(&mut socket);
        let mut response = socket.try_clone().expect("an open socket");
        let writer = thread::spawn(move || {
            write!(
                response,
                "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"
            )
            .expect("the gateway reads");
            response
                .write_all(&vec![b'a'; size])
                .expect("the gateway reads");
        });
        socket
            .read_exact(&mut vec![0; size])
            .expect("the whole body");
        writer.join().expect("no panic");
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    ));
    connection.write(vec![b'x'; size]);
    let response = connection.read(false);
    assert_eq!(
        (response.status, response.body.len(), response.complete),
        (200, size, true)
    );
    serving.join().expect("no panic");
}

#[test]
fn malformed_chunk_after_an_early_response_ends_the_exchange() {
    let (address, serving) = upstream_once(|mut socket| {
        read_head(&mut socket);
        let mut body = vec![0; FIRST_CHUNK.len()];
        socket.read_exact(&mut body).expect("the first chunk");
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            .expect("the gateway reads");
        let _ = socket.read_to_end(&mut body);
        body
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{FIRST_CHUNK}"
    ));
    // A malformed chunk that arrives before the response is a 400.
    assert!(connection.reads_until("ok"));
    connection.write("zz\r\n");
    let body = serving.join().expect("no panic");
    assert!(
        body.starts_with(FIRST_CHUNK.as_bytes()) && !body.ends_with(b"0\r\n\r\n"),
        "{body:?}"
    );
    let response = connection.read(false);
    assert_eq!(
        (response.status, response.text(), response.complete),
        (200, "ok".to_owned(), false)
    );
}

#[test]
fn upload_truncated_after_the_response_ends_the_upstream_connection() {
    let (address, serving) = upstream_once(|mut socket| {
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
            .expect("the gateway reads");
        // The upstream would read another request on this connection as the rest of the body.
        let mut body = Vec::new();
        socket
            .read_to_end(&mut body)
            .expect("the end of the connection");
        body
    });
    // As long as the upstream's read timeout: an idle timeout must not close the connection.
    let gateway = gateway_with("", "http", address, "pool_idle_timeout = \"60s\"\n");
    let mut connection = Connection::open(gateway.address);
    connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(connection.read(false).status, 202);
    drop(connection);
    assert_eq!(serving.join().expect("no panic"), b"hello");
}

#[test]
fn stuck_upload_after_the_response_is_abandoned() {
    let address = upstream(|mut socket| {
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .expect("the gateway reads");
        // Keeps the connection open, unread, for longer than the test takes.
        thread::sleep(2 * TIMEOUT);
    });
    upload_until_stuck(
        &gateway_with(
            "[server]\nbody_idle_timeout = \"500ms\"\n",
            "http",
            address,
            "",
        ),
        address,
    );
}

#[test]
fn upstream_that_switches_protocols_early_still_gets_the_request_head() {
    let (response_read, client_has_response) = channel();
    let (address, _serving) = upstream_once(move |mut socket| {
        socket
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .expect("the gateway reads");
        client_has_response
            .recv_timeout(TIMEOUT)
            .expect("the client reads the response");
        let head = read_head(&mut socket);
        let _ = socket.write_all(&head);
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(connection.reads_until("HTTP/1.1 101 "));
    response_read.send(()).expect("the upstream waits");
    // The upstream echoes the head.
    assert!(connection.reads_until("GET / HTTP/1.1"));
}

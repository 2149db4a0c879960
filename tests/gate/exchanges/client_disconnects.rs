//! Clients that disconnect, upstream connections that close, and retries.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::{GET, gateway, gateway_with, read_head, target_metric, upstream};
use harness::{Connection, TIMEOUT, eventually, send};

const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx";

#[test]
fn client_disconnect_at_any_moment_releases_the_upstream_connection() {
    for (moment, response, request) in [
        ("before the head", "", GET),
        ("within the head", "HTTP/1.1 200 OK\r\nA: ", GET),
        ("within an upload", "", UPLOAD),
        (
            "within chunks",
            "",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        ),
        (
            "within the response",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
            GET,
        ),
        (
            "within an upload, after the response",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            UPLOAD,
        ),
        (
            "within both",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
            UPLOAD,
        ),
    ] {
        let (written, has_written) = channel();
        let address = upstream(move |mut socket| {
            read_head(&mut socket);
            socket
                .write_all(response.as_bytes())
                .expect("the gateway reads");
            written.send(()).expect("the test waits");
            // Keeps the connection open for longer than the test takes.
            thread::sleep(2 * TIMEOUT);
        });
        let gateway = gateway(address);
        let mut connection = Connection::open(gateway.address);
        connection.write(request);
        has_written
            .recv_timeout(TIMEOUT)
            .expect("the upstream responds");
        if response.contains("\r\n\r\n") {
            assert!(connection.reads_until("\r\n\r\nx"), "{moment}");
        } else if !response.is_empty() {
            // Half a head has to reach the gateway; no metric counts that.
            thread::sleep(Duration::from_millis(100));
        }
        drop(connection);
        eventually(moment, || {
            ["in_flight", "connections"]
                .iter()
                .all(|name| target_metric(&gateway, name, address) == Some(0.0))
        });
    }
}

#[test]
fn only_safe_requests_without_a_body_are_retried() {
    for (what, request, response, times) in [
        ("GET", GET, "", 2),
        ("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "", 2),
        ("GET with a partial response", GET, "H", 1),
        (
            "GET with an interim response",
            GET,
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            1,
        ),
        (
            "GET with a malformed response",
            GET,
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            1,
        ),
        (
            "GET with a body",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            "",
            1,
        ),
        (
            "GET with a chunked body",
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "",
            1,
        ),
        ("DELETE", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "", 1),
        (
            "POST without a body",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            "",
            1,
        ),
    ] {
        let attempts = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&attempts);
        let address = upstream(move |mut socket| {
            read_head(&mut socket);
            counter.fetch_add(1, Ordering::SeqCst);
            socket
                .write_all(response.as_bytes())
                .expect("the gateway reads");
        });
        let gateway = gateway(address);
        assert_eq!(send(gateway.address, request).status, 502, "{what}");
        assert_eq!(attempts.load(Ordering::SeqCst), times, "{what}");
    }
}

#[test]
fn closed_idle_connections_are_never_used() {
    // More than a task checks in one poll.
    const IDLE: usize = 240;
    let closing = Arc::new(AtomicBool::new(false));
    let closed = Arc::new(AtomicUsize::new(0));
    let (is_closing, has_closed) = (Arc::clone(&closing), Arc::clone(&closed));
    let accepted = AtomicUsize::new(0);
    let address = upstream(move |mut socket| {
        let is_pooled = accepted.fetch_add(1, Ordering::SeqCst) < IDLE;
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        read_head(&mut socket);
        if is_pooled {
            // No response before the last connection is open: no connection serves two requests.
            while accepted.load(Ordering::SeqCst) < IDLE {
                // Polls until every connection is open.
                thread::sleep(Duration::from_millis(1));
            }
            socket.write_all(response).expect("the gateway reads");
            while !is_closing.load(Ordering::SeqCst) {
                // Polls until the test closes the connections.
                thread::sleep(Duration::from_millis(1));
            }
            socket.shutdown(Shutdown::Both).expect("an open socket");
            has_closed.fetch_add(1, Ordering::SeqCst);
        } else {
            socket.read_exact(&mut [0]).expect("a body");
            socket.write_all(response).expect("the gateway reads");
        }
    });
    let gateway = gateway_with(
        "",
        "http",
        address,
        "pool_idle = 256\npool_idle_timeout = \"1m\"",
    );
    let mut clients: Vec<_> = (0..IDLE)
        .map(|_| Connection::open(gateway.address))
        .collect();
    clients.iter_mut().for_each(|client| client.write(GET));
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(client.read(false).status, 200));
    closing.store(true, Ordering::SeqCst);
    eventually("all are closed", || closed.load(Ordering::SeqCst) == IDLE);
    let response = clients[0].ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(response.status, 200);
}

//! Clients and connections that are gone, and what may be sent once more.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{GET, gateway, gateway_with, read_head, target_metric, upstream};
use harness::{Connection, TIMEOUT, eventually, send};

const UPLOAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx";

#[test]
fn client_disconnect_at_any_moment_releases_the_upstream_connection() {
    for (moment, answer, request) in [
        ("before the head", "", GET),
        ("within the head", "HTTP/1.1 200 OK\r\nA: ", GET),
        ("within an upload", "", UPLOAD),
        (
            "within chunks",
            "",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
        ),
        (
            "within the answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
            GET,
        ),
        (
            "within an upload, behind the answer",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            UPLOAD,
        ),
        (
            "within both",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
            UPLOAD,
        ),
    ] {
        let address = upstream(move |mut socket| {
            read_head(&mut socket);
            socket.write_all(answer.as_bytes()).expect("it reads");
            // Keeps the connection open for longer than the test takes.
            thread::sleep(2 * TIMEOUT);
        });
        let gateway = gateway(address);
        let mut connection = Connection::open(gateway.address);
        connection.write(request);
        eventually("it is under way", || {
            target_metric(&gateway, "connections", address) == Some(1.0)
        });
        // The response has to reach the gateway; no metric counts that.
        thread::sleep(Duration::from_millis(100));
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
    for (what, request, answer, times) in [
        ("GET", GET, "", 2),
        ("HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "", 2),
        ("GET that was answered in part", GET, "H", 1),
        (
            "GET that was told to wait",
            GET,
            "HTTP/1.1 103 Early Hints\r\n\r\n",
            1,
        ),
        (
            "GET that was answered wrongly",
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
            "GET in chunks",
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
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        let address = upstream(move |mut socket| {
            read_head(&mut socket);
            counting.fetch_add(1, Ordering::SeqCst);
            socket.write_all(answer.as_bytes()).expect("it reads");
        });
        let gateway = gateway(address);
        assert_eq!(send(gateway.address, request).status, 502, "{what}");
        assert_eq!(asked.load(Ordering::SeqCst), times, "{what}");
    }
}

#[test]
fn closed_idle_connections_are_never_used() {
    // More than a task may look at in one turn.
    const IDLE: usize = 240;
    let (is_closing, closed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (closing, has_closed, early) =
        (Arc::clone(&is_closing), Arc::clone(&closed), Mutex::new(0));
    let address = upstream(move |mut socket| {
        let is_early = {
            let mut early = early.lock().expect("no panic");
            *early += 1;
            *early <= IDLE
        };
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        read_head(&mut socket);
        if is_early {
            // All wait for the last: none has a connection that another one had.
            while *early.lock().expect("no panic") < IDLE {
                // Polls until every early connection is open.
                thread::sleep(Duration::from_millis(1));
            }
            socket.write_all(answer).expect("it reads");
            while !closing.load(Ordering::SeqCst) {
                // Polls until the test closes the connections.
                thread::sleep(Duration::from_millis(1));
            }
            socket.shutdown(Shutdown::Both).expect("an open socket");
            has_closed.fetch_add(1, Ordering::SeqCst);
        } else {
            socket.read_exact(&mut [0]).expect("a body");
            socket.write_all(answer).expect("it reads");
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
    is_closing.store(true, Ordering::SeqCst);
    eventually("all are closed", || closed.load(Ordering::SeqCst) == IDLE);
    let answer = clients[0].ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(answer.status, 200);
}

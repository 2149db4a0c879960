//! Answers that do not wait for the end of their request.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use super::{
    GET, gateway, gateway_with, read_head, target_metric, upload_until_stuck, upstream,
    upstream_once,
};
use harness::{Connection, TIMEOUT, eventually, send};

#[test]
fn upload_goes_on_behind_an_answer_that_did_not_wait_for_it() {
    let size = 3 * 1024 * 1024;
    let (address, upload) = upstream_once(move |mut socket| {
        let head = read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
            .expect("it reads");
        // By now the client has its answer, and the end of it.
        thread::sleep(Duration::from_millis(100));
        let mut body = vec![0; size];
        socket.read_exact(&mut body).expect("the whole body");
        assert!(body.iter().all(|byte| *byte == b'x'));
        // And the connection is used again, for what comes next.
        let next = read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")
            .expect("it reads");
        (head, next)
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\nx"
    ));
    let answer = connection.read(false);
    assert_eq!((answer.status, answer.text()), (202, "ok".to_owned()));
    connection.write(vec![b'x'; size - 1]);
    eventually("its connection is free again", || {
        target_metric(&gateway, "in_flight", address) == Some(0.0)
    });
    assert_eq!(send(gateway.address, GET).text(), "again");
    let (head, next) = upload.join().expect("no panic");
    assert!(head.starts_with(b"POST / HTTP/1.1\r\n") && next.starts_with(b"GET / HTTP/1.1\r\n"));
}

#[test]
fn client_that_sends_all_before_it_reads_gets_an_answer_that_began_before() {
    // More in each direction than buffers on the way hold: whoever waits for the other here waits for ever.
    let size = 24 * 1024 * 1024;
    let (address, serving) = upstream_once(move |mut socket| {
        read_head(&mut socket);
        let mut answering = socket.try_clone().expect("an open socket");
        let answer = thread::spawn(move || {
            write!(
                answering,
                "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n"
            )
            .expect("it reads");
            answering.write_all(&vec![b'a'; size]).expect("it reads");
        });
        socket
            .read_exact(&mut vec![0; size])
            .expect("the whole body");
        answer.join().expect("no panic");
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    ));
    connection.write(vec![b'x'; size]);
    let answer = connection.read(false);
    assert_eq!(
        (answer.status, answer.body.len(), answer.complete),
        (200, size, true)
    );
    serving.join().expect("no panic");
}

#[test]
fn upload_that_breaks_off_beside_an_answer_ends_the_exchange() {
    let (address, serving) = upstream_once(|mut socket| {
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            .expect("it reads");
        // What was announced never comes; the end does.
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        rest
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection
        .write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    // The two writes have to arrive separately.
    thread::sleep(Duration::from_millis(100));
    connection.write("zz\r\n");
    let rest = serving.join().expect("no panic");
    assert!(
        rest.starts_with(b"5\r\nhello\r\n") && !rest.ends_with(b"0\r\n\r\n"),
        "{rest:?}"
    );
    let answer = connection.read(false);
    assert_eq!(
        (answer.status, answer.text(), answer.complete),
        (200, "ok".to_owned(), false)
    );
}

#[test]
fn upload_that_breaks_off_behind_a_whole_answer_ends_the_connection() {
    let (address, serving) = upstream_once(|mut socket| {
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
            .expect("it reads");
        // Another request here would be read as the rest of this one.
        let mut rest = Vec::new();
        socket
            .read_to_end(&mut rest)
            .expect("the end of the connection");
        rest
    });
    // No shorter than the upstream waits.
    let gateway = gateway_with("", "http", address, "pool_idle_timeout = \"60s\"\n");
    let mut connection = Connection::open(gateway.address);
    connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert_eq!(connection.read(false).status, 202);
    drop(connection);
    assert_eq!(serving.join().expect("no panic"), b"hello");
}

#[test]
fn upload_that_nobody_takes_behind_an_answer_is_let_go_of() {
    let address = upstream(|mut socket| {
        read_head(&mut socket);
        socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .expect("it reads");
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
fn switching_that_was_not_waited_for_begins_behind_the_request() {
    let address = upstream(|mut socket| {
        socket
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
            )
            .expect("it reads");
        // The switch has to reach the gateway before the upstream reads on.
        thread::sleep(Duration::from_millis(200));
        let head = read_head(&mut socket);
        let _ = socket.write_all(&head);
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    // A head this short is with the kernel before anything can be answered: it is all there.
    assert!(connection.reads_until("GET / HTTP/1.1"));
}

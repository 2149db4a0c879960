//! Exchanges over HTTP/1.1 with upstreams that answer early, late, twice, or in a way that can be read in two.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::harness::{Connection, Gateway, PATIENCE, Reply, Server, eventually, send};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn target_metric(gateway: &Gateway, name: &str, target: impl std::fmt::Display) -> Option<f64> {
    gateway.metric(&format!("scopegate_upstream_target_{name}{{upstream=\"up\",target=\"{target}\"}}"))
}

fn gateway(upstream: impl std::fmt::Display) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{upstream}\"\n[[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
    ))
}

/// An upstream of one connection, which does what `serve` does with it.
fn upstream<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (std::net::SocketAddr, thread::JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let serving = thread::spawn(move || {
        let (socket, _) = listener.accept().expect("a connection");
        socket.set_read_timeout(Some(PATIENCE)).expect("an open socket");
        serve(socket)
    });
    (address, serving)
}

fn read_head(socket: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("more of the head");
        head.push(byte[0]);
    }
    head
}

#[test]
fn answer_that_can_be_read_in_two_ways_is_a_502_and_ends_its_connection() {
    let server = Server::start(|_| Reply::text("hello"));
    let gateway = gateway(server.address);
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
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
        let answer = send(gateway.address, GET);
        assert_eq!((answer.status, answer.text().contains("hello")), (502, false), "{fields}");
        server.script(|_| Reply::text("hello"));
        assert_eq!(send(gateway.address, GET).text(), "hello", "after {fields}");
    }
}

#[test]
fn what_stands_behind_an_answer_is_nobodys() {
    // One that was smuggled behind the first, and one that comes unasked while the connection is idle.
    let server = Server::start(|received| {
        match &*received.target {
        "/?two" => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec(),
        ),
        "/?chunks" => Reply::Raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec(),
        ),
        "/?late" => Reply::Slowly(vec![
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none".to_vec(),
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison".to_vec(),
        ]),
        _ => Reply::text("own"),
    }
    });
    let gateway = gateway(server.address);
    for target in ["/?two", "/?chunks", "/?late"] {
        let answer = send(gateway.address, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((answer.text(), answer.complete), ("one".to_owned(), true), "{target}");
        if target == "/?late" {
            let connections = server.connections();
            eventually("the connection is closed", || server.closed() == connections);
        }
        assert_eq!(send(gateway.address, GET).text(), "own", "after {target}");
    }
}

#[test]
fn upload_goes_on_behind_an_answer_that_did_not_wait_for_it() {
    let size = 3 * 1024 * 1024;
    let (address, upload) = upstream(move |mut socket| {
        let head = read_head(&mut socket);
        socket.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok").expect("it reads");
        // By now the client has its answer, and the end of it.
        thread::sleep(Duration::from_millis(100));
        let mut body = vec![0; size];
        socket.read_exact(&mut body).expect("the whole body");
        assert!(body.iter().all(|byte| *byte == b'x'));
        // And the connection is used again, for what comes next.
        let next = read_head(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain").expect("it reads");
        (head, next)
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\nx"));
    let answer = connection.read(false);
    assert_eq!((answer.status, answer.text()), (202, "ok".to_owned()));
    connection.write(vec![b'x'; size - 1]);
    eventually("its connection is free again", || target_metric(&gateway, "in_flight", address) == Some(0.0));
    assert_eq!(send(gateway.address, GET).text(), "again");
    let (head, next) = upload.join().expect("no panic");
    assert!(head.starts_with(b"POST / HTTP/1.1\r\n") && next.starts_with(b"GET / HTTP/1.1\r\n"));
}

#[test]
fn client_that_sends_all_before_it_reads_gets_an_answer_that_began_before() {
    // More in each direction than buffers on the way hold: whoever waits for the other here waits for ever.
    let size = 24 * 1024 * 1024;
    let (address, serving) = upstream(move |mut socket| {
        read_head(&mut socket);
        let mut answering = socket.try_clone().expect("an open socket");
        let answer = thread::spawn(move || {
            write!(answering, "HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").expect("it reads");
            answering.write_all(&vec![b'a'; size]).expect("it reads");
        });
        socket.read_exact(&mut vec![0; size]).expect("the whole body");
        answer.join().expect("no panic");
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
    connection.write(vec![b'x'; size]);
    let answer = connection.read(false);
    assert_eq!((answer.status, answer.body.len(), answer.complete), (200, size, true));
    serving.join().expect("no panic");
}

#[test]
fn upload_that_breaks_off_behind_an_answer_is_not_left_hanging() {
    let (address, serving) = upstream(|mut socket| {
        read_head(&mut socket);
        socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").expect("it reads");
        // What was announced never comes; the end does.
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        rest
    });
    let gateway = gateway(address);
    let mut connection = Connection::open(gateway.address);
    connection.write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    thread::sleep(Duration::from_millis(100));
    connection.write("zz\r\n");
    let rest = serving.join().expect("no panic");
    assert!(
        rest.starts_with(b"5\r\nhello\r\n") && !rest.ends_with(b"0\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&rest)
    );
}

#[test]
fn old_upstream_answers_until_it_closes() {
    let server =
        Server::start(|_| Reply::RawThenClose(b"HTTP/1.0 200 Well Done\nContent-Type: text/plain\n\nhello".to_vec()));
    let gateway = gateway(server.address);
    for _ in 0..3 {
        let answer = send(gateway.address, GET);
        assert_eq!((answer.status, answer.text(), answer.complete), (200, "hello".to_owned(), true));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
    }
}

#[test]
fn connection_whose_target_has_closed_it_is_let_go_of() {
    let server = Server::start(|_| Reply::Slowly(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()]));
    let gateway = gateway(server.address);
    assert_eq!(send(gateway.address, GET).status, 200);
    eventually("it is kept", || target_metric(&gateway, "connections", server.address) == Some(1.0));
    server.script(|_| Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()));
    assert_eq!(send(gateway.address, GET).status, 200);
    eventually("it is gone", || target_metric(&gateway, "connections", server.address) == Some(0.0));
}

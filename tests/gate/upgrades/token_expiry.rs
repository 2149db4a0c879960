//! Tunnels, responses and uploads that end when their token expires (`close_at_expiry`).

use std::io::{Read, Write};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{ACCEPTED, UPGRADE, echo, request, upstream};
use harness::{Connection, Reply, TIMEOUT, TestBed, eventually};

/// A token that expires after a second.
fn expiring_token(test_bed: &TestBed, scope: &str) -> String {
    let mut claims = test_bed.issuer.claims(scope);
    claims["exp"] = serde_json::json!(harness::NOW + 1);
    test_bed.key.token(&claims)
}

/// Sends the head of an upload with a token that expires after a second.
fn begin_upload(test_bed: &TestBed) -> Connection {
    let expiring = expiring_token(test_bed, "");
    let mut connection = Connection::open(test_bed.address);
    connection.write(format!(
        "POST /up HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {expiring}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    connection
}

/// Uploads small chunks for this long, which is longer than the token is valid.
fn continue_upload(connection: &Connection, period: Duration) -> JoinHandle<()> {
    let (mut socket, began) = (connection.clone_socket(), Instant::now());
    std::thread::spawn(move || {
        while socket.write_all(b"1\r\nx\r\n").is_ok() && began.elapsed() < period {
            // Paces the upload.
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn streams_end_at_token_expiry_with_close_at_expiry() {
    let (address, _heads) = upstream(|mut socket| {
        socket
            .write_all(ACCEPTED.as_bytes())
            .expect("an open connection");
        echo(socket);
    });
    let events = format!(
        "[upstreams.tunnel]\ntargets = \"http://{address}\"\n\
         [[routes]]\npath = \"/ws\"\nupstream = \"tunnel\"\nclose_at_expiry = true\n\
         [[routes]]\npath = \"/events\"\nupstream = \"up\"\nclose_at_expiry = true\n\
         [[routes]]\npath = \"/unlimited\"\nupstream = \"up\"\n"
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
    let expiring = expiring_token(&test_bed, "read");
    let ask = |path: &str, lines: &str| {
        let mut connection = Connection::open(test_bed.address);
        connection.write(request(&expiring, lines).replace("/ws", path));
        connection
    };
    let (mut switched, mut events, mut unlimited) = (
        ask("/ws", UPGRADE),
        ask("/events", ""),
        ask("/unlimited", ""),
    );
    assert_eq!(switched.try_read(false).expect("a response").status, 101);
    let began = Instant::now();
    assert!(switched.is_closed());
    assert!(
        events.reads_until("\n\n\r\n") && !events.reads_until("0\r\n\r\n"),
        "the body is truncated"
    );
    assert!(
        (800..2800).contains(&began.elapsed().as_millis()),
        "after {:?}",
        began.elapsed()
    );
    assert!(!unlimited.reads_until("0\r\n\r\n"));
    assert!(
        began.elapsed() > Duration::from_millis(2800),
        "without close_at_expiry, only the idle timeout ends the response"
    );
    eventually("the expiry is logged", || harness::logged("token_ended"));
}

#[test]
fn upload_ends_at_token_expiry_with_close_at_expiry() {
    let routes = "[[routes]]\npath = \"/up\"\nupstream = \"up\"\nclose_at_expiry = true\n";
    let test_bed = TestBed::toml("", "leeway = \"0s\"", "", routes);
    let mut connection = begin_upload(&test_bed);
    let began = Instant::now();
    let uploading = continue_upload(&connection, Duration::from_secs(8));
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
    uploading.join().expect("no panic");
    assert_eq!(
        test_bed.hits(),
        0,
        "an incomplete upload reaches no upstream"
    );
}

#[test]
fn upload_that_outlasts_its_response_ends_at_token_expiry() {
    let (ended, upload_ended) = channel();
    let (address, _heads) = upstream(move |mut socket| {
        socket
            .write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
            .expect("an open connection");
        let _ = socket.read_to_end(&mut Vec::new());
        let _ = ended.send(());
    });
    let routes = format!(
        "[upstreams.early]\ntargets = \"http://{address}\"\n\
         [[routes]]\npath = \"/up\"\nupstream = \"early\"\nclose_at_expiry = true\n"
    );
    let test_bed = TestBed::toml("", "leeway = \"0s\"", "", &routes);
    let mut connection = begin_upload(&test_bed);
    assert_eq!(connection.read(false).status, 202);
    let began = Instant::now();
    let uploading = continue_upload(&connection, Duration::from_secs(8));
    upload_ended.recv_timeout(TIMEOUT).expect("it ends");
    assert!(
        (800..5000).contains(&began.elapsed().as_millis()),
        "after {:?}",
        began.elapsed()
    );
    eventually("the end is logged", || {
        let lines = test_bed.requests.lines();
        lines.iter().any(|line| {
            line["route"] == "/up" && line["reason"] == "token_ended" && line["status"] == 202
        })
    });
    drop(connection);
    uploading.join().expect("no panic");
}

#[test]
fn upload_ends_at_token_expiry_although_the_client_reads_nothing() {
    let (received, last_received) = channel();
    let (address, _heads) = upstream(move |mut socket| {
        let mut response = socket.try_clone().expect("an open connection");
        let began = Instant::now();
        // More than the buffers on the way to the client hold.
        std::thread::spawn(move || {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n";
            let _ = response.write_all(head);
            while response.write_all(&[b'a'; 65536]).is_ok() {}
        });
        let mut last = began.elapsed();
        while matches!(socket.read(&mut [0; 4096]), Ok(read) if read > 0) {
            last = began.elapsed();
        }
        let _ = received.send(last);
    });
    let routes = format!(
        "[upstreams.both]\ntargets = \"http://{address}\"\n\
         [[routes]]\npath = \"/up\"\nupstream = \"both\"\nclose_at_expiry = true\n"
    );
    let server = "[server]\nbody_idle_timeout = \"5s\"\n";
    let test_bed = TestBed::toml(server, "leeway = \"0s\"", "", &routes);
    let connection = begin_upload(&test_bed);
    let uploading = continue_upload(&connection, Duration::from_secs(4));
    uploading.join().expect("no panic");
    drop(connection);
    let last = last_received.recv_timeout(TIMEOUT).expect("it ends");
    assert!(last < Duration::from_millis(2800), "after {last:?}");
    eventually("the end is logged", || {
        let lines = test_bed.requests.lines();
        lines
            .iter()
            .any(|line| line["route"] == "/up" && line["reason"] == "token_ended")
    });
}

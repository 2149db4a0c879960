//! `max_body_size`: request bodies that are larger than their route accepts.

use std::io::Write;
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use harness::{Connection, Gateway, TIMEOUT, TestBed, eventually, recording_upstream, send};

const ROUTES: &str = "[[routes]]\npath = \"/small\"\nscope = \"write\"\nupstream = \"up\"\nmax_body_size = \"10B\"\n\
                      [[routes]]\npath = \"/default\"\nscope = \"write\"\nupstream = \"up\"\n\
                      [[routes]]\npath = \"/large\"\nscope = \"write\"\nupstream = \"up\"\nmax_body_size = \"1MiB\"\n\
                      [[routes]]\npath = \"/any\"\nscope = \"write\"\nupstream = \"up\"\nmax_body_size = \"none\"\n\
                      [[routes]]\npath = \"/none\"\nscope = \"write\"\nupstream = \"up\"\nmax_body_size = \"0B\"\n\
                      [[routes]]\npath = \"/shadow\"\nscope = \"write\"\nupstream = \"up\"\nmax_body_size = \"10B\"\nenforce = false\n";

fn test_bed() -> TestBed {
    TestBed::toml("[server]\nmax_body_size = \"20B\"\n", "", "", ROUTES)
}

fn post(path: &str, token: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{headers}\r\n{body}"
    )
}

fn post_length(path: &str, token: &str, length: usize) -> String {
    let headers = format!("Content-Length: {length}\r\n");
    post(path, token, &headers, &"x".repeat(length))
}

fn post_chunk(path: &str, token: &str, length: usize) -> String {
    let body = format!("{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length));
    post(path, token, "Transfer-Encoding: chunked\r\n", &body)
}

#[test]
fn body_above_the_limit_of_its_route_is_a_413_and_one_at_the_limit_passes() {
    let test_bed = test_bed();
    let token = test_bed.token("write");
    for (path, length, status) in [
        ("/small", 10, 200),
        ("/small", 11, 413),
        ("/default", 20, 200),
        ("/default", 21, 413),
        // A route replaces the limit of the server in either direction.
        ("/large", 1024 * 1024, 200),
        ("/large", 1024 * 1024 + 1, 413),
        ("/any", 3 * 1024 * 1024, 200),
        ("/none", 0, 200),
        ("/none", 1, 413),
    ] {
        let before = test_bed.hits();
        let response = send(test_bed.address, post_length(path, &token, length));
        assert_eq!(response.status, status, "{path} {length}");
        assert_eq!(test_bed.hits() - before, usize::from(status == 200));
        if length == 0 {
            continue;
        }
        let response = send(test_bed.address, post_chunk(path, &token, length));
        assert_eq!(response.status, status, "{path} {length}, chunked");
        if status == 413 {
            assert_eq!(test_bed.hits(), before, "{path} {length}");
        }
    }
}

#[test]
fn chunked_body_counts_by_its_sum_however_it_is_split() {
    const LIMIT: usize = 20;
    let test_bed = test_bed();
    let token = test_bed.token("write");
    for (length, status) in [(LIMIT, 200), (LIMIT + 1, 413)] {
        for first in 1..length {
            let last = length - first;
            // Neither an extension nor a trailer counts.
            let body = format!(
                "{first:x};name=value\r\n{}\r\n{last:X}\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n",
                "x".repeat(first),
                "x".repeat(last)
            );
            let request = post("/default", &token, "Transfer-Encoding: chunked\r\n", &body);
            let response = send(test_bed.address, request);
            assert_eq!(response.status, status, "{first} and {last} bytes");
        }
    }
}

#[test]
fn refusal_is_a_problem_without_a_challenge_and_with_its_own_reason() {
    let test_bed = test_bed();
    let token = test_bed.token("write");
    for request in [
        post_length("/small", &token, 11),
        post_chunk("/small", &token, 11),
    ] {
        let response = send(test_bed.address, request);
        assert_eq!((response.status, response.challenge()), (413, None));
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(response.header("connection"), Some("close"));
        assert!(response.text().contains("Content Too Large"));
    }
    let lines = test_bed.gateway.requests.lines();
    let refused = lines.iter().filter(|line| line["status"] == 413);
    let reasons: Vec<_> = refused.map(|line| line["reason"].clone()).collect();
    assert_eq!(reasons, ["body_too_large", "body_too_large"]);
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn log_names_the_limit_and_where_it_is_set_and_the_announced_length() {
    let test_bed = test_bed();
    let token = test_bed.token("write");
    for (request, cause) in [
        (
            post_length("/small", &token, 11),
            "expected a body of at most 10 bytes (max_body_size of the route), but found Content-Length: 11",
        ),
        (
            post_length("/default", &token, 3000),
            "expected a body of at most 20 bytes (max_body_size of [server]), but found Content-Length: 3000",
        ),
        (
            post_chunk("/default", &token, 3000),
            "expected a body of at most 20 bytes (max_body_size of [server]), but found a larger one without Content-Length",
        ),
    ] {
        assert_eq!(send(test_bed.address, request).status, 413);
        let line = test_bed.gateway.requests.lines().pop().expect("a line");
        assert_eq!(line["cause"], cause);
    }
}

#[test]
fn request_without_a_sufficient_token_learns_nothing_of_the_limit() {
    let test_bed = test_bed();
    for (token, status) in [("forged", 401), (&*test_bed.token("read"), 403)] {
        let response = send(test_bed.address, post_length("/small", token, 11));
        assert_eq!(response.status, status);
    }
    // In shadow mode, it holds for these too.
    for request in [
        post_length("/shadow", "forged", 11),
        post_chunk("/shadow", "forged", 11),
    ] {
        assert_eq!(send(test_bed.address, request).status, 413);
    }
    assert_eq!(test_bed.hits(), 0);
    assert_eq!(
        send(test_bed.address, post_length("/shadow", "forged", 10)).status,
        200
    );
}

#[test]
fn client_that_expects_a_100_gets_the_413_instead() {
    let test_bed = test_bed();
    let token = test_bed.token("write");
    let request = post(
        "/small",
        &token,
        "Content-Length: 11\r\nExpect: 100-continue\r\n",
        "",
    );
    let mut connection = Connection::open(test_bed.address);
    connection.write(&request);
    let response = connection.read(false);
    assert_eq!(response.status, 413);
    assert!(connection.is_closed());
    assert_eq!(test_bed.hits(), 0);
}

fn gateway_to(upstream: SocketAddr, limit: &str) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{upstream}\"\n[[routes]]\npath = \"/{{*rest}}\"\npublic = true\n\
         upstream = \"up\"\nmax_body_size = \"{limit}\"\n"
    ))
}

const CHUNKED: &str = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn upload_of_unknown_length_is_cut_off_at_the_limit_and_never_ended_properly() {
    const LIMIT: usize = 1024 * 1024;
    let (upstream, received) = recording_upstream(b"");
    let gateway = gateway_to(upstream, "1MiB");
    let mut connection = Connection::open(gateway.address);
    let mut socket = connection.clone_socket();
    // Sends until the gateway closes, which discards for a second what a client still sends.
    let sender = thread::spawn(move || {
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(65_536));
        socket
            .write_all(CHUNKED.as_bytes())
            .expect("an open socket");
        let deadline = Instant::now() + TIMEOUT;
        while socket.write_all(chunk.as_bytes()).is_ok() {
            assert!(Instant::now() < deadline, "the gateway stops reading");
        }
    });
    let response = connection.read(false);
    assert_eq!((response.status, response.complete), (413, true));
    sender.join().expect("no panic");
    assert_eq!(received.recv_timeout(TIMEOUT).expect("a head"), b"");
    let received = received
        .recv_timeout(TIMEOUT)
        .expect("the exchange is aborted");
    assert!(
        received.len() <= LIMIT + LIMIT / 8,
        "{} bytes",
        received.len()
    );
    assert!(
        !received.ends_with(b"0\r\n\r\n"),
        "an end that the client did not send"
    );
    let line = gateway.requests.lines().pop().expect("a line");
    assert_eq!(line["reason"], "body_too_large");
}

#[test]
fn response_that_has_begun_breaks_off_with_the_upload() {
    let early = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let (upstream, received) = recording_upstream(early);
    let gateway = gateway_to(upstream, "10B");
    let mut connection = Connection::open(gateway.address);
    connection.write(format!("{CHUNKED}5\r\nhello\r\n"));
    assert!(connection.reads_until("half"));
    connection.write("6\r\nhello!\r\n");
    assert!(!connection.reads_until("more"), "it is closed");
    assert_eq!(received.recv_timeout(TIMEOUT).expect("a head"), b"");
    let received = received
        .recv_timeout(TIMEOUT)
        .expect("the exchange is aborted");
    assert!(received.ends_with(b"5\r\nhello\r\n"));
    eventually("the request is logged with the reason", || {
        let lines = gateway.requests.lines();
        let line = lines.iter().find(|line| line["reason"] == "body_too_large");
        let cause = "expected a body of at most 10 bytes (max_body_size of the route), but found a larger one without Content-Length";
        line.is_some_and(|line| line["cause"] == cause)
    });
}

//! How a message arrives, and how it is sent on.

use std::thread;
use std::time::{Duration, Instant};

use harness::{Connection, Reply, Server, TestBed, send};

use super::{ROUTES, call, post, request, send_message, test_bed};

fn chunked(token: &str, chunks: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunks}"
    )
}

#[test]
fn message_is_forwarded_as_it_came_and_with_its_exact_length_however_it_is_split() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let message = call("add");
    let mut connection = Connection::open(test_bed.address);
    for split in 1..message.len() {
        let (first, last) = message.split_at(split);
        let chunks = format!(
            "{:x};x=y\r\n{first}\r\n{:X}\r\n{last}\r\n0\r\n\r\n",
            first.len(),
            last.len()
        );
        assert_eq!(
            connection.ask(chunked(&token, &chunks)).status,
            200,
            "{split}"
        );
        let last = test_bed.last();
        assert_eq!(last.body, message.as_bytes());
        assert_eq!(last.header("content-length"), [message.len().to_string()]);
        assert_eq!(last.header("transfer-encoding"), [""; 0]);
    }
    // What the scopes do not permit is refused wherever it is split.
    let message = call("delete_all");
    let one_by_one: String = message
        .chars()
        .map(|byte| format!("1\r\n{byte}\r\n"))
        .collect();
    let response = connection.ask(chunked(&token, &format!("{one_by_one}0\r\n\r\n")));
    assert_eq!(response.status, 403);
}

#[test]
fn trailers_are_not_forwarded() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let message = call("add");
    let chunks = format!(
        "{:x}\r\n{message}\r\n0\r\nMcp-Name: delete_all\r\nX-Trailer: a\r\n\r\n",
        message.len()
    );
    let request = chunked(&token, &chunks).replacen("Host", "Trailer: Mcp-Name\r\nHost", 1);
    assert_eq!(send(test_bed.address, request).status, 200);
    let last = test_bed.last();
    assert_eq!(last.body, message.as_bytes());
    assert_eq!(last.header("trailer"), [""; 0]);
    assert_eq!(last.header("mcp-name"), [""; 0]);
}

#[test]
fn request_behind_a_message_is_a_request_of_its_own() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let mut connection = Connection::open(test_bed.address);
    let requests = [
        post("/mcp", &token, "", &call("add")),
        post("/mcp", &token, "", &call("delete_all")),
        post("/mcp", &token, "", "{}"),
        post("/mcp", &token, "", &request("tools/list", "{}")),
    ];
    connection.write(requests.concat());
    for status in [200, 403, 400, 200] {
        assert_eq!(connection.read(false).status, status);
    }
    assert_eq!(test_bed.hits(), 2);
    // Bytes behind the announced length are no part of the message.
    let long = post("/mcp", &token, "", &call("add")) + &call("delete_all");
    let mut connection = Connection::open(test_bed.address);
    connection.write(long);
    assert_eq!(connection.read(false).status, 200);
    assert_eq!(connection.read(false).status, 400);
    assert_eq!(test_bed.last().body, call("add").as_bytes());
}

/// A message of exactly this many bytes.
fn of_length(length: usize) -> String {
    let short = request("tools/call", r#"{"name":"add","arguments":""}"#);
    let filling = "x".repeat(length - short.len());
    short.replace(
        "\"arguments\":\"\"",
        &format!("\"arguments\":\"{filling}\""),
    )
}

#[test]
fn message_of_a_mebibyte_passes_and_one_byte_more_is_a_413() {
    const LIMIT: usize = 1024 * 1024;
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let message = of_length(LIMIT);
    assert_eq!(message.len(), LIMIT);
    assert_eq!(send_message(&test_bed, "", &message).status, 200);
    assert_eq!(test_bed.last().body, message.as_bytes());
    let message = of_length(LIMIT + 1);
    assert_eq!(send_message(&test_bed, "", &message).status, 413);
    let chunks: String = message
        .as_bytes()
        .chunks(65_536)
        .map(|chunk| {
            format!(
                "{:x}\r\n{}\r\n",
                chunk.len(),
                String::from_utf8_lossy(chunk)
            )
        })
        .collect();
    let mut connection = Connection::open(test_bed.address);
    connection.try_write(chunked(&token, &format!("{chunks}0\r\n\r\n")));
    assert_eq!(connection.read(false).status, 413);
    assert_eq!(test_bed.hits(), 1);
}

#[test]
fn route_sets_another_limit() {
    let routes = ROUTES.replacen("mcp = {}", "mcp = {}\nmax_body_size = \"100B\"", 1);
    let test_bed = TestBed::routes(&routes);
    assert_eq!(send_message(&test_bed, "", &of_length(100)).status, 200);
    assert_eq!(send_message(&test_bed, "", &of_length(101)).status, 413);
}

#[test]
fn slow_message_is_a_408_although_each_byte_comes_in_time() {
    const LIMIT: Duration = Duration::from_millis(400);
    let top = format!(
        "[server]\nbody_idle_timeout = \"{}ms\"\n",
        LIMIT.as_millis()
    );
    let test_bed = TestBed::toml(&top, "", "", ROUTES);
    let token = test_bed.token("mcp.use");
    let mut connection = Connection::open(test_bed.address);
    let request = post("/mcp", &token, "", &of_length(10_000));
    let (head, body) = request.split_at(request.find("\r\n\r\n").expect("a head") + 4);
    connection.write(head);
    let mut socket = connection.clone_socket();
    let body = body.to_owned();
    let began = Instant::now();
    let writer = thread::spawn(move || {
        for byte in body.as_bytes() {
            if std::io::Write::write_all(&mut socket, &[*byte]).is_err() {
                return;
            }
            thread::sleep(LIMIT / 20);
        }
    });
    assert_eq!(connection.read(false).status, 408);
    assert!(began.elapsed() >= LIMIT);
    drop(connection);
    writer.join().expect("no panic");
    assert_eq!(test_bed.hits(), 0);
    let line = test_bed.gateway.requests.lines().pop().expect("a line");
    assert_eq!(line["reason"], "request_body_timed_out");
}

#[test]
fn message_that_breaks_off_reaches_nobody() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let message = call("add");
    for request in [
        chunked(
            &token,
            &format!("{:x}\r\n{message}\r\nzz\r\n", message.len()),
        ),
        chunked(&token, &format!("{:x}\r\n{message}\r\n", message.len())),
        post("/mcp", &token, "", &message)[..]
            .trim_end_matches('}')
            .to_owned(),
    ] {
        let mut connection = Connection::open(test_bed.address);
        connection.write(request);
        connection.shutdown_write();
        assert!(
            connection
                .try_read(false)
                .is_none_or(|response| response.status >= 400)
        );
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn client_that_expects_a_100_gets_it_before_the_message_is_judged() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    let message = call("add");
    let request = post("/mcp", &token, "Expect: 100-continue\r\n", &message);
    let head = &request[..request.len() - message.len()];
    let mut connection = Connection::open(test_bed.address);
    connection.write(head);
    assert_eq!(connection.try_read(false).expect("a response").status, 100);
    connection.write(&message);
    assert_eq!(connection.read(false).status, 200);
    assert_eq!(test_bed.last().header("expect"), [""; 0]);
    // What is refused by its head is refused before.
    let head = head.replace("application/json", "text/plain");
    let mut connection = Connection::open(test_bed.address);
    connection.write(head);
    assert_eq!(connection.try_read(false).expect("a response").status, 415);
}

#[test]
fn message_reaches_the_next_endpoint_if_the_first_cannot_be_connected_to() {
    let test_bed = test_bed();
    let upstream = Server::start(|_| Reply::text("hello"));
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let gateway = harness::Gateway::start(&format!(
        "[upstreams.up]\ntargets = [\"http://{gone}\", \"http://{}\"]\n\
         [[routes]]\npath = \"/mcp\"\npublic = true\nupstream = \"up\"\nmcp = {{}}\n",
        upstream.address
    ));
    for _ in 0..4 {
        let request = post("/mcp", "x", "", &call("add"));
        assert_eq!(send(gateway.address, request).status, 200);
    }
    for received in upstream.received() {
        assert_eq!(received.body, call("add").as_bytes());
    }
    drop(test_bed);
}

#[test]
fn server_gets_no_other_protocol() {
    let test_bed = test_bed();
    let token = test_bed.token("mcp.use");
    for path in ["/mcp", "/trust"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        assert_eq!(send(test_bed.address, request).status, 200, "{path}");
        assert_eq!(test_bed.last().header("upgrade"), [""; 0]);
    }
}

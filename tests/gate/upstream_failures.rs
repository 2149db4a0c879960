//! Upstreams, issuers and clients that fail, hang or are slow: the status, and the recovery.

use std::thread;
use std::time::{Duration, Instant};

use harness::{Connection, Gateway, Issuer, Key, Reply, Server, TestBed, eventually, get, send};

const ROUTES: &str = "[[routes]]\npath = \"/open/{*rest}\"\npublic = true\nupstream = \"up\"\n\
                      [[routes]]\npath = \"/protected\"\nupstream = \"up\"\n";
/// Short timeouts towards clients.
const SHORT_TIMEOUTS: &str = "[server]\nheader_timeout = \"200ms\"\nbody_idle_timeout = \"200ms\"\nkeep_alive_timeout = \"300ms\"\n";
const GET: &str = "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n";

fn test_bed() -> TestBed {
    TestBed::toml(
        SHORT_TIMEOUTS,
        "",
        "response_timeout = \"300ms\"\nconnect_timeout = \"300ms\"",
        ROUTES,
    )
}

#[test]
fn upstream_that_fails_before_its_response_is_a_502_or_a_504() {
    let test_bed = test_bed();
    for (reply, status) in [
        (Reply::RawThenClose(Vec::new()), 502),
        (Reply::RawThenReset(Vec::new()), 502),
        (
            Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
            502,
        ),
        (Reply::RawThenClose(b"SMTP ready\r\n\r\n".to_vec()), 502),
        (Reply::RawThenHang(Vec::new()), 504),
        (
            Reply::RawThenHang(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
            504,
        ),
        (
            Reply::Trickle(
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(),
                Duration::from_millis(40),
            ),
            504,
        ),
    ] {
        test_bed.upstream.script({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let response = send(test_bed.address, GET);
        assert_eq!(
            (response.status, response.challenge()),
            (status, None),
            "{reply:?}"
        );
        test_bed.upstream.script(|_| Reply::text("hello"));
        assert_eq!(send(test_bed.address, GET).status, 200, "after {reply:?}");
    }
}

#[test]
fn upstream_that_never_reads_is_a_504() {
    // The kernel accepts the connections, and nothing reads or writes: the TLS handshake never ends,
    // and the upload stalls.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let gateway = Gateway::start(&format!(
        "[upstreams.tls]\ntargets = \"https://{address}\"\nconnect_timeout = \"200ms\"\n\
         [upstreams.plain]\ntargets = \"http://{address}\"\nresponse_timeout = \"300ms\"\n\
         [[routes]]\npath = \"/tls\"\npublic = true\nupstream = \"tls\"\n\
         [[routes]]\npath = \"/plain\"\npublic = true\nupstream = \"plain\"\n"
    ));
    let handshake = send(gateway.address, "GET /tls HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((handshake.status, handshake.challenge()), (504, None));

    let mut connection = Connection::open(gateway.address);
    let size = 64 * 1024 * 1024;
    let mut writer = connection.clone_socket();
    let upload = thread::spawn(move || {
        use std::io::Write;
        let _ = write!(
            writer,
            "POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        );
        let _ = writer.write_all(&vec![b'x'; size]);
    });
    let response = connection.read(false);
    assert_eq!((response.status, response.challenge()), (504, None));
    drop(connection);
    upload.join().expect("no panic");
}

#[test]
fn truncated_response_body_is_truncated_towards_the_client_too() {
    let test_bed = test_bed();
    for reply in [
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec()),
        Reply::RawThenReset(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec()),
        Reply::RawThenHang(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec()),
        Reply::RawThenClose(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec(),
        ),
        Reply::RawThenHang(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_vec(),
        ),
        Reply::RawThenClose(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n".to_vec(),
        ),
    ] {
        test_bed.upstream.script({
            let reply = reply.clone();
            move |_| reply.clone()
        });
        let mut connection = Connection::open(test_bed.address);
        connection.write(GET);
        // If the body fails before the gateway has written the head, the client gets no response.
        let response = connection.try_read(false);
        assert!(
            response.is_none_or(|response| response.status == 200 && !response.complete),
            "{reply:?}"
        );
        assert!(connection.is_closed(), "{reply:?}");
    }
}

#[test]
fn issuer_that_fails_at_start_is_a_503_and_is_tried_again() {
    let key = Key::es256("k");
    for failure in [
        Reply::status(500),
        Reply::status(404),
        Reply::text("<html>maintenance</html>"),
        Reply::RawThenClose(Vec::new()),
        Reply::RawThenReset(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"issuer\":".to_vec()),
        Reply::RawThenHang(Vec::new()),
        Reply::RawThenHang(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"issuer\":".to_vec()),
        Reply::Trickle(
            format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(1000)).into_bytes(),
            Duration::from_millis(20),
        ),
    ] {
        let issuer = Issuer::start(&[&key]);
        issuer.fail(failure.clone());
        let upstream = Server::start(|_| Reply::text("hello"));
        let gateway = Gateway::start(&format!(
            "[issuers.corp]\nissuer = \"{}\"\naudience = \"https://api.test\"\ntimeout = \"200ms\"\n\
             [upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
            issuer.url, upstream.address
        ));
        let token = key.token(&issuer.claims(""));
        let status = || get(gateway.address, "/protected", Some(&token)).status;
        eventually("the issuer gets a request", || issuer.server.hits() > 0);
        assert_eq!((status(), upstream.hits()), (503, 0), "{failure:.80?}");
        assert_eq!(
            send(gateway.address, GET).status,
            200,
            "other routes are served"
        );
        issuer.recover();
        eventually("the JWKS is fetched", || status() == 200);
    }
}

#[test]
fn idempotent_request_survives_a_stale_pooled_connection() {
    let test_bed = test_bed();
    for _ in 0..10 {
        test_bed.upstream.script(|_| {
            Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
        });
        assert_eq!(send(test_bed.address, GET).status, 200);
        test_bed.upstream.script(|_| Reply::text("hello"));
        assert_eq!(send(test_bed.address, GET).text(), "hello");
    }
}

#[test]
fn request_that_may_have_had_an_effect_is_not_retried() {
    let test_bed = test_bed();
    test_bed
        .upstream
        .script(|_| Reply::RawThenClose(Vec::new()));
    for (request, times) in [
        (
            "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            1,
        ),
        (
            "POST /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
            1,
        ),
        ("DELETE /open/x HTTP/1.1\r\nHost: a\r\n\r\n", 1),
        (
            "GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
            1,
        ),
        (GET, 2),
    ] {
        let hits = test_bed.hits();
        assert_eq!(send(test_bed.address, request).status, 502);
        assert_eq!(test_bed.hits() - hits, times, "{request}");
    }
    test_bed
        .upstream
        .script(|_| Reply::RawThenClose(b"HTTP/1.1 200 O".to_vec()));
    let hits = test_bed.hits();
    assert_eq!(send(test_bed.address, GET).status, 502);
    assert_eq!(test_bed.hits() - hits, 1, "part of a response was received");
}

#[test]
fn slow_client_times_out() {
    let test_bed = test_bed();
    for (sent, what) in [
        ("", "nothing for keep_alive_timeout"),
        ("GET /open/x HTTP/1.1\r\nHo", "half a head"),
        (
            "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "a complete request and nothing for keep_alive_timeout",
        ),
        (
            "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\nGET /open/y HTTP",
            "a complete request and half of one",
        ),
    ] {
        let mut connection = Connection::open(test_bed.address);
        connection.write(sent);
        let began = Instant::now();
        if sent.contains("\r\n\r\n") {
            assert_eq!(connection.read(false).status, 200);
        }
        assert!(connection.is_closed(), "{what}");
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{what}: {:?}",
            began.elapsed()
        );
    }
    // The header timeout bounds the whole head, not the pause between bytes.
    let mut connection = Connection::open(test_bed.address);
    let began = Instant::now();
    for byte in GET.bytes() {
        connection.try_write([byte]);
        // Paces the slow client.
        thread::sleep(Duration::from_millis(20));
    }
    assert!(connection.is_closed());
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn incomplete_request_body_is_a_408_and_a_malformed_one_a_400() {
    let test_bed = test_bed();
    let head = "POST /open/x HTTP/1.1\r\nHost: a\r\n";
    let mut connection = Connection::open(test_bed.address);
    let response = connection.ask(format!("{head}Content-Length: 10\r\n\r\nhello"));
    assert_eq!(
        (response.status, response.header("connection")),
        (408, Some("close"))
    );
    assert!(connection.is_closed());
    let mut connection = Connection::open(test_bed.address);
    let response = connection.ask(format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"));
    assert_eq!(response.status, 400);
    assert!(connection.is_closed());
    assert_eq!(send(test_bed.address, GET).status, 200);
}

#[test]
fn disconnecting_client_cancels_its_request() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.upstream.script(|_| Reply::RawThenHang(Vec::new()));
    let closed = test_bed.upstream.closed();
    let mut connection = Connection::open(test_bed.address);
    connection.write(GET);
    eventually("the request reaches the upstream", || test_bed.hits() == 1);
    drop(connection);
    eventually("the upstream's connection is closed", || {
        test_bed.upstream.closed() > closed
    });
}

#[test]
fn client_that_closes_its_sending_half_counts_as_disconnected() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.upstream.script(|_| Reply::RawThenHang(Vec::new()));
    let closed = test_bed.upstream.closed();
    let mut connection = Connection::open(test_bed.address);
    connection.write(GET);
    eventually("the request reaches the upstream", || test_bed.hits() == 1);
    connection.shutdown_write();
    eventually("the upstream's connection is closed", || {
        test_bed.upstream.closed() > closed
    });
    assert!(connection.is_closed());
}

#[test]
fn unread_body_ends_its_connection_and_is_never_parsed_as_a_request() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = Connection::open(test_bed.address);
    let smuggled = GET.repeat(4000);
    connection.try_write(format!(
        "POST /protected HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{smuggled}"
    ));
    assert_eq!(connection.read(false).status, 401);
    assert!(connection.is_closed());
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn client_that_does_not_read_times_out() {
    let test_bed = test_bed();
    let body = vec![b'x'; 64 * 1024 * 1024];
    test_bed.upstream.script(move |_| Reply::Response {
        status: 200,
        headers: Vec::new(),
        body: body.clone(),
    });
    let closed = test_bed.upstream.closed();
    let mut connection = Connection::open(test_bed.address);
    connection.write(GET);
    eventually("the upstream's connection is closed", || {
        test_bed.upstream.closed() > closed
    });
}

#[test]
fn oversized_head_is_a_431() {
    let test_bed = TestBed::toml(
        "[server]\nmax_headers = 20\nmax_header_size = \"8KiB\"\n",
        "",
        "",
        ROUTES,
    );
    let many: String = (0..30).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(9 * 1024));
    for headers in [many, long] {
        let mut connection = Connection::open(test_bed.address);
        connection.try_write(format!("GET /open/x HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        assert_eq!(connection.read(false).status, 431);
    }
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn connections_beyond_the_limit_wait_for_a_free_one() {
    let test_bed = TestBed::toml("[server]\nmax_connections = 2\n", "", "", ROUTES);
    let (mut first, mut second) = (
        Connection::open(test_bed.address),
        Connection::open(test_bed.address),
    );
    // They have started a request, so they are not evicted.
    first.write("GET");
    second.write("GET");
    let mut third = Connection::open(test_bed.address);
    third.write(GET);
    // Shows that the third request waits: an absence is no condition to poll for.
    thread::sleep(Duration::from_millis(150));
    assert_eq!(test_bed.hits(), 0);
    drop(first);
    assert_eq!(third.read(false).status, 200);
}

#[test]
fn early_response_reaches_a_client_that_is_still_sending() {
    let response =
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".to_vec();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let upstream = thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut head = [0; 1024];
        let _ = socket.read(&mut head);
        let _ = socket.write_all(&response);
        // Closing with unread bytes would reset the connection, and the response could be lost.
        let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
        while socket.read(&mut head).is_ok_and(|read| read > 0) {}
    });
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{address}\"\n[[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
    ));
    let mut connection = Connection::open(gateway.address);
    connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello");
    let response = connection.read(false);
    assert_eq!((response.status, response.text()), (413, "no".to_owned()));
    drop(connection);
    upstream.join().expect("no panic");
}

#[test]
fn every_response_reaches_its_own_request() {
    // Every response contains the id of its request; the upstream truncates every third.
    let upstream = Server::start(|received| {
        let id = received.target.trim_start_matches("/open/").to_owned();
        let complete = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id}",
            id.len()
        );
        match id.len() % 3 {
            0 => Reply::RawThenClose(complete.as_bytes()[..complete.len() - 1].to_vec()),
            1 => Reply::RawThenClose(complete.into_bytes()),
            _ => Reply::Raw(complete.into_bytes()),
        }
    });
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{}\"\n{ROUTES}",
        upstream.address
    ));
    thread::scope(|scope| {
        for client in 0..4_usize {
            let address = gateway.address;
            scope.spawn(move || {
                for number in 0..750_usize {
                    let id = format!("{client}-{number}-{}", "x".repeat((client + number) % 3));
                    let response = send(
                        address,
                        format!("GET /open/{id} HTTP/1.1\r\nHost: a\r\n\r\n"),
                    );
                    assert_eq!(response.status, 200);
                    if id.len() % 3 == 0 {
                        assert!(!response.complete, "{id}: a truncated body looks complete");
                        assert!(id.as_bytes().starts_with(&response.body));
                    } else {
                        assert_eq!((response.complete, response.text()), (true, id));
                    }
                }
            });
        }
    });
}

//! What breaks, hangs or dawdles: the right answer, nothing let in that should not be, and recovery by itself.

use std::thread;
use std::time::{Duration, Instant};

use harness::{Connection, Gateway, Issuer, Key, Reply, Server, TestBed, eventually, get, send};

const ROUTES: &str = "[[routes]]\npath = \"/open/{*rest}\"\npublic = true\nupstream = \"up\"\n\
                      [[routes]]\npath = \"/kept\"\nupstream = \"up\"\n";
const SHORT: &str = "[server]\nheader_timeout = \"200ms\"\nbody_idle_timeout = \"200ms\"\nkeep_alive_timeout = \"300ms\"\n";
const GET: &str = "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n";

fn test_bed() -> TestBed {
    TestBed::toml(
        SHORT,
        "",
        "response_timeout = \"300ms\"\nconnect_timeout = \"300ms\"",
        ROUTES,
    )
}

#[test]
fn upstream_that_fails_before_its_answer_is_a_502_or_a_504() {
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
        let answer = send(test_bed.address, GET);
        assert_eq!(
            (answer.status, answer.challenge()),
            (status, None),
            "{reply:?}"
        );
        test_bed.upstream.script(|_| Reply::text("hello"));
        assert_eq!(send(test_bed.address, GET).status, 200, "after {reply:?}");
    }
}

#[test]
fn upstream_that_hangs_before_or_while_the_request_is_sent_is_a_504() {
    // It accepts and then neither reads nor writes: a TLS handshake that never ends, an upload that nobody takes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let gateway = Gateway::start(&format!(
        "{SHORT}[upstreams.tls]\ntargets = \"https://{address}\"\nconnect_timeout = \"200ms\"\n\
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
    let answer = connection.read(false);
    assert_eq!((answer.status, answer.challenge()), (504, None));
    drop(connection);
    upload.join().expect("no panic");
}

#[test]
fn upstream_body_that_breaks_off_breaks_off_towards_the_client_too() {
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
        // What breaks at once may break before its head is written, and is then no answer at all.
        let answer = connection.try_read(false);
        assert!(
            answer.is_none_or(|answer| answer.status == 200 && !answer.complete),
            "{reply:?}"
        );
        assert!(connection.is_closed(), "{reply:?}");
    }
}

#[test]
fn issuer_that_fails_at_start_lets_nobody_in_and_is_asked_again() {
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
        let status = || get(gateway.address, "/kept", Some(&token)).status;
        eventually("the issuer is asked", || issuer.server.hits() > 0);
        assert_eq!((status(), upstream.hits()), (503, 0), "{failure:.80?}");
        assert_eq!(send(gateway.address, GET).status, 200, "others are served");
        issuer.recover();
        eventually("the keys are here", || status() == 200);
    }
}

#[test]
fn request_that_may_be_repeated_survives_a_connection_that_was_closed_while_idle() {
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
fn request_that_had_an_effect_is_not_repeated() {
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
    assert_eq!(test_bed.hits() - hits, 1, "a byte of an answer had come");
}

#[test]
fn client_that_dawdles_is_not_waited_for() {
    let test_bed = test_bed();
    for (sent, what) in [
        ("", "nothing for keep_alive_timeout"),
        ("GET /open/x HTTP/1.1\r\nHo", "half a head"),
        (
            "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "a whole request and nothing for keep_alive_timeout",
        ),
        (
            "GET /open/x HTTP/1.1\r\nHost: a\r\n\r\nGET /open/y HTTP",
            "a whole request and half of one",
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
    // A head that trickles has the header time-out as a whole.
    let mut connection = Connection::open(test_bed.address);
    let began = Instant::now();
    for byte in GET.bytes() {
        connection.try_write([byte]);
        // A slow client: the timeout counts from the first byte, however steadily they come.
        thread::sleep(Duration::from_millis(20));
    }
    assert!(connection.is_closed());
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn client_whose_body_does_not_come_is_told_so() {
    let test_bed = test_bed();
    let head = "POST /open/x HTTP/1.1\r\nHost: a\r\n";
    let mut connection = Connection::open(test_bed.address);
    let answer = connection.ask(format!("{head}Content-Length: 10\r\n\r\nhello"));
    assert_eq!(
        (answer.status, answer.header("connection")),
        (408, Some("close"))
    );
    assert!(connection.is_closed());
    let mut connection = Connection::open(test_bed.address);
    let answer = connection.ask(format!("{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"));
    assert_eq!(answer.status, 400);
    assert!(connection.is_closed());
    assert_eq!(send(test_bed.address, GET).status, 200);
}

#[test]
fn client_that_goes_away_cancels_its_request() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.upstream.script(|_| Reply::RawThenHang(Vec::new()));
    let closed = test_bed.upstream.closed();
    let mut connection = Connection::open(test_bed.address);
    connection.write(GET);
    eventually("the upstream has it", || test_bed.hits() == 1);
    drop(connection);
    eventually("the upstream's connection is closed", || {
        test_bed.upstream.closed() > closed
    });
}

#[test]
fn client_that_closes_its_sending_half_has_gone() {
    let test_bed = TestBed::routes(ROUTES);
    test_bed.upstream.script(|_| Reply::RawThenHang(Vec::new()));
    let closed = test_bed.upstream.closed();
    let mut connection = Connection::open(test_bed.address);
    connection.write(GET);
    eventually("the upstream has it", || test_bed.hits() == 1);
    connection.shutdown_write();
    eventually("the upstream's connection is closed", || {
        test_bed.upstream.closed() > closed
    });
    assert!(connection.is_closed());
}

#[test]
fn body_that_nobody_reads_ends_its_connection_and_is_never_taken_for_a_request() {
    let test_bed = TestBed::routes(ROUTES);
    let mut connection = Connection::open(test_bed.address);
    let smuggled = GET.repeat(4000);
    connection.try_write(format!(
        "POST /kept HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n{smuggled}"
    ));
    assert_eq!(connection.read(false).status, 401);
    assert!(connection.is_closed());
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn client_that_does_not_read_is_not_waited_for() {
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
fn too_large_a_head_is_431() {
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
fn connections_beyond_the_limit_wait_for_a_place() {
    let test_bed = TestBed::toml("[server]\nmax_connections = 2\n", "", "", ROUTES);
    let (mut first, mut second) = (
        Connection::open(test_bed.address),
        Connection::open(test_bed.address),
    );
    // They have begun a request, and so make no room.
    first.write("GET");
    second.write("GET");
    let mut third = Connection::open(test_bed.address);
    third.write(GET);
    // Shows that the third request waits: an absence has no condition to wait for.
    thread::sleep(Duration::from_millis(150));
    assert_eq!(test_bed.hits(), 0);
    drop(first);
    assert_eq!(third.read(false).status, 200);
}

#[test]
fn early_answer_reaches_a_client_that_is_still_sending() {
    let early =
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".to_vec();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let upstream = thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut socket, _) = listener.accept().expect("a connection");
        let mut head = [0; 1024];
        let _ = socket.read(&mut head);
        let _ = socket.write_all(&early);
        // Closing with unread bytes would reset the connection and may take the answer with it.
        let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
        while socket.read(&mut head).is_ok_and(|read| read > 0) {}
    });
    let gateway = Gateway::start(&format!(
        "[upstreams.up]\ntargets = \"http://{address}\"\n[[routes]]\npath = \"/\"\npublic = true\nupstream = \"up\"\n"
    ));
    let mut connection = Connection::open(gateway.address);
    connection.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello");
    let answer = connection.read(false);
    assert_eq!((answer.status, answer.text()), (413, "no".to_owned()));
    drop(connection);
    upstream.join().expect("no panic");
}

#[test]
fn no_answer_goes_to_another_request_than_its_own() {
    // A ledger: every answer bears the id of its request, while the upstream breaks off every third.
    let upstream = Server::start(|received| {
        let id = received.target.trim_start_matches("/open/").to_owned();
        let whole = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id}",
            id.len()
        );
        match id.len() % 3 {
            0 => Reply::RawThenClose(whole.as_bytes()[..whole.len() - 1].to_vec()),
            1 => Reply::RawThenClose(whole.into_bytes()),
            _ => Reply::Raw(whole.into_bytes()),
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
                    let answer = send(
                        address,
                        format!("GET /open/{id} HTTP/1.1\r\nHost: a\r\n\r\n"),
                    );
                    assert_eq!(answer.status, 200);
                    if id.len() % 3 == 0 {
                        assert!(!answer.complete, "{id}: a broken body was taken for whole");
                        assert!(id.as_bytes().starts_with(&answer.body));
                    } else {
                        assert_eq!((answer.complete, answer.text()), (true, id));
                    }
                }
            });
        }
    });
}

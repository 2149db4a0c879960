//! `outlier`: ejection of targets whose responses fail.

mod hostile_clients;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{GET, gateway, hello_server, hits};
use harness::{Connection, Gateway, Reply, Server, eventually, logged, send};

/// Without retries, each response shows what its target did.
const KEYS: &str = "balance = \"round_robin\"\nretries = 0\n\
                    outlier = { consecutive = 3, ejection_time = \"1h\" }";

/// How many of `requests` a target received since `before`.
fn received(server: &Server, before: usize) -> usize {
    server.hits() - before
}

fn ejections(gateway: &Gateway, target: SocketAddr) -> f64 {
    let series =
        format!("scopegate_upstream_target_ejections_total{{upstream=\"up\",target=\"{target}\"}}");
    gateway.metric(&series).expect("the series")
}

/// A target that fails when asked for `/x`.
fn failing(reply: Reply) -> Server {
    Server::start(move |_| reply.clone())
}

#[test]
fn target_whose_responses_fail_three_times_in_a_row_gets_no_more_requests() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec();
    let cut_chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha".to_vec();
    for (reply, cause) in [
        (Reply::status(502), "the last one: status 502"),
        (Reply::status(503), "the last one: status 503"),
        (Reply::status(504), "the last one: status 504"),
        (
            Reply::RawThenClose(Vec::new()),
            "broke off before a response",
        ),
        (
            Reply::RawThenReset(Vec::new()),
            "broke off before a response",
        ),
        (
            Reply::RawThenClose(b"nonsense\r\n\r\n".to_vec()),
            "broke off before a response",
        ),
        (
            Reply::RawThenHang(Vec::new()),
            "sent no response within response_timeout",
        ),
        (Reply::RawThenClose(cut), "the last one: "),
        (Reply::RawThenClose(cut_chunked), "the last one: "),
    ] {
        let (bad, good) = (failing(reply.clone()), hello_server());
        let keys = format!("{KEYS}\nresponse_timeout = \"100ms\"");
        let gateway = gateway(&[bad.address, good.address], &keys);
        for _ in 0..6 {
            send(gateway.address, GET);
        }
        assert_eq!((bad.hits(), good.hits()), (3, 3), "{reply:?}");
        for _ in 0..10 {
            assert_eq!(send(gateway.address, GET).text(), "hello");
        }
        assert_eq!(bad.hits(), 3, "{reply:?}");
        assert_eq!(ejections(&gateway, bad.address), 1.0);
        eventually("the ejection and its cause are logged", || {
            logged(&format!("3 failed responses in a row, {cause}"))
                || logged("3 failed responses in a row, the last one: ") && logged(cause)
        });
    }
    assert!(logged("upstream endpoint ejected"));
}

#[test]
fn other_statuses_and_failures_between_successes_eject_nothing() {
    for statuses in [
        [500, 500, 500, 500],
        [501, 505, 429, 404],
        [503, 503, 200, 200],
        [502, 504, 500, 404],
    ] {
        let bad = Server::start(move |request| {
            let number: usize = request.target[1..].parse().expect("a number");
            Reply::status(statuses[number % 4])
        });
        let good = hello_server();
        let gateway = gateway(&[bad.address, good.address], KEYS);
        for number in 0..16 {
            let request = format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n");
            // One of the two.
            send(gateway.address, &request);
            send(gateway.address, &request);
        }
        assert_eq!(bad.hits(), 16, "{statuses:?}");
        assert_eq!(ejections(&gateway, bad.address), 0.0);
    }
}

#[test]
fn without_outlier_no_response_ejects_a_target() {
    let (bad, good) = (failing(Reply::status(503)), hello_server());
    let gateway = gateway(&[bad.address, good.address], "balance = \"round_robin\"");
    for _ in 0..40 {
        send(gateway.address, GET);
    }
    assert_eq!((bad.hits(), good.hits()), (20, 20));
}

#[test]
fn after_its_time_one_failure_ejects_again_and_a_success_begins_anew() {
    let is_well = Arc::new(AtomicBool::new(false));
    let bad = Server::start({
        let is_well = Arc::clone(&is_well);
        move |_| {
            Reply::status(if is_well.load(Ordering::SeqCst) {
                200
            } else {
                503
            })
        }
    });
    let good = hello_server();
    let gateway = gateway(&[bad.address, good.address], &KEYS.replace("1h", "300ms"));
    let statuses = || [(); 2].map(|()| send(gateway.address, GET).status);
    for _ in 0..3 {
        statuses();
    }
    assert_eq!(bad.hits(), 3);
    eventually("it gets one request, which fails", || {
        statuses();
        bad.hits() == 4
    });
    assert_eq!(ejections(&gateway, bad.address), 2.0);
    is_well.store(true, Ordering::SeqCst);
    eventually("it serves again", || {
        statuses() == [200, 200] && bad.hits() > 4
    });
    is_well.store(false, Ordering::SeqCst);
    let before = bad.hits();
    for _ in 0..8 {
        statuses();
    }
    assert_eq!(received(&bad, before), 3, "again three failures in a row");
}

#[test]
fn failures_to_connect_and_ejected_responses_share_the_limit() {
    // Of four targets, two may be ejected: one whose responses fail, and one that refuses.
    let (bad, good) = (
        failing(Reply::status(503)),
        [hello_server(), hello_server()],
    );
    let refusing = super::unused_address();
    let targets = [bad.address, refusing, good[0].address, good[1].address];
    let gateway = gateway(&targets, KEYS);
    for _ in 0..12 {
        send(gateway.address, GET);
    }
    assert_eq!(ejections(&gateway, bad.address), 1.0);
    assert_eq!(ejections(&gateway, refusing), 1.0);
    let before = hits(&good);
    for _ in 0..10 {
        assert_eq!(send(gateway.address, GET).status, 200);
    }
    assert_eq!(
        hits(&good).iter().sum::<usize>(),
        before.iter().sum::<usize>() + 10
    );
}

#[test]
fn stream_of_events_that_pauses_or_is_left_is_no_failure() {
    let events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\ndata:\r\n";
    let server = failing(Reply::RawThenHang(events.into()));
    let other = hello_server();
    let toml = format!(
        "[server]\nbody_idle_timeout = \"100ms\"\n{}",
        super::toml(&[server.address, other.address], KEYS)
    );
    let gateway = Gateway::start(&toml);
    for is_left in [true, false, true, false, true, false, true, false] {
        let before = server.hits();
        eventually("the stream is opened", || {
            let mut connection = Connection::open(gateway.address);
            connection.write(GET);
            let is_stream = connection.reads_until("\r\n\r\n") && server.hits() > before;
            if is_stream && !is_left {
                assert!(!connection.reads_until("more"), "it has stalled");
            }
            is_stream
        });
    }
    assert_eq!(ejections(&gateway, server.address), 0.0);
}

#[test]
fn upgrade_requests_count_too() {
    let (bad, good) = (failing(Reply::status(503)), hello_server());
    let gateway = gateway(&[bad.address, good.address], KEYS);
    let upgrade = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    for _ in 0..20 {
        send(gateway.address, upgrade);
    }
    assert_eq!(bad.hits(), 3);
}

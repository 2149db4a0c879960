//! What one client can provoke with requests that fail.

use std::sync::{Arc, Mutex};
use std::thread;

use super::super::resolved_names::{gateway_to_targets, loopback};
use super::{KEYS, ejections};
use crate::upstreams::gateway;
use harness::{Connection, Gateway, Received, Reply, Server, eventually, send};

const BAD: &str = "GET /bad HTTP/1.1\r\nHost: a\r\n\r\n";
const GOOD: &str = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

/// A target that responds with 503 to `/bad`, and serves everything else.
fn provokable() -> Server {
    Server::start(provoked)
}

fn provoked(request: &Received) -> Reply {
    if request.target == "/bad" {
        Reply::status(503)
    } else {
        Reply::text("hello")
    }
}

#[test]
fn client_that_provokes_failures_everywhere_ejects_no_more_than_the_share() {
    for (targets, max_ejected, expected) in [
        (4, "50%", 2),
        (4, "25%", 1),
        (4, "100%", 3),
        (3, "10%", 1),
        (2, "50%", 1),
        (2, "100%", 1),
        (1, "100%", 0),
    ] {
        let servers: Vec<_> = (0..targets).map(|_| provokable()).collect();
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        let keys = KEYS.replace(
            "\"1h\"",
            &format!("\"1h\", max_ejected = \"{max_ejected}\""),
        );
        let gateway = gateway(&addresses, &keys);
        for _ in 0..100 {
            assert_eq!(send(gateway.address, BAD).status, 503);
        }
        let ejected = || {
            addresses
                .iter()
                .map(|&address| ejections(&gateway, address))
        };
        assert_eq!(
            ejected().sum::<f64>(),
            f64::from(expected),
            "{max_ejected} of {targets}"
        );
        // The others share the requests as before: none of them is avoided.
        let before: Vec<_> = servers.iter().map(Server::hits).collect();
        let others = targets - usize::try_from(expected).expect("few");
        for _ in 0..12 * others {
            assert_eq!(send(gateway.address, GOOD).text(), "hello");
        }
        let mut shares: Vec<_> = servers
            .iter()
            .zip(before)
            .map(|(server, before)| server.hits() - before)
            .filter(|share| *share > 0)
            .collect();
        shares.dedup();
        assert_eq!(shares, [12], "{max_ejected} of {targets}");
    }
}

#[test]
fn failures_that_the_client_causes_eject_nothing() {
    let hanging = Server::start(|_| Reply::RawThenHang(Vec::new()));
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    let chunked = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let healthy = provokable();
    let toml = format!(
        "[server]\nbody_idle_timeout = \"5s\"\n{}",
        crate::upstreams::toml(
            &[hanging.address, healthy.address],
            &format!("{KEYS}\nresponse_timeout = \"100ms\"")
        )
    );
    let gateway = Gateway::start(&toml);
    let provoke = |request: &str, status: Option<u16>| {
        let mut connection = Connection::open(gateway.address);
        connection.write(request);
        if let Some(status) = status {
            assert_eq!(connection.read(false).status, status, "{request}");
        }
    };
    for _ in 0..4 {
        let requests = [
            // Shorter than announced: the response timeout passes first.
            (format!("{head}half"), Some(504)),
            (head.to_owned(), Some(504)),
            (format!("{chunked}5\r\nhi"), Some(504)),
            // Invalid framing.
            (format!("{chunked}zz\r\n"), Some(400)),
            // The client leaves.
            (format!("{head}half"), None),
            (GOOD.to_owned(), None),
        ];
        // At once, because each waits for a timeout; twice, because either target may be selected.
        thread::scope(|scope| {
            for (request, status) in requests.iter().chain(&requests) {
                scope.spawn(|| provoke(request, *status));
            }
        });
    }
    assert_eq!(ejections(&gateway, hanging.address), 0.0);
    // Its own failures count.
    for _ in 0..20 {
        send(gateway.address, GOOD);
    }
    assert_eq!(ejections(&gateway, hanging.address), 1.0);
}

#[test]
fn ejected_address_serves_when_the_others_have_left_the_name() {
    let [first, second] = Server::start_on_one_port(provoked);
    let port = first.address.port();
    let addresses = Arc::new(Mutex::new(vec![loopback(1), loopback(2)]));
    let targets = format!("\"http://api.test:{port}\"");
    let gateway = gateway_to_targets(&targets, KEYS, &addresses);
    eventually("both are known, and one is ejected", || {
        for _ in 0..8 {
            send(gateway.address, BAD);
        }
        let before = (first.hits(), second.hits());
        for _ in 0..4 {
            send(gateway.address, GOOD);
        }
        first.hits() + second.hits() > 8
            && (first.hits() == before.0 || second.hits() == before.1)
            && first.hits() > 0
            && second.hits() > 0
    });
    let before = first.hits();
    send(gateway.address, GOOD);
    let ejected = if first.hits() == before { 1 } else { 2 };
    *addresses.lock().expect("no panic") = vec![loopback(ejected)];
    let server = if ejected == 1 { &first } else { &second };
    let before = server.hits();
    eventually("it gets the requests", || {
        assert_eq!(send(gateway.address, GOOD).text(), "hello");
        server.hits() > before
    });
}

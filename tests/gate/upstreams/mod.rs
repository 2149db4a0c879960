//! Several targets: load balancing, ejection, retries and idle connections.

mod failover;
mod health_checks;
mod outlier;
mod resolved_names;
mod unix_targets;
mod weights;

use std::net::SocketAddr;
use std::time::Instant;

use harness::{Connection, Gateway, HyperServer, Reply, Server, TIMEOUT, eventually, send};

const ROUTE: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

fn hello_server() -> Server {
    Server::start(|_| Reply::text("hello"))
}

fn toml(targets: &[SocketAddr], keys: &str) -> String {
    let targets: Vec<_> = targets
        .iter()
        .map(|address| format!("\"http://{address}\""))
        .collect();
    format!(
        "[upstreams.up]\ntargets = [{}]\n{keys}\n{ROUTE}",
        targets.join(", ")
    )
}

fn gateway(targets: &[SocketAddr], keys: &str) -> Gateway {
    Gateway::start(&toml(targets, keys))
}

/// An address without a listener, which no other test uses.
fn unused_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.66:0").expect("a free port");
    listener.local_addr().expect("a bound socket")
}

fn hits<const N: usize>(servers: &[Server; N]) -> [usize; N] {
    std::array::from_fn(|index| servers[index].hits())
}

#[test]
fn round_robin_distributes_evenly() {
    let servers = [hello_server(), hello_server(), hello_server()];
    let gateway = gateway(
        &servers.each_ref().map(|server| server.address),
        "balance = \"round_robin\"",
    );
    let mut connection = Connection::open(gateway.address);
    for _ in 0..300 {
        assert_eq!(connection.ask(GET).status, 200);
    }
    assert_eq!(hits(&servers), [100; 3]);
}

/// Sends requests until one of them waits at `busy`, which never responds.
///
/// `idle` serves the others.
fn occupy(gateway: &Gateway, busy: &Server, idle: &Server) -> Connection {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let mut connection = Connection::open(gateway.address);
        let before = (busy.hits(), idle.hits());
        connection.write(GET);
        eventually("a target receives it", || {
            (busy.hits(), idle.hits()) != before
        });
        if busy.hits() > before.0 {
            return connection;
        }
        assert_eq!(connection.read(false).text(), "hello");
    }
    panic!("the busy target is never selected")
}

#[test]
fn busy_target_gets_no_request_while_another_is_idle() {
    // Busy before its response, and in the middle of one.
    for partial_response in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nh"] {
        let (busy, idle) = (
            Server::start(|_| Reply::RawThenHang(partial_response.into())),
            hello_server(),
        );
        let gateway = gateway(&[busy.address, idle.address], "");
        let waiting = occupy(&gateway, &busy, &idle);
        for _ in 0..200 {
            assert_eq!(send(gateway.address, GET).text(), "hello");
        }
        assert_eq!(busy.hits(), 1);
        drop(waiting);
        // Now no request is in flight, so either target may be selected.
        occupy(&gateway, &busy, &idle);
    }
}

#[test]
fn at_most_half_of_the_targets_are_ejected() {
    // Without retries, the status shows the target: 502 means one that refuses.
    let (healthy, keys) = (hello_server(), "retries = 0\nbalance = \"round_robin\"");
    let gateway = gateway(
        &[
            unused_address(),
            unused_address(),
            unused_address(),
            healthy.address,
        ],
        keys,
    );
    let refused = |times: usize| {
        (0..times)
            .filter(|_| send(gateway.address, GET).status == 502)
            .count()
    };
    // Two of the three are ejected, each after three failures.
    assert_eq!(refused(12), 9);
    // An ejection lasts half a second at least, and these requests take a few milliseconds.
    assert_eq!(
        refused(10),
        5,
        "the one that is not ejected alternates with the healthy one"
    );
}

#[test]
fn retry_budget_is_a_fifth_of_the_requests_and_a_minimum() {
    let server = Server::start(|_| Reply::RawThenClose(Vec::new()));
    let gateway = gateway(&[server.address], "");
    let began = Instant::now();
    let mut connection = Connection::open(gateway.address);
    for _ in 0..1500 {
        assert_eq!(connection.ask(GET).status, 502);
    }
    let (attempts, max_attempts) = (
        server.hits(),
        1500 + 300 + 100 + 10 * usize::try_from(began.elapsed().as_secs() + 1).expect("few"),
    );
    assert!(
        (1500 + 300..=max_attempts).contains(&attempts),
        "{attempts} attempts, at most {max_attempts}"
    );
}

#[test]
fn retry_after_a_stale_pooled_connection_does_not_use_the_retry_budget() {
    // The server closes each connection after one response, so every other request finds a stale
    // pooled connection.
    let server = Server::start(|_| {
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    });
    let gateway = gateway(&[server.address], "");
    for _ in 0..1000 {
        assert_eq!(send(gateway.address, GET).status, 200);
    }
}

#[test]
fn idle_http2_connection_is_closed_after_pool_idle_timeout() {
    let server = HyperServer::start(true, None);
    let gateway = gateway(
        &[server.address],
        "protocol = \"http2\"\npool_idle_timeout = \"100ms\"",
    );
    assert_eq!(send(gateway.address, GET).status, 200);
    assert_eq!(server.open(), 1);
    eventually("the connection is closed", || server.open() == 0);
    assert_eq!(send(gateway.address, GET).status, 200);
}

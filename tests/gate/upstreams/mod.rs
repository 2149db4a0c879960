//! Several targets: which of them gets a request, and what becomes of it when they come and go.

mod failover;
mod health_checks;
mod resolved_names;

use std::net::SocketAddr;
use std::time::Instant;

use harness::{Connection, Gateway, HyperServer, Reply, Server, TIMEOUT, eventually, send};

const ROUTE: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

const POST: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

fn greet() -> Server {
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

/// An address at which nobody listens, and at which no other test will begin to.
fn deserted() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.66:0").expect("a free port");
    listener.local_addr().expect("a bound socket")
}

fn hits<const N: usize>(servers: &[Server; N]) -> [usize; N] {
    std::array::from_fn(|index| servers[index].hits())
}

#[test]
fn round_robin_is_even() {
    let servers = [greet(), greet(), greet()];
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

/// A request that waits at `busy` for ever, where `idle` answers what comes to it.
fn keep_busy(gateway: &Gateway, busy: &Server, idle: &Server) -> Connection {
    let deadline = Instant::now() + TIMEOUT;
    while Instant::now() < deadline {
        let mut connection = Connection::open(gateway.address);
        let before = (busy.hits(), idle.hits());
        connection.write(GET);
        eventually("somebody has it", || (busy.hits(), idle.hits()) != before);
        if busy.hits() > before.0 {
            return connection;
        }
        assert_eq!(connection.read(false).text(), "hello");
    }
    panic!("the busy one is never drawn")
}

#[test]
fn target_that_is_busy_gets_nothing_while_another_is_not() {
    // The one before its answer, the other in the middle of it.
    for begun in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nh"] {
        let (busy, idle) = (Server::start(|_| Reply::RawThenHang(begun.into())), greet());
        let gateway = gateway(&[busy.address, idle.address], "");
        let waiting = keep_busy(&gateway, &busy, &idle);
        for _ in 0..200 {
            assert_eq!(send(gateway.address, GET).text(), "hello");
        }
        assert_eq!(busy.hits(), 1);
        drop(waiting);
        // Nothing is under way at either any more.
        keep_busy(&gateway, &busy, &idle);
    }
}

#[test]
fn at_most_half_of_the_targets_are_ejected() {
    // Without retries, each request tells where it went: 502 is a target that is gone.
    let (well, keys) = (greet(), "retries = 0\nbalance = \"round_robin\"");
    let gateway = gateway(&[deserted(), deserted(), deserted(), well.address], keys);
    let refused = |times: usize| {
        (0..times)
            .filter(|_| send(gateway.address, GET).status == 502)
            .count()
    };
    // Three failures each eject two of the three.
    assert_eq!(refused(12), 9);
    // A rest is half a second at least, and these take a few milliseconds.
    assert_eq!(
        refused(10),
        5,
        "one of the three is in turn with the one that is well"
    );
}

#[test]
fn retries_are_a_fifth_of_the_requests_and_some() {
    let server = Server::start(|_| Reply::RawThenClose(Vec::new()));
    let gateway = gateway(&[server.address], "");
    let began = Instant::now();
    let mut connection = Connection::open(gateway.address);
    for _ in 0..1500 {
        assert_eq!(connection.ask(GET).status, 502);
    }
    let (attempts, most) = (
        server.hits(),
        1500 + 300 + 100 + 10 * usize::try_from(began.elapsed().as_secs() + 1).expect("few"),
    );
    assert!(
        (1500 + 300..=most).contains(&attempts),
        "{attempts} attempts, at most {most}"
    );
}

#[test]
fn connections_that_were_closed_while_idle_cost_no_retry() {
    // Each answers once and is closed: every other request finds a connection that is of no use.
    let server = Server::start(|_| {
        Reply::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec())
    });
    let gateway = gateway(&[server.address], "");
    for _ in 0..1000 {
        assert_eq!(send(gateway.address, GET).status, 200);
    }
}

#[test]
fn connection_that_exchanges_shared_is_closed_when_it_was_idle_for_long() {
    let server = HyperServer::start(true, None);
    let gateway = gateway(
        &[server.address],
        "protocol = \"http2\"\npool_idle_timeout = \"100ms\"",
    );
    assert_eq!(send(gateway.address, GET).status, 200);
    assert_eq!(server.open(), 1);
    eventually("it is closed", || server.open() == 0);
    assert_eq!(send(gateway.address, GET).status, 200);
}

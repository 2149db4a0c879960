//! A process with few file descriptors: how much it serves, and which messages it logs.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::process::{Process, TIMEOUT, own_address, round_trip, wait_for};
use harness::{Reply, Server};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const SHORT_OF_DESCRIPTORS: &str = "too few file descriptors for max_connections";

/// An upstream that holds requests for `/held` until they are released. It serves others at once.
struct Upstream {
    server: Server,
    is_holding: Arc<(Mutex<bool>, Condvar)>,
}

impl Upstream {
    fn start() -> Self {
        let is_holding = Arc::new((Mutex::new(true), Condvar::new()));
        let gate = Arc::clone(&is_holding);
        let server = Server::start(move |received| {
            if received.target == "/held" {
                let guard = gate.0.lock().expect("no panic");
                drop(
                    gate.1
                        .wait_timeout_while(guard, TIMEOUT, |is_holding| *is_holding)
                        .expect("no panic"),
                );
            }
            Reply::text("hello")
        });
        Self { server, is_holding }
    }

    /// Requests for `/held` so far.
    fn held(&self) -> usize {
        self.server
            .received()
            .iter()
            .filter(|received| received.target == "/held")
            .count()
    }

    fn release(&self) {
        *self.is_holding.0.lock().expect("no panic") = false;
        self.is_holding.1.notify_all();
    }
}

fn toml(address: Ipv4Addr, server: &str, upstream_keys: &str, upstream: &Upstream) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 1\n{server}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{upstream_keys}\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.server.address
    )
}

#[test]
fn connections_are_limited_to_the_available_descriptors() {
    let (address, upstream) = (own_address(), Upstream::start());
    let gateway = Process::start_with_files(
        address,
        &toml(address, "max_connections = 1000", "", &upstream),
        96,
    );
    wait_for("the warning is logged", || {
        gateway.printed().1.contains(SHORT_OF_DESCRIPTORS)
    });
    let (_, log) = gateway.printed();
    let warning = log
        .lines()
        .find(|line| line.contains(SHORT_OF_DESCRIPTORS))
        .expect("a line");
    let warning: serde_json::Value = serde_json::from_str(warning).expect("JSON");
    assert_eq!(
        [&warning["max_connections"], &warning["descriptors"]],
        [1000, 96]
    );
    let served = warning["served"]
        .as_u64()
        .and_then(|served| usize::try_from(served).ok())
        .expect("a number");
    assert!((10..40).contains(&served), "{served}");

    let held = GET.replace("/x", "/held");
    thread::scope(|scope| {
        let responses: Vec<_> = (0..60)
            .map(|_| scope.spawn(|| round_trip(address, 8080, &held)))
            .collect();
        wait_for("every permit is taken", || upstream.held() == served);
        // A reload cannot raise the limit above the descriptors.
        let file = gateway.folder().join("gateway.toml");
        std::fs::write(file, toml(address, "max_connections = 900", "", &upstream))
            .expect("a file");
        gateway.signal("HUP");
        wait_for("the warning is logged again", || {
            gateway.printed().1.contains("\"max_connections\":900")
        });
        assert_eq!(upstream.held(), served);
        upstream.release();
        for response in responses {
            let response = response.join().expect("no panic");
            assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        }
    });
    assert!(!gateway.printed().1.contains("accepting pauses"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn exhausted_descriptors_eject_no_endpoint() {
    let (address, upstream) = (own_address(), Upstream::start());
    let health = "health = { path = \"/healthz\", interval = \"1s\", unhealthy_after = 1 }";
    let gateway = Process::start_with_files(
        address,
        &toml(address, "max_connections = 5", health, &upstream),
        80,
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::connect((address, 8080))
            .await
            .expect("the gateway listens");
        let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { _ = connection.await });
        // One client connection, and one upstream connection for each of its streams.
        let mut requests = JoinSet::new();
        for _ in 0..100 {
            let mut client = client.clone().ready().await.expect("an open connection");
            let request = http::Request::get(format!("http://{address}/held"))
                .body(())
                .expect("a request");
            let (response, _) = client.send_request(request, true).expect("a free stream");
            requests.spawn(async move { response.await.expect("a response") });
        }
        let (mut refused, began) = (0, Instant::now());
        // Every request is held by the upstream, or was refused.
        while upstream.held() + refused < 100 {
            assert!(
                began.elapsed() < TIMEOUT,
                "{} held, {refused} refused",
                upstream.held()
            );
            let Ok(Some(response)) =
                tokio::time::timeout(Duration::from_millis(20), requests.join_next()).await
            else {
                continue;
            };
            let response = response.expect("no panic");
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()["retry-after"], "1");
            assert!(!response.headers().contains_key("www-authenticate"));
            refused += 1;
        }
        assert!((20..80).contains(&refused), "{refused}");
        // No connection can be accepted, and no health check can be sent.
        let waiting =
            TcpStream::connect((address, 8080)).expect("the kernel queues the connection");
        wait_for("accepting pauses", || {
            gateway.printed().1.contains("accepting pauses")
        });
        drop(waiting);
        let checks = upstream.server.received().len();
        upstream.release();
        while let Some(response) = requests.join_next().await {
            assert_eq!(response.expect("no panic").status(), 200);
        }
        wait_for("health checks resume", || {
            upstream.server.received().len() > checks
        });
    });
    for _ in 0..10 {
        let response = round_trip(address, 8080, GET);
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }
    let (_, log) = gateway.printed();
    for message in [
        "endpoint ejected",
        "endpoint not ejected",
        "endpoint unhealthy",
    ] {
        assert!(!log.contains(message), "{log}");
    }
    let logged = log
        .lines()
        .filter(|line| line.contains("cannot open an upstream socket"));
    let logged: Vec<_> = logged.collect();
    assert!(
        logged.len() == 1 && logged[0].contains("LimitNOFILE"),
        "{logged:?}"
    );
    assert!(log.contains("\"reason\":\"local_socket_error\""));
}

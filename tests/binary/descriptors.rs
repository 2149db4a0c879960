//! A process with few descriptors: what it serves, and whom it blames.

use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::process::{Process, TIMEOUT, ask, own_address, wait};
use harness::{Reply, Server};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const SHORT_OF_DESCRIPTORS: &str = "too few file descriptors for max_connections";

/// An upstream that answers requests for `/held` when it is told to, and all others at once.
struct Upstream {
    server: Server,
    held: Arc<(Mutex<bool>, Condvar)>,
}

impl Upstream {
    fn start() -> Self {
        let held = Arc::new((Mutex::new(true), Condvar::new()));
        let door = Arc::clone(&held);
        let server = Server::start(move |received| {
            if received.target == "/held" {
                let held = door.0.lock().expect("no panic");
                drop(
                    door.1
                        .wait_timeout_while(held, TIMEOUT, |held| *held)
                        .expect("no panic"),
                );
            }
            Reply::text("hello")
        });
        Self { server, held }
    }

    fn held(&self) -> usize {
        self.server
            .received()
            .iter()
            .filter(|received| received.target == "/held")
            .count()
    }

    fn release(&self) {
        *self.held.0.lock().expect("no panic") = false;
        self.held.1.notify_all();
    }
}

fn toml(address: Ipv4Addr, server: &str, of_upstream: &str, upstream: &Upstream) -> String {
    format!(
        "[server]\nlisten = \"{address}:8080\"\nworkers = 1\n{server}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n{of_upstream}\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.server.address
    )
}

#[test]
fn no_more_connections_are_served_than_there_are_descriptors_for() {
    let (address, upstream) = (own_address(), Upstream::start());
    let gateway = Process::start_with_files(
        address,
        &toml(address, "max_connections = 1000", "", &upstream),
        96,
    );
    wait("the operator is told", || {
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
        let answers: Vec<_> = (0..60)
            .map(|_| scope.spawn(|| ask(address, 8080, &held)))
            .collect();
        wait("all places are taken", || upstream.held() == served);
        // A file that asks for more still gets no more.
        let file = gateway.folder().join("gateway.toml");
        std::fs::write(file, toml(address, "max_connections = 900", "", &upstream))
            .expect("a file");
        gateway.signal("HUP");
        wait("it is told again", || {
            gateway.printed().1.contains("\"max_connections\":900")
        });
        assert_eq!(upstream.held(), served);
        upstream.release();
        for answer in answers {
            let answer = answer.join().expect("no panic");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    });
    assert!(!gateway.printed().1.contains("accepting pauses"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn descriptors_that_run_out_are_the_gateways_own_fault_and_eject_no_target() {
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
            .expect("it listens");
        let (client, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { _ = connection.await });
        // One connection of a client, and one to the upstream for each of its streams.
        let mut asked = JoinSet::new();
        for _ in 0..100 {
            let mut client = client.clone().ready().await.expect("an open connection");
            let request = http::Request::get(format!("http://{address}/held"))
                .body(())
                .expect("a request");
            let (response, _) = client.send_request(request, true).expect("a free stream");
            asked.spawn(async move { response.await.expect("a response") });
        }
        let (mut refused, began) = (0, Instant::now());
        // Each request is at the upstream, or has its response.
        while upstream.held() + refused < 100 {
            assert!(
                began.elapsed() < TIMEOUT,
                "{} held, {refused} refused",
                upstream.held()
            );
            let Ok(Some(response)) =
                tokio::time::timeout(Duration::from_millis(20), asked.join_next()).await
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
        // Nor can a connection be accepted, or the target be checked.
        let waiting = TcpStream::connect((address, 8080)).expect("the kernel lets it in");
        wait("accepting pauses", || {
            gateway.printed().1.contains("accepting pauses")
        });
        drop(waiting);
        let checks = upstream.server.received().len();
        upstream.release();
        while let Some(response) = asked.join_next().await {
            assert_eq!(response.expect("no panic").status(), 200);
        }
        wait("the target is checked again", || {
            upstream.server.received().len() > checks
        });
    });
    for _ in 0..10 {
        let answer = ask(address, 8080, GET);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let (_, log) = gateway.printed();
    for blamed in [
        "endpoint ejected",
        "endpoint not ejected",
        "endpoint unhealthy",
    ] {
        assert!(!log.contains(blamed), "{log}");
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

//! A target that is killed and restarted under load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::gateway;
use harness::{Connection, Reply, Server, eventually};

/// A server that can be killed: its port refuses, and its connections are reset or closed.
struct KillableServer {
    server: Option<Server>,
    address: String,
    received: Arc<Mutex<HashMap<String, usize>>>,
    is_killed: Arc<AtomicBool>,
}

impl KillableServer {
    fn start(received: &Arc<Mutex<HashMap<String, usize>>>) -> Self {
        let mut server = Self {
            server: None,
            // No other test uses this address, so the port stays free while the server is down.
            address: "127.0.0.77:0".to_owned(),
            received: Arc::clone(received),
            is_killed: Arc::default(),
        };
        server.restart();
        server
    }

    fn restart(&mut self) {
        self.is_killed = Arc::default();
        let (received, is_killed) = (Arc::clone(&self.received), Arc::clone(&self.is_killed));
        let server = Server::start_at(&self.address, move |request| {
            *received
                .lock()
                .expect("no panic")
                .entry(request.target.clone())
                .or_default() += 1;
            // A killed process does not send the responses of its requests in flight.
            if is_killed.load(Ordering::SeqCst) {
                Reply::RawThenReset(Vec::new())
            } else {
                Reply::text("hello")
            }
        });
        self.address = server.address.to_string();
        self.server = Some(server);
    }

    fn kill(&mut self) {
        self.is_killed.store(true, Ordering::SeqCst);
        let server = self.server.take().expect("a running server");
        let address = server.address;
        drop(server);
        eventually("the port refuses", || {
            std::net::TcpStream::connect(address).is_err()
        });
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn killed_and_restarted_target_costs_no_get_and_duplicates_no_post() {
    let received = Arc::default();
    let (mut killable, other) = (
        KillableServer::start(&received),
        KillableServer::start(&received),
    );
    let addresses =
        [&killable.address, &other.address].map(|address| address.parse().expect("an address"));
    let gateway = gateway(&addresses, "");
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let failed_posts = thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|client| {
                let (gateway, stop, sent) = (&gateway, &stop, &sent);
                scope.spawn(move || {
                    let mut connection = Connection::open(gateway.address);
                    let mut failed = 0;
                    for number in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let path = format!("/{client}/{number}");
                        if number % 4 == 3 {
                            let response = connection.ask(format!(
                                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
                            ));
                            failed += usize::from(response.status != 200);
                        } else {
                            let response =
                                connection.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                            assert_eq!(
                                (response.status, response.complete),
                                (200, true),
                                "GET {path}"
                            );
                        }
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                    failed
                })
            })
            .collect();
        let wait_for_requests = |count: usize| {
            let before = sent.load(Ordering::SeqCst);
            eventually("requests are answered", || {
                sent.load(Ordering::SeqCst) >= before + count
                    || clients.iter().any(|client| client.is_finished())
            });
        };
        for _ in 0..20 {
            wait_for_requests(50);
            killable.kill();
            wait_for_requests(50);
            killable.restart();
        }
        stop.store(true, Ordering::SeqCst);
        clients
            .into_iter()
            .map(|client| client.join().expect("no GET is lost"))
            .sum::<usize>()
    });
    let received = received.lock().expect("no panic");
    let is_post = |target: &str| {
        target
            .rsplit('/')
            .next()
            .and_then(|number| number.parse::<usize>().ok())
            .is_some_and(|number| number % 4 == 3)
    };
    for (target, times) in received.iter().filter(|(target, _)| is_post(target)) {
        assert_eq!(*times, 1, "POST {target} arrived {times} times");
    }
    let posts = sent.load(Ordering::SeqCst) / 4;
    assert!(
        failed_posts <= posts / 4,
        "{failed_posts} of {posts} POSTs failed"
    );
}

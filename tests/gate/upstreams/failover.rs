//! A target that is killed and restarted under load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::gateway;
use harness::{Connection, Reply, Server, eventually};

/// A server that can be killed: its port refuses, and its connections are reset or closed.
struct Mortal {
    server: Option<Server>,
    address: String,
    received: Arc<Mutex<HashMap<String, usize>>>,
    is_dying: Arc<AtomicBool>,
}

impl Mortal {
    fn start(received: &Arc<Mutex<HashMap<String, usize>>>) -> Self {
        let mut mortal = Self {
            server: None,
            // No other test can take the port while nobody listens here.
            address: "127.0.0.77:0".to_owned(),
            received: Arc::clone(received),
            is_dying: Arc::default(),
        };
        mortal.revive();
        mortal
    }

    fn revive(&mut self) {
        self.is_dying = Arc::default();
        let (received, is_dying) = (Arc::clone(&self.received), Arc::clone(&self.is_dying));
        let server = Server::start_at(&self.address, move |request| {
            *received
                .lock()
                .expect("no panic")
                .entry(request.target.clone())
                .or_default() += 1;
            // A process that is killed takes with it what it was about to answer.
            if is_dying.load(Ordering::SeqCst) {
                Reply::RawThenReset(Vec::new())
            } else {
                Reply::text("hello")
            }
        });
        self.address = server.address.to_string();
        self.server = Some(server);
    }

    fn kill(&mut self) {
        self.is_dying.store(true, Ordering::SeqCst);
        let server = self.server.take().expect("it is alive");
        let address = server.address;
        drop(server);
        eventually("its port refuses", || {
            std::net::TcpStream::connect(address).is_err()
        });
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn target_that_is_killed_and_revived_costs_no_get_and_doubles_no_post() {
    let received = Arc::default();
    let (mut mortal, other) = (Mortal::start(&received), Mortal::start(&received));
    let addresses =
        [&mortal.address, &other.address].map(|address| address.parse().expect("an address"));
    let gateway = gateway(&addresses, "");
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let posts_that_failed = thread::scope(|scope| {
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
                            let answer = connection.ask(format!(
                                "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
                            ));
                            failed += usize::from(answer.status != 200);
                        } else {
                            let answer =
                                connection.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
                            assert_eq!((answer.status, answer.complete), (200, true), "GET {path}");
                        }
                        sent.fetch_add(1, Ordering::SeqCst);
                    }
                    failed
                })
            })
            .collect();
        let some_more = |count: usize| {
            let before = sent.load(Ordering::SeqCst);
            eventually("requests are answered", || {
                sent.load(Ordering::SeqCst) >= before + count
                    || clients.iter().any(|client| client.is_finished())
            });
        };
        for _ in 0..20 {
            some_more(50);
            mortal.kill();
            some_more(50);
            mortal.revive();
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
        posts_that_failed <= posts / 4,
        "{posts_that_failed} of {posts} POSTs failed"
    );
}

//! Several targets: which of them gets a request, and what becomes of it when they come and go.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use scopegate::upstream::Resolver;

use harness::{Connection, Gateway, HyperServer, Reply, Server, TIMEOUT, eventually, logged, send};

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

/// A health check's answer, and how often it was asked for.
struct Checked {
    server: Server,
    status: Arc<AtomicUsize>,
}

impl Checked {
    fn start() -> Self {
        let status = Arc::new(AtomicUsize::new(204));
        let told = Arc::clone(&status);
        let server = Server::start(move |received| match &*received.target {
            "/healthz?all" => {
                Reply::status(u16::try_from(told.load(Ordering::SeqCst)).expect("a status"))
            }
            _ => Reply::text("hello"),
        });
        Self { server, status }
    }

    fn says(&self, status: usize) {
        self.status.store(status, Ordering::SeqCst);
    }

    fn checks(&self) -> usize {
        self.server
            .received()
            .iter()
            .filter(|received| received.target == "/healthz?all")
            .count()
    }

    fn requests(&self) -> usize {
        self.server.hits() - self.checks()
    }
}

const CHECKED: &str = "health = { path = \"/healthz?all\", interval = \"500ms\", unhealthy_after = 2, healthy_after = 2 }";

#[test]
fn active_checks_take_a_target_out_and_back_in() {
    let (first, second) = (Checked::start(), Checked::start());
    let gateway = gateway(
        &[first.server.address, second.server.address],
        &format!("{CHECKED}\nhost = \"target\""),
    );
    eventually("both are checked", || {
        first.checks() > 0 && second.checks() > 0
    });
    let request = &first.server.received()[0];
    assert_eq!(
        (&*request.method, request.header("host")),
        ("GET", vec![&*first.server.address.to_string()])
    );
    let ask = || assert_eq!(send(gateway.address, POST).status, 200);
    eventually("both get requests", || {
        ask();
        first.requests() > 0 && second.requests() > 0
    });

    // 3xx is as good as 2xx; a failure alone changes nothing.
    first.says(302);
    let checks = first.checks();
    eventually("it is checked", || first.checks() > checks + 2);
    first.says(503);
    eventually("it is found unwell", || {
        logged(&format!(
            "upstream endpoint unhealthy upstream=up target={}",
            first.server.address
        ))
    });
    let requests = first.requests();
    (0..50).for_each(|_| ask());
    assert_eq!(first.requests(), requests);

    first.says(200);
    eventually("it gets requests again", || {
        ask();
        first.requests() > requests
    });

    // Nobody is well: nothing is sent to anybody.
    first.says(500);
    second.says(404);
    eventually("there is nobody to ask", || {
        send(gateway.address, GET).status == 503
    });
    let requests = [first.requests(), second.requests()];
    assert_eq!(send(gateway.address, GET).status, 503);
    assert_eq!([first.requests(), second.requests()], requests);
    second.says(200);
    eventually("one is back", || send(gateway.address, GET).status == 200);
}

#[test]
fn active_checks_know_a_target_that_is_gone_or_hangs() {
    let (hanging, well) = (
        Server::start(|_| Reply::RawThenHang(Vec::new())),
        Checked::start(),
    );
    let gone = deserted();
    let gateway = gateway(&[gone, hanging.address, well.server.address], CHECKED);
    for target in [gone, hanging.address] {
        eventually("it is found unwell", || {
            logged(&format!(
                "upstream endpoint unhealthy upstream=up target={target}"
            ))
        });
    }
    let hits = |server: &Server| {
        server
            .received()
            .iter()
            .filter(|received| received.target == "/x")
            .count()
    };
    let before = hits(&hanging);
    for _ in 0..50 {
        assert_eq!(send(gateway.address, POST).status, 200);
    }
    assert_eq!(hits(&hanging), before);
}

#[test]
fn active_checks_are_made_over_what_the_upstream_speaks() {
    let server = HyperServer::start(true, None);
    let _gateway = gateway(
        &[server.address],
        "protocol = \"http2\"\nhealth = { path = \"/\", interval = \"100ms\" }",
    );
    eventually("it is checked twice", || server.seen().len() >= 2);
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.version == http::Version::HTTP_2)
    );
    assert!(!logged(&format!(
        "upstream endpoint unhealthy upstream=up target={}",
        server.address
    )));
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

type Known = Arc<Mutex<Vec<IpAddr>>>;

/// A gateway to `http://api.test:PORT`, a name that has the addresses `known`.
fn named(port: u16, keys: &str, known: &Known) -> Gateway {
    let text = format!("[upstreams.up]\ntargets = \"http://api.test:{port}\"\n{keys}\n{ROUTE}");
    let known = Arc::clone(known);
    let resolver = Resolver::of(Duration::from_millis(20), move |name, port| {
        assert_eq!(name, "api.test");
        let known = known.lock().expect("no panic");
        if known.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(known
                .iter()
                .map(|&address| (address, port).into())
                .collect())
        }
    });
    Gateway::start_altered(&text, |snapshot| {
        for upstream in &mut snapshot.upstreams {
            let upstream = Arc::get_mut(upstream).expect("nobody has it yet");
            upstream.set_resolver(resolver.clone());
        }
    })
}

fn at(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

#[test]
fn every_address_of_a_name_is_used_and_one_that_leaves_gets_no_more() {
    let first = greet();
    let port = first.address.port();
    let [second, third] = [2, 3].map(|last| {
        Server::start_at(&SocketAddr::from((at(last), port)).to_string(), |_| {
            Reply::text("hello")
        })
    });
    let known: Known = Arc::new(Mutex::new(vec![at(1)]));
    let gateway = named(port, "pool_idle_timeout = \"1m\"", &known);
    let ask = || assert_eq!(send(gateway.address, GET).status, 200);
    ask();
    assert_eq!(first.hits(), 1);

    *known.lock().expect("no panic") = vec![at(1), at(2), at(3)];
    eventually("all three get requests", || {
        ask();
        [&first, &second, &third]
            .iter()
            .all(|server| server.hits() > 1)
    });

    // Its idle connections are closed, though nobody asks for anything.
    *known.lock().expect("no panic") = vec![at(2), at(3)];
    eventually("its connections are closed", || {
        first.closed() == first.connections()
    });
    let hits = first.hits();
    (0..50).for_each(|_| ask());
    assert_eq!(first.hits(), hits);

    // Who looks up and finds nothing goes on with what was known.
    known.lock().expect("no panic").clear();
    eventually("the failure is logged", || {
        logged("DNS lookup failed; the previous addresses stay in use")
    });
    let before = second.hits() + third.hits();
    (0..50).for_each(|_| ask());
    assert_eq!(second.hits() + third.hits(), before + 50);

    *known.lock().expect("no panic") = vec![at(1)];
    eventually("it is back", || {
        ask();
        first.hits() > hits
    });
}

#[test]
fn exchange_with_an_address_that_leaves_ends_undisturbed() {
    let go = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&go);
    let slow = Server::start(move |received| {
        if received.target == "/slow" {
            eventually("it may answer", || gone.load(Ordering::SeqCst));
        }
        Reply::text("slow")
    });
    let port = slow.address.port();
    let _other = Server::start_at(&SocketAddr::from((at(2), port)).to_string(), |_| {
        Reply::text("other")
    });
    let known: Known = Arc::new(Mutex::new(vec![at(1)]));
    let gateway = named(port, "pool_idle_timeout = \"1m\"", &known);
    let mut connection = Connection::open(gateway.address);
    connection.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it has begun", || slow.hits() == 1);
    *known.lock().expect("no panic") = vec![at(2)];
    eventually("others go elsewhere", || {
        send(gateway.address, GET).text() == "other"
    });
    go.store(true, Ordering::SeqCst);
    let answer = connection.read(false);
    assert_eq!(
        (answer.status, answer.complete, answer.text()),
        (200, true, "slow".to_owned())
    );
    eventually("its connection is not kept", || {
        slow.closed() == slow.connections()
    });
}

#[test]
fn address_of_a_name_that_refuses_costs_no_request_even_without_retries() {
    let server = greet();
    let known: Known = Arc::new(Mutex::new(vec![at(9), at(1), at(8)]));
    let gateway = named(server.address.port(), "retries = 0", &known);
    for _ in 0..100 {
        assert_eq!(send(gateway.address, POST).status, 200);
    }
    assert_eq!(server.hits(), 100);
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

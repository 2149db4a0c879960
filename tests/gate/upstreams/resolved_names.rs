//! Targets named by a host name: every address is used, and changes are followed.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scopegate::upstream::Resolver;

use super::{GET, POST, ROUTE, greet};
use harness::{Connection, Gateway, Reply, Server, eventually, logged, send};

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

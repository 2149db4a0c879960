//! Targets named by a host name: every address is used, and changes are followed.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scopegate::upstream::Resolver;

use super::{GET, POST, ROUTE, hello_server};
use harness::{Connection, Gateway, Reply, Server, eventually, logged, send};

pub(super) type Addresses = Arc<Mutex<Vec<IpAddr>>>;

/// A gateway to `http://api.test:PORT`, a name that resolves to `addresses`.
fn gateway_to_name(port: u16, keys: &str, addresses: &Addresses) -> Gateway {
    gateway_to_targets(&format!("\"http://api.test:{port}\""), keys, addresses)
}

/// A gateway to these targets, where `api.test` resolves to `addresses`.
pub(super) fn gateway_to_targets(targets: &str, keys: &str, addresses: &Addresses) -> Gateway {
    let text = format!("[upstreams.up]\ntargets = {targets}\n{keys}\n{ROUTE}");
    let addresses = Arc::clone(addresses);
    let resolver = Resolver::of(Duration::from_millis(20), move |name, port| {
        assert_eq!(name, "api.test");
        let addresses = addresses.lock().expect("no panic");
        if addresses.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(addresses
                .iter()
                .map(|&address| (address, port).into())
                .collect())
        }
    });
    Gateway::start_altered(&text, |snapshot| {
        for upstream in &mut snapshot.upstreams {
            let upstream = Arc::get_mut(upstream).expect("no other reference");
            upstream.set_resolver(resolver.clone());
        }
    })
}

pub(super) fn loopback(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

#[test]
fn every_address_of_a_name_is_used_until_it_is_removed() {
    let [first, second, third] = Server::start_on_one_port(|_| Reply::text("hello"));
    let port = first.address.port();
    let addresses: Addresses = Arc::new(Mutex::new(vec![loopback(1)]));
    let gateway = gateway_to_name(port, "pool_idle_timeout = \"1m\"", &addresses);
    let ask = || assert_eq!(send(gateway.address, GET).status, 200);
    ask();
    assert_eq!(first.hits(), 1);

    *addresses.lock().expect("no panic") = vec![loopback(1), loopback(2), loopback(3)];
    eventually("all three get requests", || {
        ask();
        [&first, &second, &third]
            .iter()
            .all(|server| server.hits() > 1)
    });

    // Idle connections to a removed address are closed, even without a request.
    *addresses.lock().expect("no panic") = vec![loopback(2), loopback(3)];
    eventually("its connections are closed", || {
        first.closed() == first.connections()
    });
    let hits = first.hits();
    (0..50).for_each(|_| ask());
    assert_eq!(first.hits(), hits);

    // After a failed lookup the previous addresses stay in use.
    addresses.lock().expect("no panic").clear();
    eventually("the failure is logged", || {
        logged("DNS lookup failed; the previous addresses stay in use")
    });
    let before = second.hits() + third.hits();
    (0..50).for_each(|_| ask());
    assert_eq!(second.hits() + third.hits(), before + 50);

    *addresses.lock().expect("no panic") = vec![loopback(1)];
    eventually("the address is used again", || {
        ask();
        first.hits() > hits
    });
}

#[test]
fn exchange_with_a_removed_address_is_completed() {
    let may_respond = Arc::new(AtomicBool::new(false));
    let released = Arc::clone(&may_respond);
    let [slow, other] = Server::start_on_one_port(move |received| {
        if received.target == "/slow" {
            eventually("the test releases the response", || {
                released.load(Ordering::SeqCst)
            });
        }
        Reply::text("slow")
    });
    other.script(|_| Reply::text("other"));
    let port = slow.address.port();
    let addresses: Addresses = Arc::new(Mutex::new(vec![loopback(1)]));
    let gateway = gateway_to_name(port, "pool_idle_timeout = \"1m\"", &addresses);
    let mut connection = Connection::open(gateway.address);
    connection.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the request arrives", || slow.hits() == 1);
    *addresses.lock().expect("no panic") = vec![loopback(2)];
    eventually("new requests go to the other address", || {
        send(gateway.address, GET).text() == "other"
    });
    may_respond.store(true, Ordering::SeqCst);
    let response = connection.read(false);
    assert_eq!(
        (response.status, response.complete, response.text()),
        (200, true, "slow".to_owned())
    );
    eventually("its connection is closed", || {
        slow.closed() == slow.connections()
    });
}

#[test]
fn refusing_address_of_a_name_costs_no_request_even_without_retries() {
    let server = hello_server();
    let addresses: Addresses = Arc::new(Mutex::new(vec![loopback(9), loopback(1), loopback(8)]));
    let gateway = gateway_to_name(server.address.port(), "retries = 0", &addresses);
    for _ in 0..100 {
        assert_eq!(send(gateway.address, POST).status, 200);
    }
    assert_eq!(server.hits(), 100);
}

//! `max_connections` and its per-client limit: which connection is evicted, waits or is refused.

use std::io::ErrorKind;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use scopegate::clock::TICK;

use harness::{Authority, Connection, Gateway, Reply, Server, TIMEOUT, eventually, logged};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const HELD: &str = "GET /held HTTP/1.1\r\nHost: a\r\n\r\n";

fn gateway(server: &str, upstream: &Server) -> Gateway {
    Gateway::start(&toml(server, upstream))
}

fn toml(server: &str, upstream: &Server) -> String {
    format!(
        "[server]\n{server}\n[upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    )
}

/// An upstream that holds its responses to `/held`; each message on the channel releases one.
fn upstream() -> (Server, Sender<()>) {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let upstream = Server::start(move |received| {
        if received.target == "/held" {
            let _ = released.lock().expect("no panic").recv_timeout(TIMEOUT);
        }
        Reply::text("hello")
    });
    (upstream, release)
}

/// Waits until connections differ in their idle time, which is measured in ticks.
fn pass_ticks() {
    thread::sleep(TICK * 2);
}

/// Whether the gateway has neither closed the connection nor sent anything on it.
fn is_open(connection: &Connection) -> bool {
    let socket = connection.clone_socket();
    socket.set_nonblocking(true).expect("an open socket");
    let peeked = socket.peek(&mut [0]);
    socket.set_nonblocking(false).expect("an open socket");
    matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

fn evicted(gateway: &Gateway) -> f64 {
    let series = format!(
        "scopegate_connections_evicted_total{{listener=\"{}\"}}",
        gateway.address
    );
    gateway.metric(&series).expect("it is counted")
}

#[test]
fn longest_idle_connection_is_evicted_for_a_new_one() {
    let (upstream, release) = upstream();
    let gateway = gateway("max_connections = 3", &upstream);
    let mut busy = Connection::open(gateway.address);
    busy.write(HELD);
    eventually("the request is in flight", || upstream.hits() == 1);
    let mut silent = Connection::open(gateway.address);
    pass_ticks();
    let mut idle = Connection::open(gateway.address);
    assert_eq!(idle.ask(GET).status, 200);
    pass_ticks();

    let mut fourth = Connection::open(gateway.address);
    assert_eq!(fourth.ask(GET).status, 200);
    pass_ticks();
    assert!(silent.is_closed() && is_open(&idle) && is_open(&busy));
    let mut fifth = Connection::open(gateway.address);
    assert_eq!(fifth.ask(GET).status, 200);
    assert!(idle.is_closed() && is_open(&fourth) && is_open(&busy));
    pass_ticks();
    // A new request resets the idle time.
    assert_eq!(fourth.ask(GET).status, 200);
    let mut sixth = Connection::open(gateway.address);
    assert_eq!(sixth.ask(GET).status, 200);
    assert!(fifth.is_closed() && is_open(&fourth));

    release.send(()).expect("the upstream waits");
    assert_eq!(busy.read(false).status, 200);
    eventually("all three evictions are counted", || {
        evicted(&gateway) == 3.0
    });
    assert!(logged("max_connections reached; evicting idle connections"));
}

#[test]
fn connection_with_a_request_in_flight_is_not_evicted() {
    let (upstream, release) = upstream();
    let large = vec![b'x'; 64 * 1024 * 1024];
    let gateway = gateway("max_connections = 3", &upstream);
    let mut busy = Connection::open(gateway.address);
    busy.write(HELD);
    eventually("the request is in flight", || upstream.hits() == 1);
    let mut incomplete = Connection::open(gateway.address);
    incomplete.write("GET /x HTTP/1.1\r\nHo");
    upstream.script(move |_| Reply::Response {
        status: 200,
        headers: Vec::new(),
        body: large.clone(),
    });
    let mut slow = Connection::open(gateway.address);
    slow.write(GET);
    eventually("the large response is in flight", || upstream.hits() == 2);
    upstream.script(|_| Reply::text("hello"));

    let mut new = Connection::open(gateway.address);
    new.write(GET);
    pass_ticks();
    pass_ticks();
    assert_eq!((upstream.hits(), evicted(&gateway)), (2, 0.0));
    assert!(is_open(&incomplete) && is_open(&busy));
    incomplete.write("st: a\r\n\r\n");
    assert_eq!(incomplete.read(false).status, 200);
    // It is idle now, and evicted for the new one.
    assert_eq!(new.read(false).status, 200);
    assert!(incomplete.is_closed());
    let response = slow.read(false);
    assert!(response.complete && response.body.len() == 64 * 1024 * 1024);
    release.send(()).expect("the upstream waits");
    assert_eq!(busy.read(false).status, 200);
}

#[test]
fn silent_tls_client_is_evicted_and_one_in_its_handshake_is_not() {
    let (authority, (upstream, _release)) = (Authority::generate(), upstream());
    let (certificate, key) = authority.server_files("a", "a.test");
    let listener = format!(
        "max_connections = 2\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
         tls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}",
        certificate.display(),
        key.display()
    );
    let gateway = gateway(&listener, &upstream);
    let mut handshaking = Connection::open(gateway.addresses[1]);
    let name = ServerName::try_from("a.test").expect("a name");
    let mut session =
        ClientConnection::new(Arc::new(authority.client_config(None)), name).expect("a session");
    let mut hello = Vec::new();
    session.write_tls(&mut hello).expect("memory");
    handshaking.write(&hello[..100]);
    let mut silent = Connection::open(gateway.addresses[1]);
    let open = format!(
        "scopegate_connections{{listener=\"{}\"}}",
        gateway.addresses[1]
    );
    eventually("both connections are open", || {
        gateway.metric(&open) == Some(2.0)
    });
    let mut new = Connection::open(gateway.address);
    assert_eq!(new.ask(GET).status, 200);
    assert!(silent.is_closed() && is_open(&handshaking));
}

#[test]
fn client_has_at_most_max_connections_per_client() {
    let (upstream, _release) = upstream();
    let limited = "max_connections_per_client = 2";
    let gateway = gateway(limited, &upstream);
    let refused = format!(
        "scopegate_connections_refused_total{{listener=\"{}\"}}",
        gateway.address
    );
    let is_served = |connection: &mut Connection| {
        connection.try_write(GET);
        connection
            .try_read(false)
            .is_some_and(|response| response.status == 200)
    };
    let mut held: Vec<_> = (0..2).map(|_| Connection::open(gateway.address)).collect();
    assert!(held.iter_mut().all(is_served));
    assert!(Connection::open(gateway.address).is_closed());
    assert_eq!(gateway.metric(&refused), Some(1.0));
    assert!(logged(
        "connection refused: max_connections_per_client reached client=127.0.0.1 max_connections_per_client=2"
    ));
    assert!(held.iter_mut().all(is_served), "open connections stay");
    drop(held.pop());
    eventually("the client may connect again", || {
        is_served(&mut Connection::open(gateway.address))
    });

    // A trusted proxy connects for many clients and has no limit; 0 disables the limit.
    let exempt = format!("{limited}\ntrusted_proxies = \"127.0.0.0/8\"");
    for server in [&*exempt, "max_connections_per_client = 0"] {
        gateway
            .reload(&toml(limited, &upstream))
            .expect("a valid configuration");
        gateway
            .reload(&toml(server, &upstream))
            .expect("a valid configuration");
        let mut many: Vec<_> = (0..5).map(|_| Connection::open(gateway.address)).collect();
        assert!(many.iter_mut().all(is_served), "{server}");
    }
}

#[test]
fn lowered_limit_holds_for_new_connections_after_a_reload() {
    let (upstream, release) = upstream();
    let gateway = gateway("max_connections = 2", &upstream);
    let [mut first, mut second] = [(); 2].map(|()| Connection::open(gateway.address));
    first.write(HELD);
    second.write(HELD);
    eventually("both requests are in flight", || upstream.hits() == 2);
    gateway
        .reload(&toml("max_connections = 1", &upstream))
        .expect("a valid configuration");
    let mut new = Connection::open(gateway.address);
    new.write(GET);
    assert!(is_open(&first) && is_open(&second));

    // Both requests stay in flight, so that no connection is idle and can be evicted for the new
    // one.
    drop(second);
    let open = format!("scopegate_connections{{listener=\"{}\"}}", gateway.address);
    eventually("one connection is left", || {
        gateway.metric(&open) == Some(1.0)
    });
    pass_ticks();
    assert_eq!(
        upstream.hits(),
        2,
        "one connection is as many as may be open"
    );

    // The upstream still holds the response to the client that left: two responses to release.
    for _ in 0..2 {
        release.send(()).expect("the upstream waits");
    }
    assert_eq!(first.read(false).status, 200);
    drop(first);
    assert_eq!(new.read(false).status, 200);
}

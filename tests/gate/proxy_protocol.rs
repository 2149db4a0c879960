//! The PROXY protocol on a listener: who is believed, and what becomes of the client address.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::{ClientConnection, StreamOwned};

use harness::{Authority, Connection, Gateway, Reply, Server, TIMEOUT, eventually, logged};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
const TCP4: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n";

fn toml(server: &str, listener: &str, upstream: &Server) -> String {
    format!(
        "[server]\n{server}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [upstreams.up]\ntargets = \"http://{}\"\n\
         [[routes]]\npath = \"/{{*rest}}\"\npublic = true\nupstream = \"up\"\n",
        upstream.address
    )
}

fn gateway(server: &str, upstream: &Server) -> Gateway {
    Gateway::start(&toml(server, "proxy_protocol = true", upstream))
}

fn upstream() -> Server {
    Server::start(|_| Reply::text("hello"))
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
    [
        b"\r\n\r\n\0\r\nQUIT\n",
        &[command, family][..],
        &length,
        rest,
    ]
    .concat()
}

fn status(address: SocketAddr, header: &[u8], request: &str) -> Option<u16> {
    let mut connection = Connection::open(address);
    connection.try_write([header, request.as_bytes()].concat());
    connection.try_read(false).map(|response| response.status)
}

/// The metric of connections closed for want of a header.
fn without_header(gateway: &Gateway) -> Option<f64> {
    gateway.metric(&format!(
        "scopegate_connections_without_proxy_header_total{{listener=\"{}\"}}",
        gateway.addresses[1]
    ))
}

#[test]
fn carried_address_is_the_client_address_in_the_log_and_upstream() {
    let upstream = upstream();
    let gateway = gateway("trusted_proxies = \"127.0.0.1\"", &upstream);
    let ipv4 = [192, 0, 2, 8, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
    let claimed = GET.replace("Host", "X-Forwarded-For: 203.0.113.9\r\nHost");
    // The address of a header may not be trusted; then its X-Forwarded-For says nothing. The
    // peer's own may: it is 127.0.0.1.
    for (header, client, forwarded) in [
        (TCP4.as_bytes().to_vec(), "192.0.2.7", "192.0.2.7"),
        (v2(0x21, 0x11, &ipv4), "192.0.2.8", "192.0.2.8"),
        (
            b"PROXY UNKNOWN\r\n".to_vec(),
            "203.0.113.9",
            "203.0.113.9, 127.0.0.1",
        ),
        (v2(0x20, 0, &[]), "203.0.113.9", "203.0.113.9, 127.0.0.1"),
    ] {
        assert_eq!(
            status(gateway.addresses[1], &header, &claimed),
            Some(200),
            "{client}"
        );
        let received = upstream.received();
        let received = received.last().expect("a request");
        assert_eq!(received.header("x-forwarded-for"), [forwarded]);
        eventually("the request is logged", || {
            let lines = gateway.requests.lines();
            lines.last().is_some_and(|line| line["client"] == client)
        });
    }
    assert_eq!(without_header(&gateway), Some(0.0));
}

#[test]
fn connection_without_a_valid_header_is_closed_and_counted() {
    let upstream = upstream();
    let gateway = gateway("trusted_proxies = \"127.0.0.1\"", &upstream);
    for (index, header) in [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n",
        &v2(0x21, 0x41, &[0; 12]),
        &v2(0x21, 0x11, &[0; 5000]),
    ]
    .into_iter()
    .enumerate()
    {
        let shown = header.escape_ascii();
        assert_eq!(status(gateway.addresses[1], header, GET), None, "{shown}");
        eventually("it is counted", || {
            without_header(&gateway) == Some(index as f64 + 1.0)
        });
    }
    assert_eq!(upstream.hits(), 0);
    assert!(logged(
        "connection refused: no valid PROXY header peer=127.0.0.1 found=\"no PROXY header\""
    ));
    // The other listener wants none, and takes one for a malformed request.
    assert_eq!(status(gateway.address, b"", GET), Some(200));
    assert_eq!(status(gateway.address, TCP4.as_bytes(), GET), Some(400));
}

#[test]
fn header_of_a_peer_that_is_not_trusted_is_refused() {
    let upstream = upstream();
    let gateway = gateway("trusted_proxies = \"192.0.2.0/24\"", &upstream);
    assert_eq!(status(gateway.addresses[1], TCP4.as_bytes(), GET), None);
    assert_eq!((upstream.hits(), without_header(&gateway)), (0, Some(1.0)));
}

#[test]
fn header_that_does_not_end_times_out() {
    let upstream = upstream();
    let keys = "trusted_proxies = \"127.0.0.1\"\nheader_timeout = \"200ms\"";
    let gateway = gateway(keys, &upstream);
    for begun in ["", "PROXY TCP4 192.0.2.7"] {
        let mut connection = Connection::open(gateway.addresses[1]);
        connection.try_write(begun);
        assert!(connection.is_closed(), "{begun:?}");
    }
    assert_eq!(without_header(&gateway), Some(2.0));
}

#[test]
fn limit_of_connections_counts_carried_addresses() {
    let upstream = upstream();
    let keys = "trusted_proxies = \"127.0.0.1\"\nmax_connections_per_client = 1";
    let gateway = gateway(keys, &upstream);
    let mut first = Connection::open(gateway.addresses[1]);
    assert_eq!(first.ask(format!("{TCP4}{GET}")).status, 200);
    assert_eq!(status(gateway.addresses[1], TCP4.as_bytes(), GET), None);
    let other = TCP4.replace("192.0.2.7", "192.0.2.8");
    assert_eq!(
        status(gateway.addresses[1], other.as_bytes(), GET),
        Some(200)
    );
    assert_eq!(first.ask(GET).status, 200);
    drop(first);
    eventually("the client may connect again", || {
        status(gateway.addresses[1], TCP4.as_bytes(), GET) == Some(200)
    });
}

#[test]
fn header_comes_before_the_tls_handshake() {
    let (authority, upstream) = (Authority::generate(), upstream());
    let (certificate, key) = authority.server_files("a", "a.test");
    let listener = format!(
        "proxy_protocol = true\ntls = {{ certificates = [{{ certificate = \"{}\", key = \"{}\" }}] }}",
        certificate.display(),
        key.display()
    );
    let server = "trusted_proxies = \"127.0.0.1\"";
    let gateway = Gateway::start(&toml(server, &listener, &upstream));
    let mut socket = TcpStream::connect(gateway.addresses[1]).expect("it listens");
    socket.set_read_timeout(Some(TIMEOUT)).expect("a socket");
    socket.write_all(TCP4.as_bytes()).expect("an open socket");
    let config = Arc::new(authority.client_config(None));
    let name = "a.test".try_into().expect("a name");
    let session = ClientConnection::new(config, name).expect("a session");
    let mut session = StreamOwned::new(session, socket);
    let request = GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    session.write_all(request.as_bytes()).expect("a handshake");
    let mut response = String::new();
    session.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    let received = upstream.received();
    assert_eq!(received[0].header("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(received[0].header("x-forwarded-proto"), ["https"]);
}

#[test]
fn reload_switches_the_header_on_and_off() {
    let upstream = upstream();
    let server = "trusted_proxies = \"127.0.0.1\"";
    let gateway = gateway(server, &upstream);
    gateway
        .reload(&toml(server, "", &upstream))
        .expect("a valid configuration");
    assert_eq!(status(gateway.addresses[1], b"", GET), Some(200));
    gateway
        .reload(&toml(server, "proxy_protocol = true", &upstream))
        .expect("a valid configuration");
    assert_eq!(status(gateway.addresses[1], b"", GET), None);
    let refused = gateway
        .reload(&toml("", "proxy_protocol = true", &upstream))
        .expect_err("nobody could connect");
    assert!(
        refused.contains(
            "listeners[0].proxy_protocol: expected server.trusted_proxies, but found none"
        ),
        "{refused}"
    );
}

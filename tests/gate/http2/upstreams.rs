//! HTTP/2 upstreams: the forwarded requests, and the responses to upstream failures (R45).

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use http::request::Parts;

use super::client::{self, block_on, get};
use super::frame_connection::FrameConnection;
use super::frame_upstream::{self, FAR_ROUTE, FrameUpstream, whole_response};
use super::frames::{WHOLE, request};
use super::refusing_port;
use harness::{Authority, Connection, Gateway, Reply, Server, TIMEOUT, eventually, logged, send};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// An upstream built with `h2` that reports each request head.
fn recording_upstream() -> (SocketAddr, Receiver<Parts>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("an open socket");
    let address = listener.local_addr().expect("a bound socket");
    let (sender, receiver) = channel();
    thread::spawn(move || {
        block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            let (socket, _) = listener.accept().await.expect("a connection");
            let mut streams = h2::server::handshake(socket).await.expect("HTTP/2");
            while let Some(Ok((request, mut respond))) = streams.accept().await {
                // An error means that the test has failed already.
                let _ = sender.send(request.into_parts().0);
                let _ = respond.send_response(http::Response::new(()), true);
            }
        });
    });
    (address, receiver)
}

fn gateway(targets: &str, upstream_keys: &str) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.far]\ntargets = \"{targets}\"\nprotocol = \"http2\"\n{upstream_keys}\n{FAR_ROUTE}public = true\n"
    ))
}

#[test]
fn request_is_forwarded_as_valid_http2_with_forwarding_headers() {
    let (address, heads) = recording_upstream();
    let gateway = gateway(&format!("http://{address}"), "");
    let lines = "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers, gzip\r\n\
                 Cookie: a=1; b=2\r\nX-Forwarded-For: forged\r\nx_forwarded_for: forged\r\n";
    let request = format!("GET /x?y HTTP/1.1\r\nHost: api.test:81\r\n{lines}\r\n");
    assert_eq!(send(gateway.address, request).status, 200);
    assert_eq!(
        client::ask(gateway.address, get("/x?y", None), b"", None).status,
        200
    );
    for (authority, via, forwarded_host) in [
        ("api.test:81", "1.1 scopegate", "api.test:81"),
        ("api.test", "2.0 scopegate", "api.test"),
    ] {
        let head = heads.recv_timeout(TIMEOUT).expect("a request");
        assert_eq!(head.uri.to_string(), format!("http://{authority}/x?y"));
        let header = |name: &str| {
            let mut values = head.headers.get_all(name).iter();
            let value = values.next().map(|value| value.to_str().expect("ASCII"));
            assert!(values.next().is_none(), "{name} occurs twice");
            value
        };
        assert_eq!(
            (header("via"), header("x-forwarded-for")),
            (Some(via), Some("127.0.0.1"))
        );
        assert_eq!(
            (header("x-forwarded-host"), header("x-forwarded-proto")),
            (Some(forwarded_host), Some("http"))
        );
        for name in [
            "host",
            "connection",
            "x-hop",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "x_forwarded_for",
        ] {
            assert_eq!(header(name), None, "{name}");
        }
        assert!(matches!(header("te"), None | Some("trailers")));
    }
}

#[test]
fn upgrade_is_forwarded_as_a_plain_request() {
    let (address, heads) = recording_upstream();
    let gateway = gateway(&format!("http://{address}"), "");
    for protocol in ["websocket", "h2c"] {
        let lines =
            format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\nSec-WebSocket-Key: k\r\n");
        let mut connection = Connection::open(gateway.address);
        for _ in 0..2 {
            let response = connection.ask(format!("GET /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
            assert_eq!((response.status, response.header("upgrade")), (200, None));
            let head = heads.recv_timeout(TIMEOUT).expect("a request");
            assert!(
                head.headers.get("upgrade").is_none() && head.headers.get("connection").is_none()
            );
            assert_eq!(head.headers["sec-websocket-key"], "k");
        }
    }
}

#[test]
fn upstream_without_http2_is_a_502_with_its_cause_logged() {
    let http1 = Server::start(|_| Reply::text("hello"));
    let closing = Server::start(|_| Reply::RawThenClose(Vec::new()));
    let smtp = Server::start(|_| Reply::RawThenClose(b"220 ready\r\n".to_vec()));
    for upstream in [&http1, &closing, &smtp] {
        let gateway = gateway(&format!("http://{}", upstream.address), "retries = 0");
        let response = send(gateway.address, GET);
        assert_eq!((response.status, response.challenge()), (502, None));
        assert_eq!(
            client::ask(gateway.address, get("/x", None), b"", None).status,
            502
        );
    }
    let cause = format!(
        "cannot connect to {}: expected HTTP/2 (protocol = ",
        http1.address
    );
    eventually("the cause is logged", || {
        logged(&cause) || logged(&cause.replace('"', "\\\""))
    });
}

#[test]
fn tls_upstream_must_negotiate_http2() {
    let authority = Authority::generate();
    let upstream_keys = format!(
        "tls_ca = \"{}\"\ntls_server_name = \"inner.test\"\nretries = 0",
        authority.ca_file().display()
    );
    let config = authority.server_config("inner.test", false);
    let http1 = Server::start_tls(Arc::clone(&config), |_| Reply::text("hello"));
    let http1_gateway = gateway(&format!("https://{}", http1.address), &upstream_keys);
    assert_eq!(send(http1_gateway.address, GET).status, 502);
    assert_eq!(http1.hits(), 0);
    let cause = format!(
        "cannot connect to {}: expected the upstream to negotiate HTTP/2",
        http1.address
    );
    eventually("the cause is logged", || logged(&cause));

    let mut config = (*config).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let upstream = FrameUpstream::start_with(Some(Arc::new(config)), &[], |connection, call| {
        _ = connection.try_write(whole_response(call.stream, b"hello"))
    });
    let http2_gateway = gateway(&format!("https://{}", upstream.address), &upstream_keys);
    for _ in 0..3 {
        assert_eq!(send(http2_gateway.address, GET).text(), "hello");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn unreachable_upstream_is_a_502_and_one_without_settings_a_504() {
    let (_socket, address) = refusing_port();
    let unreachable = gateway(&format!("http://{address}"), "");
    assert_eq!(send(unreachable.address, GET).status, 502);
    // This one accepts connections and sends nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let silent = gateway(
        &format!("http://{address}"),
        "connect_timeout = \"200ms\"\nretries = 0",
    );
    let response = send(silent.address, GET);
    assert_eq!((response.status, response.challenge()), (504, None));
}

#[test]
fn silent_upstream_is_a_504_and_the_next_request_opens_a_new_connection() {
    // Silent from the start, or after two responses.
    for responses in [0, 2] {
        let upstream = FrameUpstream::start(&[], move |connection, call| {
            if call.connection == 2 || call.earlier < responses {
                connection.try_write(whole_response(call.stream, b""));
            }
        });
        let test_bed = frame_upstream::test_bed(
            "",
            &upstream,
            "response_timeout = \"300ms\"",
            "public = true",
        );
        for _ in 0..responses {
            assert_eq!(send(test_bed.address, GET).status, 200);
        }
        let response = send(test_bed.address, GET);
        assert_eq!((response.status, response.challenge()), (504, None));
        assert_eq!(
            (send(test_bed.address, GET).status, upstream.connections()),
            (200, 2),
            "after {responses} responses"
        );
        assert_eq!(
            upstream.calls().len(),
            responses + 2,
            "a request that may have been processed is not retried"
        );
        eventually("the silent connection is closed", || upstream.closed() == 1);
    }
}

#[test]
fn client_deadline_does_not_count_against_the_upstream_connection() {
    let upstream = FrameUpstream::start(&[], |_, _| {});
    let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let call = [
        &request("POST", "/x")[..],
        &[("content-type", "application/grpc"), ("grpc-timeout", "1m")],
    ]
    .concat();
    for _ in 0..6 {
        assert_eq!(connection.ask(&call).status, Some(504));
    }
    eventually("all requests are cancelled upstream", || {
        upstream.resets() == upstream.calls().len()
    });
    assert_eq!(
        upstream.connections(),
        1,
        "for {} requests",
        upstream.calls().len()
    );
}

#[test]
fn timeout_of_one_stream_keeps_a_responsive_connection() {
    let upstream = FrameUpstream::start(&[], |connection, call| {
        if call.earlier != 0 {
            connection.try_write(whole_response(call.stream, b""));
        }
    });
    let test_bed =
        frame_upstream::test_bed("", &upstream, "response_timeout = \"3s\"", "public = true");
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let slow = connection.begin_request(WHOLE, &request("GET", "/slow"));
    eventually("the upstream has the request", || {
        upstream.calls().len() == 1
    });
    while connection.stream(slow).end.is_none() {
        assert_eq!(connection.ask(&request("GET", "/quick")).status, Some(200));
        // Paces the requests. A pause of half the timeout would make the connection silent.
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(connection.stream(slow).status, Some(504));
    assert_eq!(
        (
            connection.ask(&request("GET", "/quick")).status,
            upstream.connections()
        ),
        (Some(200), 1)
    );
}

#[test]
fn response_timeout_of_a_route_replaces_that_of_the_upstream_and_keeps_its_connection() {
    let upstream = FrameUpstream::start(&[], |wire, call| {
        if call.earlier % 2 == 0 {
            wire.try_write(whole_response(call.stream, b""));
        }
    });
    let test_bed = frame_upstream::test_bed(
        "",
        &upstream,
        "response_timeout = \"1m\"",
        "public = true\nresponse_timeout = \"100ms\"",
    );
    for _ in 0..4 {
        assert_eq!(send(test_bed.address, GET).status, 200);
        assert_eq!(send(test_bed.address, GET).status, 504);
    }
    assert_eq!(
        upstream.connections(),
        1,
        "silence is measured by the timeout of the upstream"
    );
}

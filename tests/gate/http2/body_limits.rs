//! `max_body_size` over HTTP/2 and for gRPC.

use std::net::SocketAddr;

use http::Request;

use super::client;
use super::frame_connection::FrameConnection;
use super::frame_upstream::{FAR_ROUTE, FrameUpstream};
use super::frames::{DATA, END_HEADERS, NONE, frame, request};
use harness::{Gateway, Reply, Server, eventually};

fn gateway(upstream: SocketAddr, protocol: &str) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.far]\ntargets = \"http://{upstream}\"\nprotocol = \"{protocol}\"\n{FAR_ROUTE}public = true\n\
         max_body_size = \"10B\"\n"
    ))
}

fn post(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post("http://api.test/x");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

#[test]
fn announced_and_unannounced_bodies_above_the_limit_are_a_413() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = gateway(upstream.address, "http1");
    for (headers, length, status) in [
        (&[("content-length", "10")][..], 10, 200),
        (&[("content-length", "11")], 11, 413),
        (&[], 10, 200),
        (&[], 11, 413),
    ] {
        let before = upstream.hits();
        let body = vec![b'x'; length];
        let response = client::ask(gateway.address, post(headers), &body, None);
        assert_eq!(response.status, status, "{headers:?} {length}");
        assert_eq!(response.header("www-authenticate"), None);
        assert_eq!(upstream.hits() - before, usize::from(status == 200));
        if status == 413 {
            assert_eq!(
                response.header("content-type"),
                Some("application/problem+json")
            );
        }
    }
}

#[test]
fn grpc_client_gets_resource_exhausted() {
    let upstream = Server::start(|_| Reply::text("hello"));
    let gateway = gateway(upstream.address, "http1");
    let response = client::ask(
        gateway.address,
        post(&[("content-type", "application/grpc")]),
        &[b'x'; 11],
        None,
    );
    assert_eq!(response.status, 413);
    assert_eq!(response.header("grpc-status"), Some("8"));
    assert_eq!(upstream.hits(), 0);
}

#[test]
fn stream_to_the_upstream_is_reset_at_the_limit() {
    let upstream = FrameUpstream::start(&[], |_, _| {});
    let gateway = gateway(upstream.address, "http2");
    let mut wire = FrameConnection::open(gateway.address, &[]);
    let stream = wire.begin_request(END_HEADERS, &request("POST", "/x"));
    wire.write(frame(DATA, NONE, stream, "hello"));
    eventually("the upstream has the request", || {
        upstream.calls().len() == 1
    });
    wire.write(frame(DATA, NONE, stream, "hello!"));
    assert_eq!(wire.response(stream).status, Some(413));
    eventually("the stream is reset", || upstream.resets() == 1);
    assert_eq!(upstream.whole_bodies(), 0);
    // The connection serves on.
    let next = wire.begin_request(END_HEADERS, &request("POST", "/x"));
    wire.write(frame(DATA, NONE, next, "hello hello"));
    assert_eq!(wire.response(next).status, Some(413));
    assert_eq!(upstream.connections(), 1);
}

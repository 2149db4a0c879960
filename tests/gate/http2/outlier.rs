//! `outlier` with HTTP/2 upstreams: one broken connection is one failure, and a gRPC client's own
//! deadline is none.

use super::frame_connection::FrameConnection;
use super::frame_upstream::{FAR_ROUTE, FrameUpstream, whole_response};
use super::frames::{
    CANCEL, ENHANCE_YOUR_CALM, GOAWAY, INTERNAL_ERROR, REFUSED_STREAM, RST_STREAM, WHOLE, frame,
    request,
};
use harness::{Gateway, eventually, send};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";

/// A gateway to an upstream under test and one that serves.
fn gateway(failing: &FrameUpstream, healthy: &FrameUpstream, keys: &str) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.far]\ntargets = [\"http://{}\", \"http://{}\"]\nprotocol = \"http2\"\n\
         balance = \"round_robin\"\nretries = 0\n\
         outlier = {{ consecutive = 3, ejection_time = \"1h\" }}\n{keys}\n{FAR_ROUTE}public = true\n",
        failing.address, healthy.address
    ))
}

fn healthy() -> FrameUpstream {
    FrameUpstream::start(&[], |connection, call| {
        _ = connection.try_write(whole_response(call.stream, b""))
    })
}

fn ejections(gateway: &Gateway, upstream: &FrameUpstream) -> Option<f64> {
    gateway.metric(&format!(
        "scopegate_upstream_target_ejections_total{{upstream=\"far\",target=\"{}\"}}",
        upstream.address
    ))
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, code.to_be_bytes())
}

#[test]
fn streams_that_are_reset_eject_and_refused_ones_do_not() {
    for (code, expected) in [
        (INTERNAL_ERROR, 1.0),
        (REFUSED_STREAM, 0.0),
        (ENHANCE_YOUR_CALM, 0.0),
    ] {
        let failing = FrameUpstream::start(&[], move |connection, call| {
            _ = connection.try_write(reset(call.stream, code))
        });
        let healthy = healthy();
        let gateway = gateway(&failing, &healthy, "");
        for _ in 0..12 {
            send(gateway.address, GET);
        }
        assert_eq!(ejections(&gateway, &failing), Some(expected), "code {code}");
        assert_eq!(failing.calls().len(), if expected > 0.0 { 3 } else { 6 });
    }
}

#[test]
fn broken_connection_is_one_failure_however_many_streams_it_carried() {
    // Responds to nothing, and breaks the connection at the eighth request.
    let failing = FrameUpstream::start(&[], |connection, call| {
        if call.earlier % 8 == 7 {
            let protocol_error = [0, 0, 0, 0, 0, 0, 0, 1];
            connection.try_write(frame(GOAWAY, 0, 0, protocol_error));
        }
    });
    let healthy = healthy();
    let gateway = gateway(&failing, &healthy, "");
    for round in 1..=3 {
        assert_eq!(
            ejections(&gateway, &failing),
            Some(0.0),
            "before round {round}"
        );
        let mut connection = FrameConnection::open(gateway.address, &[]);
        let streams: Vec<_> = (0..16)
            .map(|_| connection.begin_request(WHOLE, &request("GET", "/x")))
            .collect();
        for stream in streams {
            connection.response(stream);
        }
    }
    eventually("three broken connections eject it", || {
        ejections(&gateway, &failing) == Some(1.0)
    });
}

#[test]
fn deadline_of_a_grpc_client_ejects_nothing() {
    let silent = FrameUpstream::start(&[], |_, _| {});
    // Resets the call at its deadline by itself.
    let strict = FrameUpstream::start(&[], |connection, call| {
        connection.try_write(reset(call.stream, CANCEL));
    });
    let gateway = gateway(&silent, &strict, "");
    let mut connection = FrameConnection::open(gateway.address, &[]);
    let call = [
        &request("POST", "/x")[..],
        &[("content-type", "application/grpc"), ("grpc-timeout", "1m")],
    ]
    .concat();
    for _ in 0..20 {
        assert!(connection.ask(&call).status >= Some(502));
    }
    assert_eq!(ejections(&gateway, &silent), Some(0.0));
    assert_eq!(ejections(&gateway, &strict), Some(0.0));
}

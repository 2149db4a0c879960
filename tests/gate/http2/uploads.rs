//! Truncated and stalled uploads (R40).

use std::thread;

use http::Request;

use super::client;
use super::frame_connection::FrameConnection;
use super::frame_upstream::{self, FrameUpstream};
use super::frames::{
    CANCEL, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, INTERNAL_ERROR, NO_ERROR,
    NONE, RST_STREAM, frame, request,
};
use harness::{Gateway, TIMEOUT, TestBed, eventually, recording_upstream, send};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

/// How a client truncates its upload: by a reset with this code, or by closing its connection.
const TRUNCATIONS: [Option<u32>; 4] = [Some(CANCEL), Some(NO_ERROR), Some(INTERNAL_ERROR), None];

fn truncate(
    mut connection: FrameConnection,
    stream: u32,
    code: Option<u32>,
) -> Option<FrameConnection> {
    let code = code?;
    connection.write(frame(RST_STREAM, NONE, stream, code.to_be_bytes()));
    Some(connection)
}

#[test]
fn r40_truncated_upload_never_looks_complete_to_an_http1_upstream() {
    // Before and after the start of the response.
    for early in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
    ] {
        let (address, received) = recording_upstream(early);
        let gateway = Gateway::start(&format!(
            "[upstreams.up]\ntargets = \"http://{address}\"\n{ROUTES}"
        ));
        for code in TRUNCATIONS {
            for fields in [&[][..], &[("content-length", "10")]] {
                let mut connection = FrameConnection::open(gateway.address, &[]);
                let stream = connection
                    .begin_request(END_HEADERS, &[&request("POST", "/x")[..], fields].concat());
                connection.write(frame(DATA, NONE, stream, b"hello"));
                assert_eq!(received.recv_timeout(TIMEOUT).expect("a head"), b"");
                if !early.is_empty() {
                    connection.until(|connection| connection.stream(stream).body == b"ok");
                }
                let connection = truncate(connection, stream, code);
                let all = received.recv_timeout(TIMEOUT).expect("the connection ends");
                let all = String::from_utf8(all).expect("ASCII");
                assert!(!all.ends_with("0\r\n\r\n"), "{code:?} {fields:?}: {all}");
                drop(connection);
            }
        }
    }
}

#[test]
fn r40_truncated_upload_is_reset_at_an_http2_upstream() {
    for responds_early in [false, true] {
        let upstream = FrameUpstream::start(&[], move |connection, call| {
            if responds_early {
                let head = frame(HEADERS, END_HEADERS, call.stream, [0x88]);
                connection.try_write([head, frame(DATA, NONE, call.stream, b"ok")].concat());
            }
        });
        let test_bed = frame_upstream::test_bed("", &upstream, "", "public = true");
        for (place, code) in TRUNCATIONS.into_iter().enumerate() {
            let mut connection = FrameConnection::open(test_bed.address, &[]);
            let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
            connection.write(frame(DATA, NONE, stream, b"hello"));
            eventually("the upstream has the request", || {
                upstream.calls().len() == place + 1
            });
            if responds_early {
                connection.until(|connection| connection.stream(stream).body == b"ok");
            }
            let connection = truncate(connection, stream, code);
            eventually("the upstream's stream is reset", || {
                upstream.resets() == place + 1
            });
            drop(connection);
        }
        assert_eq!(
            (
                upstream.whole_bodies(),
                upstream.connections(),
                upstream.closed()
            ),
            (0, 1, 0),
            "only the stream ends"
        );
    }
}

#[test]
fn stalled_client_is_a_408_and_a_stalled_upstream_a_504() {
    let short = "[server]\nbody_idle_timeout = \"400ms\"\n";
    let upstream = FrameUpstream::start(&[(INITIAL_WINDOW_SIZE, 0)], |_, _| {});
    let over_http2 = frame_upstream::test_bed(short, &upstream, "", "public = true");
    let over_http1 = TestBed::toml(short, "", "", ROUTES);
    let stalled_client = |test_bed: &TestBed| {
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
        assert_eq!(connection.response(stream).status, Some(408));
        // The connection stays open for other streams.
        assert!(connection.ping());
    };
    let stalled_upstream = |test_bed: &TestBed| {
        let mut connection = FrameConnection::open(test_bed.address, &[]);
        let stream = connection.begin_request(END_HEADERS, &request("POST", "/x"));
        connection.write(frame(DATA, END_STREAM, stream, b"hello"));
        assert_eq!(connection.response(stream).status, Some(504));
    };
    let stalled_upstream_of_http1 = |test_bed: &TestBed| {
        let post = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(send(test_bed.address, post).status, 504);
    };
    thread::scope(|scope| {
        scope.spawn(|| stalled_client(&over_http1));
        scope.spawn(|| stalled_client(&over_http2));
        scope.spawn(|| stalled_upstream(&over_http2));
        scope.spawn(|| stalled_upstream_of_http1(&over_http2));
    });
}

#[test]
fn refused_uploads_release_their_flow_control_window() {
    let test_bed = TestBed::routes(&format!(
        "[[routes]]\npath = \"/protected\"\nupstream = \"up\"\n{ROUTES}"
    ));
    client::block_on(async {
        let socket = tokio::net::TcpStream::connect(test_bed.address)
            .await
            .expect("it listens");
        let (mut sender, connection) = h2::client::handshake(socket).await.expect("HTTP/2");
        tokio::spawn(connection);
        // Together they exceed the window of the connection.
        for (path, status, length) in [("/protected", 401, 60_000); 30]
            .into_iter()
            .chain([("/open", 200, 500_000)])
        {
            sender = sender.ready().await.expect("room for a stream");
            let request = Request::post(format!("http://api.test{path}"))
                .body(())
                .expect("a request");
            let (response, mut stream) = sender.send_request(request, false).expect("a request");
            let mut left = length;
            while left > 0 {
                stream.reserve_capacity(left);
                // The stream closes if the response does not wait for the body.
                let Some(Ok(room)) =
                    std::future::poll_fn(|context| stream.poll_capacity(context)).await
                else {
                    break;
                };
                left -= room;
                if stream
                    .send_data(vec![b'x'; room].into(), left == 0)
                    .is_err()
                {
                    break;
                }
            }
            assert_eq!(response.await.expect("a response").status(), status);
        }
    });
    assert_eq!(test_bed.last().body.len(), 500_000);
}

#[test]
fn expect_gets_a_100_only_if_the_request_is_permitted() {
    let test_bed = TestBed::routes(&format!(
        "[[routes]]\npath = \"/protected\"\nupstream = \"up\"\n{ROUTES}"
    ));
    let expects = [("expect", "100-continue"), ("content-length", "5")];
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let refused = connection.begin_request(
        END_HEADERS,
        &[&request("POST", "/protected")[..], &expects].concat(),
    );
    connection.until(|connection| connection.stream(refused).status.is_some());
    assert_eq!(connection.stream(refused).status, Some(401));
    let stream = connection.begin_request(
        END_HEADERS,
        &[&request("POST", "/x")[..], &expects].concat(),
    );
    connection.until(|connection| connection.stream(stream).status.is_some());
    assert_eq!(connection.stream(stream).status, Some(100));
    connection.write(frame(DATA, END_STREAM, stream, b"hello"));
    assert_eq!(
        (connection.response(stream).body, test_bed.last().body),
        (b"hello".to_vec(), b"hello".to_vec())
    );
}

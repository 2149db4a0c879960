//! Request bodies, complete or different from what their head announced (R40).

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use http::{HeaderMap, HeaderValue, Request};

use super::client;
use super::frame_connection::{End, FrameConnection, StreamState};
use super::frame_upstream;
use super::frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, NONE, PADDED, PROTOCOL_ERROR, WHOLE, block, frame,
    request,
};
use harness::{Gateway, TIMEOUT, TestBed};

const ROUTES: &str = "[[routes]]\npath = \"/{*rest}\"\npublic = true\nupstream = \"up\"\n";

/// Uploads these pieces with these fields on a new connection, and returns the response.
fn upload(test_bed: &TestBed, fields: &[(&str, &str)], pieces: &[&[u8]]) -> StreamState {
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream =
        connection.begin_request(END_HEADERS, &[&request("POST", "/x")[..], fields].concat());
    for (place, piece) in pieces.iter().enumerate() {
        let flags = if place + 1 == pieces.len() {
            END_STREAM
        } else {
            NONE
        };
        connection.try_write(frame(DATA, flags, stream, piece));
    }
    connection.response(stream)
}

#[test]
fn body_is_forwarded_with_the_framing_of_its_head() {
    let test_bed = TestBed::routes(ROUTES);
    for (fields, pieces, length, coding) in [
        (
            &[][..],
            &[&b"hel"[..], b"", b"lo"][..],
            &[][..],
            &["chunked"][..],
        ),
        (
            &[("content-length", "5")],
            &[b"hel", b"", b"lo", b""],
            &["5"],
            &[],
        ),
        (&[("content-length", "0005")], &[b"hello"], &["5"], &[]),
        (&[], &[b""], &[], &["chunked"]),
        (&[("content-length", "0")], &[b""], &["0"], &[]),
    ] {
        let response = upload(&test_bed, fields, pieces);
        assert_eq!(
            (response.status, response.end),
            (Some(200), Some(End::Whole)),
            "{fields:?} {pieces:?}"
        );
        let received = test_bed.last();
        assert_eq!(received.body, pieces.concat());
        assert_eq!(
            (
                received.header("content-length"),
                received.header("transfer-encoding")
            ),
            (length.to_vec(), coding.to_vec())
        );
    }
    // A GET may have a body too.
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(END_HEADERS, &request("GET", "/x"));
    connection.write(frame(DATA, END_STREAM, stream, b"hello"));
    assert_eq!(connection.response(stream).status, Some(200));
    let received = test_bed.last();
    assert_eq!(
        (received.header("transfer-encoding"), &*received.body),
        (vec!["chunked"], &b"hello"[..])
    );
    // Padding is not part of the body (RFC 9113 §6.1).
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(
        END_HEADERS,
        &[&request("POST", "/x")[..], &[("content-length", "5")]].concat(),
    );
    connection.write(frame(DATA, END_STREAM | PADDED, stream, b"\x03hello\0\0\0"));
    assert_eq!(
        (connection.response(stream).status, test_bed.last().body),
        (Some(200), b"hello".to_vec())
    );
    // A request without a body announces none.
    assert_eq!(connection.ask(&request("GET", "/x")).status, Some(200));
    let received = test_bed.last();
    assert!(
        received.header("content-length").is_empty()
            && received.header("transfer-encoding").is_empty()
    );
}

#[test]
fn r40_wrong_content_length_never_reaches_the_upstream_as_a_complete_request() {
    let test_bed = TestBed::routes(ROUTES);
    for (length, pieces) in [
        ("5", &[&b"hell"[..]][..]),
        ("5", &[b"hell", b""]),
        ("5", &[b"hello!"]),
        ("5", &[b"hello", b"!"]),
        ("5", &[b""]),
        ("0", &[b"hello"]),
        ("18446744073709551615", &[b"hello"]),
    ] {
        let response = upload(&test_bed, &[("content-length", length)], pieces);
        assert_eq!(
            (response.status, response.end),
            (None, Some(End::Reset(PROTOCOL_ERROR))),
            "{length}: {pieces:?}"
        );
    }
    for length in [
        "+5",
        "-5",
        "5 5",
        "5,5",
        "5, 5",
        " 5",
        "5 ",
        "0x5",
        "",
        "18446744073709551616",
        "5\t",
    ] {
        let response = upload(&test_bed, &[("content-length", length)], &[b"hello"]);
        assert!(response.is_refusal(), "{length:?}: {response:?}");
    }
    for twice in [["5", "5"], ["5", "6"], ["6", "5"]] {
        let response = upload(
            &test_bed,
            &twice.map(|length| ("content-length", length)),
            &[b"hello"],
        );
        assert!(response.is_refusal(), "{twice:?}: {response:?}");
    }
    // A head with END_STREAM that announces a body.
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let response =
        connection.ask(&[&request("POST", "/x")[..], &[("content-length", "5")]].concat());
    assert_eq!(
        (response.status, response.end),
        (None, Some(End::Reset(PROTOCOL_ERROR)))
    );
    assert_eq!(test_bed.hits(), 0);
}

#[test]
fn trailers_are_forwarded_except_protected_fields() {
    let test_bed = TestBed::routes(ROUTES);
    let sent = [
        ("x-sum", "7"),
        ("authorization", "forged"),
        ("x-forwarded-for", "forged"),
        ("x_forwarded_for", "forged"),
        ("forwarded", "forged"),
        ("host", "forged"),
        ("content-length", "7"),
        ("content-type", "forged"),
        ("cookie", "forged"),
        ("x-http-method-override", "forged"),
    ];
    let declared: Vec<&str> = sent.iter().map(|(name, _)| *name).collect();
    let declared = declared.join(", ");
    let mut connection = FrameConnection::open(test_bed.address, &[]);
    let stream = connection.begin_request(
        END_HEADERS,
        &[&request("POST", "/x")[..], &[("trailer", &*declared)]].concat(),
    );
    connection.write(
        [
            frame(DATA, NONE, stream, b"hello"),
            frame(HEADERS, WHOLE, stream, block(&sent)),
        ]
        .concat(),
    );
    assert_eq!(connection.response(stream).status, Some(200));
    let received = test_bed.last();
    let trailers: Vec<_> = received
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with("trailer "))
        .collect();
    assert_eq!(trailers, [&("trailer x-sum".to_owned(), "7".to_owned())]);
    assert_eq!(received.body, b"hello");

    // Over HTTP/2 and undeclared; and the trailers of the response.
    let (address, received_trailers) = trailing_upstream();
    let gateway = http2_gateway(address);
    let mut trailers = HeaderMap::new();
    for (name, value) in sent {
        trailers.insert(name, HeaderValue::from_static(value));
    }
    let request = Request::post("http://api.test/x")
        .body(())
        .expect("a request");
    let response = client::ask(gateway.address, request, b"hello", Some(trailers));
    assert_eq!(
        (&*response.body, response.error.is_some()),
        (&b"hello"[..], false)
    );
    assert_eq!(response.trailers.expect("trailers")["x-sent"], "yes");
    let trailers = received_trailers.recv_timeout(TIMEOUT).expect("trailers");
    assert_eq!(
        (trailers.len(), &trailers["x-sum"]),
        (1, &HeaderValue::from_static("7"))
    );
}

fn http2_gateway(upstream: SocketAddr) -> Gateway {
    Gateway::start(&format!(
        "[upstreams.far]\ntargets = \"http://{upstream}\"\nprotocol = \"http2\"\n{}public = true\n",
        frame_upstream::FAR_ROUTE
    ))
}

/// An upstream that reports the received trailers, and responds with trailers.
fn trailing_upstream() -> (SocketAddr, Receiver<HeaderMap>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("an open socket");
    let address = listener.local_addr().expect("a bound socket");
    let (sender, receiver) = channel();
    thread::spawn(move || {
        client::block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            let (socket, _) = listener.accept().await.expect("a connection");
            let mut streams = h2::server::handshake(socket).await.expect("HTTP/2");
            while let Some(Ok((mut request, mut respond))) = streams.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    while let Some(Ok(_)) = request.body_mut().data().await {}
                    let trailers = request.body_mut().trailers().await.expect("an end");
                    sender
                        .send(trailers.unwrap_or_default())
                        .expect("a listener");
                    let mut stream = respond
                        .send_response(http::Response::new(()), false)
                        .expect("an open stream");
                    stream
                        .send_data("hello".into(), false)
                        .expect("an open stream");
                    let trailers = HeaderMap::from_iter([(
                        http::HeaderName::from_static("x-sent"),
                        HeaderValue::from_static("yes"),
                    )]);
                    stream.send_trailers(trailers).expect("an open stream");
                });
            }
        });
    });
    (address, receiver)
}

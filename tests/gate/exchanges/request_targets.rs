//! HTTP/2 requests that are forwarded over HTTP/1.1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{gateway, upstream};
use harness::{Reply, Server, eventually};

/// Sends the fields and data of a request. END_STREAM is on the last frame, or on an empty one
/// after it.
fn send_http2(
    gateway: SocketAddr,
    fields: &[(&str, &str)],
    data: Option<(&str, bool)>,
) -> TcpStream {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal field without indexing (RFC 7541 §6.2.2).
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("short"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut wire = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let mut frame = |kind, flags, stream, payload: &[u8]| {
        wire.extend([
            0,
            0,
            u8::try_from(payload.len()).expect("short"),
            kind,
            flags,
            0,
            0,
            0,
            stream,
        ]);
        wire.extend(payload);
    };
    frame(4, 0, 0, &[]);
    frame(1, if data.is_some() { 4 } else { 5 }, 1, &block);
    if let Some((data, is_end_separate)) = data {
        frame(0, u8::from(!is_end_separate), 1, data.as_bytes());
        if is_end_separate {
            frame(0, 1, 1, &[]);
        }
    }
    let mut socket = TcpStream::connect(gateway).expect("a listener");
    socket.write_all(&wire).expect("the gateway reads");
    socket
}

#[test]
fn query_without_a_path_is_forwarded_after_the_judged_path() {
    let server = Server::start(|_| Reply::text("hello"));
    let gateway = gateway(server.address);
    let _client = send_http2(
        gateway.address,
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "?x=1"),
            ("host", "a"),
        ],
        None,
    );
    eventually("the request arrives", || server.hits() == 1);
    assert_eq!(server.received()[0].target, "/?x=1");
}

/// `Content-Length`, the data with whether the stream ends in a frame of its own, and what the upstream
/// gets: its framing and body.
type Case<'c> = (
    Option<&'c str>,
    Option<(&'c str, bool)>,
    Option<(String, &'c str)>,
);

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn body_over_http2_is_forwarded_with_one_framing_or_not_at_all() {
    let length = |value: &str| format!("content-length: {value}\r\n");
    let cases: [Case<'_>; 14] = [
        (
            Some("5"),
            Some(("hello", false)),
            Some((length("5"), "hello")),
        ),
        (
            Some("5"),
            Some(("hello", true)),
            Some((length("5"), "hello")),
        ),
        (
            None,
            Some(("hello", false)),
            Some((
                "transfer-encoding: chunked\r\n".to_owned(),
                "5\r\nhello\r\n0\r\n\r\n",
            )),
        ),
        (
            None,
            Some(("", true)),
            Some(("transfer-encoding: chunked\r\n".to_owned(), "0\r\n\r\n")),
        ),
        (Some("0"), Some(("", false)), Some((length("0"), ""))),
        (Some(""), None, Some((String::new(), ""))),
        (Some(""), Some(("hello", false)), None),
        (Some("5"), None, None),
        (Some("5"), Some(("hell", false)), None),
        (Some("5"), Some(("hello!", false)), None),
        (Some("0"), Some(("x", false)), None),
        (Some("+5"), Some(("hello", false)), None),
        (Some("5, 5"), Some(("hello", false)), None),
        (Some("18446744073709551617"), Some(("x", false)), None),
    ];
    let check = |(content_length, data, expected): &Case<'_>| {
        let seen = Arc::new(Mutex::new(None));
        let seeing = Arc::clone(&seen);
        let address = upstream(move |mut socket| {
            socket
                .set_read_timeout(Some(Duration::from_millis(200)))
                .expect("an open socket");
            let mut received = Vec::new();
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = socket.read(&mut part) {
                received.extend_from_slice(&part[..read]);
            }
            *seeing.lock().expect("no panic") = Some(String::from_utf8(received).expect("ASCII"));
        });
        let gateway = gateway(address);
        let mut fields = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
        ];
        fields.extend(content_length.map(|value| ("content-length", value)));
        let _client = send_http2(gateway.address, &fields, *data);
        if expected.is_some() {
            eventually("the upstream has read it", || {
                seen.lock().expect("no panic").is_some()
            });
        } else {
            // Shows that nothing arrives: an absence has no condition to wait for.
            thread::sleep(Duration::from_millis(500));
        }
        let received = seen.lock().expect("no panic").take();
        let whole = received
            .as_deref()
            .and_then(|received| received.split_once("\r\n\r\n"));
        match (expected, whole) {
            (Some((framing, body)), Some((head, received))) => {
                let head = format!("{head}\r\n");
                assert_eq!(
                    (head.contains(framing.as_str()), received),
                    (true, *body),
                    "{content_length:?} {data:?}: {head}"
                );
                let framings =
                    ["content-length", "transfer-encoding"].map(|name| head.matches(name).count());
                assert_eq!(
                    framings.iter().sum::<usize>(),
                    usize::from(!framing.is_empty()),
                    "{content_length:?} {data:?}: {head}"
                );
            }
            // A part of the body may have been forwarded before its length turned out to be wrong.
            (None, Some((head, received))) => {
                assert!(
                    head.contains("content-length: 5") && received.len() < 5,
                    "{content_length:?} {data:?}: {head} {received:?}"
                );
            }
            (None, None) => {}
            (Some(_), None) => panic!("nothing arrived for {content_length:?} {data:?}"),
        }
    };
    let (forwarded, refused): (Vec<_>, Vec<_>) = cases
        .iter()
        .partition(|(_, _, expected)| expected.is_some());
    forwarded.into_iter().for_each(check);
    // At once, because each waits to show an absence.
    thread::scope(|scope| {
        for case in refused {
            scope.spawn(|| check(case));
        }
    });
}

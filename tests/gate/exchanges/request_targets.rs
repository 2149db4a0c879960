//! Requests of HTTP/2 that are written as HTTP/1.1.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::{gateway, upstream};
use harness::{Reply, Server, eventually};

/// Sends the fields of a request, and its data with the end of the stream in the last frame or behind it.
fn ask(gateway: SocketAddr, fields: &[(&str, &str)], data: Option<(&str, bool)>) -> TcpStream {
    let mut block = Vec::new();
    for (name, value) in fields {
        // A literal that nobody is to remember (RFC 7541 §6.2.2).
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
    if let Some((data, ends_late)) = data {
        frame(0, u8::from(!ends_late), 1, data.as_bytes());
        if ends_late {
            frame(0, 1, 1, &[]);
        }
    }
    let mut socket = TcpStream::connect(gateway).expect("somebody listens");
    socket.write_all(&wire).expect("it reads");
    socket
}

#[test]
fn query_without_a_path_is_forwarded_after_the_judged_path() {
    let server = Server::start(|_| Reply::text("hello"));
    let gateway = gateway(server.address);
    let _client = ask(
        gateway.address,
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "?x=1"),
            ("host", "a"),
        ],
        None,
    );
    eventually("it is there", || server.hits() == 1);
    assert_eq!(server.received()[0].target, "/?x=1");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn body_over_http2_is_forwarded_with_one_framing_or_not_at_all() {
    let length = |told: &str| format!("content-length: {told}\r\n");
    for (told, data, expected) in [
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
    ] {
        let seen = Arc::new(Mutex::new(None));
        let seeing = Arc::clone(&seen);
        let address = upstream(move |mut socket| {
            socket
                .set_read_timeout(Some(Duration::from_millis(200)))
                .expect("an open socket");
            let (mut came, mut part) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = socket.read(&mut part) {
                came.extend_from_slice(&part[..read]);
            }
            *seeing.lock().expect("no panic") = Some(String::from_utf8(came).expect("ASCII"));
        });
        let gateway = gateway(address);
        let mut fields = vec![
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
        ];
        fields.extend(told.map(|told| ("content-length", told)));
        let _client = ask(gateway.address, &fields, data);
        if expected.is_some() {
            eventually("it is read", || seen.lock().expect("no panic").is_some());
        } else {
            // Shows that nothing arrives: an absence has no condition to wait for.
            thread::sleep(Duration::from_millis(500));
        }
        let came = seen.lock().expect("no panic").take();
        let whole = came.as_deref().and_then(|came| came.split_once("\r\n\r\n"));
        match (&expected, whole) {
            (Some((framing, body)), Some((head, came))) => {
                let head = format!("{head}\r\n");
                assert_eq!(
                    (head.contains(framing.as_str()), came),
                    (true, *body),
                    "{told:?} {data:?}: {head}"
                );
                let framings =
                    ["content-length", "transfer-encoding"].map(|name| head.matches(name).count());
                assert_eq!(
                    framings.iter().sum::<usize>(),
                    usize::from(!framing.is_empty()),
                    "{told:?} {data:?}: {head}"
                );
            }
            // TruncatedBody of it may have been sent before the rest turned out to be too short or too long.
            (None, Some((head, came))) => {
                assert!(
                    head.contains("content-length: 5") && came.len() < 5,
                    "{told:?} {data:?}: {head} {came:?}"
                );
            }
            (None, None) => {}
            (Some(_), None) => panic!("nothing came of {told:?} {data:?}"),
        }
    }
}

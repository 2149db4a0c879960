//! What is a response head, and where its body ends.

use super::*;

fn parse(wire: &str, method: &Method) -> Result<Option<ResponseHead>, HeadError> {
    read_head(&mut BytesMut::from(wire.as_bytes()), &mut 0, method)
}

fn framing_of(fields: &str) -> Result<(ResponseFraming, bool), HeadError> {
    let head = parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET)?.expect("a head");
    Ok((head.framing, head.keep_alive))
}

#[test]
fn head_is_consumed_and_the_bytes_behind_it_stay() {
    let mut read = BytesMut::from(
        &b"HTTP/1.1 299 Fine By Me\r\nA: b\r\na:  c \r\nContent-Length: 2\r\n\r\nokHTTP"[..],
    );
    let head = read_head(&mut read, &mut 0, &Method::GET)
        .expect("a head")
        .expect("a whole one");
    assert_eq!(read, &b"okHTTP"[..]);
    assert_eq!(
        (
            head.response.status().as_u16(),
            head.response.version(),
            head.keep_alive
        ),
        (299, Version::HTTP_11, true)
    );
    assert_eq!(
        head.response
            .headers()
            .get_all("a")
            .iter()
            .collect::<Vec<_>>(),
        ["b", "c"]
    );
    let reason = head
        .response
        .extensions()
        .get::<ReasonPhrase>()
        .expect("another than usual");
    assert_eq!(reason.as_bytes(), b"Fine By Me");
}

#[test]
fn head_that_arrives_byte_by_byte_is_the_same_head() {
    let mut searched = 0;
    for wire in [
        "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200\nA: b\nContent-Length: 0\n\n",
    ] {
        let mut read = BytesMut::new();
        for (place, byte) in wire.bytes().enumerate() {
            assert!(
                read_head(&mut read, &mut searched, &Method::GET).is_ok_and(|head| head.is_none()),
                "{place}"
            );
            read.extend_from_slice(&[byte]);
        }
        let head = read_head(&mut read, &mut searched, &Method::GET)
            .expect("a head")
            .expect("a whole one");
        assert_eq!(
            (&head.response.headers()["a"], head.response.headers().len()),
            (&HeaderValue::from_static("b"), 2)
        );
        assert!(read.is_empty());
        assert_eq!(searched, 0, "the next one is searched from its beginning");
    }
}

#[test]
fn repeated_content_length_is_forwarded_once() {
    let wire = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\nContent-Length: 5, 005\r\n\r\n";
    let head = parse(wire, &Method::GET)
        .expect("a head")
        .expect("a whole one");
    assert_eq!(
        head.response
            .headers()
            .get_all("content-length")
            .iter()
            .collect::<Vec<_>>(),
        ["5"]
    );
}

#[test]
fn body_length_is_read_from_the_headers() {
    let chunked = || ResponseFraming::Chunked(ChunkedDecoder::default());
    for (fields, framing, keep_alive) in [
        ("Content-Length: 5\r\n", ResponseFraming::Length(5), true),
        (
            "Content-Length: 5\r\nContent-Length: 5\r\n",
            ResponseFraming::Length(5),
            true,
        ),
        (
            "Content-Length: 5, 5\r\nConnection: close\r\n",
            ResponseFraming::Length(5),
            false,
        ),
        ("Content-Length: 0005\r\n", ResponseFraming::Length(5), true),
        ("Transfer-Encoding: Chunked\r\n", chunked(), true),
        (
            "Transfer-Encoding: chunked\r\nConnection: keep-alive, Close\r\n",
            chunked(),
            false,
        ),
        ("", ResponseFraming::UntilClosed, false),
    ] {
        assert_eq!(framing_of(fields), Ok((framing, keep_alive)), "{fields:?}");
    }
}

#[test]
fn ambiguous_body_length_is_rejected() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551616\r\n",
    ] {
        assert_eq!(
            framing_of(fields),
            Err(HeadError::ContentLength),
            "{fields:?}"
        );
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        assert_eq!(
            framing_of(fields),
            Err(HeadError::TransferEncoding),
            "{fields:?}"
        );
    }
}

#[test]
fn http_1_0_response_ends_its_connection_unless_it_has_keep_alive() {
    let old = |fields: &str| {
        let head =
            parse(&format!("HTTP/1.0 200 OK\r\n{fields}\r\n"), &Method::GET)?.expect("a head");
        assert_eq!(head.response.version(), Version::HTTP_10);
        Ok((head.framing, head.keep_alive))
    };
    assert_eq!(old(""), Ok((ResponseFraming::UntilClosed, false)));
    assert_eq!(
        old("Content-Length: 5\r\n"),
        Ok((ResponseFraming::Length(5), false))
    );
    assert_eq!(
        old("Content-Length: 5\r\nConnection: Keep-Alive\r\n"),
        Ok((ResponseFraming::Length(5), true))
    );
    assert_eq!(
        old("Transfer-Encoding: chunked\r\n"),
        Err(HeadError::TransferEncoding)
    );
}

#[test]
fn bodiless_response_that_announces_a_body_ends_its_connection() {
    for (method, status, fields, keep_alive) in [
        ("HEAD", 200, "Content-Length: 5\r\n", true),
        ("HEAD", 200, "Transfer-Encoding: chunked\r\n", true),
        ("HEAD", 204, "Content-Length: 5\r\n", false),
        ("GET", 103, "Content-Length: 5\r\n", true),
        ("GET", 204, "", true),
        ("GET", 204, "Content-Length: 0\r\n", true),
        ("GET", 204, "Content-Length: 5\r\n", false),
        ("GET", 204, "Transfer-Encoding: chunked\r\n", false),
        ("GET", 204, "Transfer-Encoding: gzip\r\n", false),
        ("GET", 304, "Content-Length: 5\r\n", true),
        ("GET", 304, "Transfer-Encoding: chunked\r\n", false),
        ("HEAD", 304, "Transfer-Encoding: chunked\r\n", false),
    ] {
        let wire = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
        let head = parse(&wire, &method.parse().expect("a method"))
            .expect("a head")
            .expect("a whole one");
        assert_eq!(
            (head.framing, head.keep_alive),
            (ResponseFraming::Length(0), keep_alive),
            "{method} {status} {fields}"
        );
    }
}

#[test]
fn unusual_reason_phrase_is_kept() {
    for (line, expected) in [
        (&b"HTTP/1.1 200 OK\r\n"[..], None),
        (b"HTTP/1.1 200 Fine\r\n", Some(&b"Fine"[..])),
        (
            b"HTTP/1.1 299 Tout va bien \xe9\r\n",
            Some(b"Tout va bien \xe9"),
        ),
        (
            b"HTTP/1.1 200 \xd0\x9e\xd0\x9a\n",
            Some(b"\xd0\x9e\xd0\x9a"),
        ),
        (b"HTTP/1.1 200 \r\n", Some(b"")),
        (b"HTTP/1.1 200\r\n", Some(b"")),
    ] {
        let mut read = BytesMut::from(&[line, b"\r\n"].concat()[..]);
        let head = read_head(&mut read, &mut 0, &Method::GET)
            .expect("a head")
            .expect("a whole one");
        let reason = head
            .response
            .extensions()
            .get::<ReasonPhrase>()
            .map(|reason| reason.as_bytes().to_vec());
        assert_eq!(
            reason.as_deref(),
            expected,
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
}

#[test]
fn malformed_head_is_rejected() {
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}\r\n",
        "a: b\r\n".repeat(MAX_HEADERS + 1)
    );
    for wire in [
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "200 OK\r\n\r\n",
        "\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\0c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\rc: d\r\n\r\n",
        &many,
    ] {
        assert!(
            matches!(parse(wire, &Method::GET), Err(HeadError::Malformed(_))),
            "{wire:.60?}"
        );
    }
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(MAX_HEAD_SIZE));
    assert_eq!(
        parse(&long, &Method::GET).expect_err("too long"),
        HeadError::TooLong
    );
}

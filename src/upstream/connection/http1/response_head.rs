//! Parses the head of a response (RFC 9112 §4 to §6).

use std::io;
use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderValue, Method, Response, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;

use super::chunked::{ChunkedDecoder, Decoded};
use super::fields::{MAX_HEADERS, find_end, parse_length, to_map};

/// The longest head of a response.
const MAX_HEAD_SIZE: usize = 128 * 1024;

/// How the end of a response body is marked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ResponseFraming {
    /// By its length: the bytes that are still to be read.
    Length(u64),
    Chunked(ChunkedDecoder),
    /// By the end of the connection.
    UntilClosed,
}

impl ResponseFraming {
    /// Consumes the next part of the body from `read`; `None` if more has to be read first.
    ///
    /// # Errors
    /// [`ChunkError`](super::chunked::ChunkError), after which the connection cannot be used.
    pub(super) fn decode(&mut self, read: &mut BytesMut) -> io::Result<Option<Decoded>> {
        match self {
            Self::Length(0) => Ok(Some(Decoded::End)),
            Self::Length(_) | Self::UntilClosed if read.is_empty() => Ok(None),
            Self::Length(left) => {
                let taken = read.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= taken as u64;
                Ok(Some(Decoded::Data(read.split_to(taken).freeze())))
            }
            Self::Chunked(decoder) => Ok(decoder.decode(read)?),
            Self::UntilClosed => Ok(Some(Decoded::Data(read.split().freeze()))),
        }
    }

    /// How many bytes must follow at least, as far as is known.
    pub(super) fn expected(&self) -> u64 {
        match self {
            Self::Length(left) => *left,
            Self::Chunked(decoder) => decoder.expected(),
            Self::UntilClosed => u64::MAX,
        }
    }

    /// Handles the end of the connection.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the body is not complete (RFC 9112 §8).
    pub(super) fn end_of_input(&mut self) -> io::Result<()> {
        match self {
            Self::UntilClosed => *self = Self::Length(0),
            Self::Length(0) => {}
            Self::Chunked(decoder) if decoder.is_ended() => {}
            Self::Length(_) | Self::Chunked(_) => return Err(closed_early()),
        }
        Ok(())
    }
}

/// The upstream has closed the connection within a response.
pub(super) fn closed_early() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the connection was closed before the end of the response",
    )
}

/// The head of a response, and what it means for the connection.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) response: Response<()>,
    pub(super) framing: ResponseFraming,
    /// Whether another request may follow on the connection.
    pub(super) keep_alive: bool,
}

/// The head is malformed, or two recipients may read it in different ways.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeadError {
    #[error("expected an HTTP/1 response head, but found something else: {0}")]
    Malformed(httparse::Error),
    #[error("expected a head of at most {} KiB, but found a longer one", MAX_HEAD_SIZE / 1024)]
    TooLong,
    #[error(
        "expected Transfer-Encoding to be \"chunked\", in HTTP/1.1 and without Content-Length, but found something else"
    )]
    TransferEncoding,
    #[error("expected one Content-Length in digits, but found something else")]
    ContentLength,
}

impl From<HeadError> for io::Error {
    fn from(error: HeadError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Consumes the head of the response to a request with `method`; `None` where it is not complete.
///
/// The search for its end goes on behind the bytes that were `searched` before.
///
/// # Errors
/// [`HeadError`].
pub(super) fn read_head(
    read: &mut BytesMut,
    searched: &mut usize,
    method: &Method,
) -> Result<Option<ResponseHead>, HeadError> {
    let Some(end) = find_end(read, searched) else {
        return if read.len() > MAX_HEAD_SIZE {
            Err(HeadError::TooLong)
        } else {
            Ok(None)
        };
    };
    let block = read.split_to(end).freeze();
    let mut fields_read = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut []);
    let complete = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, &block, &mut fields_read)
        .map_err(HeadError::Malformed)?;
    let code = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let (Some(status), true) = (code, complete == httparse::Status::Complete(end)) else {
        return Err(HeadError::Malformed(httparse::Error::Status));
    };
    let named_values = parsed
        .headers
        .iter()
        .map(|field| (field.name, block.slice_ref(field.value)));
    let mut response = Response::new(());
    *response.headers_mut() =
        to_map(named_values).ok_or(HeadError::Malformed(httparse::Error::HeaderValue))?;
    *response.status_mut() = status;
    *response.version_mut() = if parsed.version == Some(1) {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    if let Some(reason) = parsed
        .reason
        .filter(|reason| Some(*reason) != status.canonical_reason())
    {
        // httparse drops a reason with obs-text (RFC 9112 §4).
        let reason = if reason.is_empty() {
            reason_phrase(&block)
        } else {
            reason.as_bytes()
        };
        if let Ok(reason) = ReasonPhrase::try_from(reason) {
            response.extensions_mut().insert(reason);
        }
    }
    let (framing, keep_alive) = framing(&mut response, method)?;
    Ok(Some(ResponseHead {
        response,
        framing,
        keep_alive,
    }))
}

// The bytes behind `HTTP/1.1 200 `.
fn reason_phrase(head: &[u8]) -> &[u8] {
    const STATUS: usize = "HTTP/1.1 200 ".len();
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r")
        .unwrap_or(line)
        .get(STATUS..)
        .unwrap_or_default()
}

// RFC 9112 §6.3 and §9.3, in one pass over the names.
fn framing(
    response: &mut Response<()>,
    method: &Method,
) -> Result<(ResponseFraming, bool), HeadError> {
    let is_http11 = response.version() == Version::HTTP_11;
    let (mut is_chunked, mut length, mut lengths) = (None, None, 0);
    let mut has_close = false;
    let mut keep_alive = is_http11;
    for (name, value) in response.headers() {
        match name.as_str() {
            "transfer-encoding" => {
                is_chunked =
                    Some(is_chunked.is_none() && value.as_bytes().eq_ignore_ascii_case(b"chunked"));
            }
            "content-length" => {
                for element in value.as_bytes().split(|byte| *byte == b',') {
                    let found = parse_length(element).ok_or(HeadError::ContentLength)?;
                    lengths += 1;
                    if length.replace(found).is_some_and(|before| before != found) {
                        return Err(HeadError::ContentLength);
                    }
                }
            }
            "connection" => {
                for option in value
                    .as_bytes()
                    .split(|byte| *byte == b',')
                    .map(<[u8]>::trim_ascii)
                {
                    has_close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            _ => {}
        }
    }
    if let (Some(length), 2..) = (length, lengths) {
        // Repeated with the same value: forwarded once (RFC 9110 §8.6).
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let keep_alive = keep_alive && !has_close;
    let status = response.status();
    // A server that announces a body where none is allowed may send it too (RFC 9110 §8.6,
    // RFC 9112 §6.1). It would be read as the next response. The Content-Length of a 304 is that of
    // the 200, and announces nothing.
    let announces_body = match status {
        StatusCode::NO_CONTENT => is_chunked.is_some() || length.is_some_and(|length| length > 0),
        StatusCode::NOT_MODIFIED => is_chunked.is_some(),
        _ => false,
    };
    let is_bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || method == Method::HEAD;
    if is_bodiless {
        return Ok((ResponseFraming::Length(0), keep_alive && !announces_body));
    }
    match (is_chunked, length) {
        (None, Some(length)) => Ok((ResponseFraming::Length(length), keep_alive)),
        (None, None) => Ok((ResponseFraming::UntilClosed, false)),
        (Some(true), None) if is_http11 => Ok((
            ResponseFraming::Chunked(ChunkedDecoder::default()),
            keep_alive,
        )),
        (Some(_), _) => Err(HeadError::TransferEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(wire: &str, method: &Method) -> Result<Option<ResponseHead>, HeadError> {
        read_head(&mut BytesMut::from(wire.as_bytes()), &mut 0, method)
    }

    fn framing_of(fields: &str) -> Result<(ResponseFraming, bool), HeadError> {
        let head =
            parse(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &Method::GET)?.expect("a head");
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
                    read_head(&mut read, &mut searched, &Method::GET)
                        .is_ok_and(|head| head.is_none()),
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
    fn ambiguous_body_length_is_rejected() {
        for (fields, expected) in [
            (
                "Content-Length: 5\r\n",
                Ok((ResponseFraming::Length(5), true)),
            ),
            (
                "Content-Length: 5\r\nContent-Length: 5\r\n",
                Ok((ResponseFraming::Length(5), true)),
            ),
            (
                "Content-Length: 5, 5\r\nConnection: close\r\n",
                Ok((ResponseFraming::Length(5), false)),
            ),
            (
                "Content-Length: 0005\r\n",
                Ok((ResponseFraming::Length(5), true)),
            ),
            (
                "Transfer-Encoding: Chunked\r\n",
                Ok((ResponseFraming::Chunked(ChunkedDecoder::default()), true)),
            ),
            (
                "Transfer-Encoding: chunked\r\nConnection: keep-alive, Close\r\n",
                Ok((ResponseFraming::Chunked(ChunkedDecoder::default()), false)),
            ),
            ("", Ok((ResponseFraming::UntilClosed, false))),
            (
                "Content-Length: 5\r\nContent-Length: 6\r\n",
                Err(HeadError::ContentLength),
            ),
            ("Content-Length: 5, 6\r\n", Err(HeadError::ContentLength)),
            ("Content-Length: 5,\r\n", Err(HeadError::ContentLength)),
            ("Content-Length: +5\r\n", Err(HeadError::ContentLength)),
            ("Content-Length: -5\r\n", Err(HeadError::ContentLength)),
            ("Content-Length: 5 5\r\n", Err(HeadError::ContentLength)),
            ("Content-Length: 0x5\r\n", Err(HeadError::ContentLength)),
            ("Content-Length:\r\n", Err(HeadError::ContentLength)),
            (
                "Content-Length: 18446744073709551616\r\n",
                Err(HeadError::ContentLength),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Transfer-Encoding: gzip, chunked\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Transfer-Encoding: gzip\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Transfer-Encoding: identity\r\n",
                Err(HeadError::TransferEncoding),
            ),
            (
                "Transfer-Encoding: xchunked\r\n",
                Err(HeadError::TransferEncoding),
            ),
            ("Transfer-Encoding:\r\n", Err(HeadError::TransferEncoding)),
        ] {
            assert_eq!(framing_of(fields), expected, "{fields:?}");
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
}

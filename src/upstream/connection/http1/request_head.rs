//! Writes the head of a request (RFC 9112 §3).

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::fields::parse_length;
use crate::upstream::headers::{AddedHeaders, write_field};

/// How the end of a request body is marked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestFraming {
    /// By its length: the bytes that are still to be sent.
    Length(u64),
    Chunked,
}

/// Writes the head of a request, and returns how its body has to be framed. `host` replaces the
/// client's `Host`.
pub(super) fn write_head(
    head: &mut Vec<u8>,
    request: &Parts,
    added: &AddedHeaders,
    host: Option<&HeaderValue>,
    has_body: bool,
) -> RequestFraming {
    head.extend_from_slice(request.method.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(
        request
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .as_bytes(),
    );
    head.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(host) = host {
        write_field(head, "host", host);
    }
    // Found in the same pass: a lookup would cost a hash. The first value counts.
    let mut length = None;
    for (name, value) in &request.headers {
        let is_replaced = match name.as_str() {
            "host" => host.is_some(),
            // A length without a body would make the upstream take the next request for it.
            "content-length" => length
                .get_or_insert_with(|| {
                    parse_length(value.as_bytes()).filter(|length| has_body || *length == 0)
                })
                .is_none(),
            "transfer-encoding" => true,
            _ => false,
        };
        if !is_replaced {
            write_field(head, name.as_str(), value);
        }
    }
    added.write(head);
    let framing = match length.flatten() {
        Some(length) if has_body => RequestFraming::Length(length),
        None if has_body => RequestFraming::Chunked,
        Some(_) | None => RequestFraming::Length(0),
    };
    head.extend_from_slice(if framing == RequestFraming::Chunked {
        b"transfer-encoding: chunked\r\n\r\n"
    } else {
        b"\r\n"
    });
    framing
}

/// Writes trailers and the empty line behind them.
pub(super) fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    trailers
        .iter()
        .for_each(|(name, value)| write_field(out, name.as_str(), value));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn written(
        request: http::request::Builder,
        host: Option<&str>,
        has_body: bool,
    ) -> (String, RequestFraming) {
        let (request, ()) = request.body(()).expect("a request").into_parts();
        let host = host.map(|host| host.parse().expect("a value"));
        let added = AddedHeaders::default();
        let mut head = Vec::new();
        let framing = write_head(&mut head, &request, &added, host.as_ref(), has_body);
        (String::from_utf8(head).expect("ASCII"), framing)
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases")]
    fn request_head_has_the_headers_of_its_framing() {
        let with_length = || {
            Request::post("/a?b=c")
                .header("host", "client")
                .header("content-length", "5")
        };
        let without_length = || {
            Request::get("/")
                .header("host", "a")
                .header("transfer-encoding", "chunked")
        };
        let post = |length| Request::post("/").header("content-length", length);
        for (request, host, has_body, head, framing) in [
            (
                with_length(),
                None,
                true,
                "POST /a?b=c HTTP/1.1\r\nhost: client\r\ncontent-length: 5\r\n\r\n",
                RequestFraming::Length(5),
            ),
            (
                with_length(),
                Some("target"),
                true,
                "POST /a?b=c HTTP/1.1\r\nhost: target\r\ncontent-length: 5\r\n\r\n",
                RequestFraming::Length(5),
            ),
            (
                without_length(),
                None,
                true,
                "GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
                RequestFraming::Chunked,
            ),
            (
                without_length(),
                None,
                false,
                "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
                RequestFraming::Length(0),
            ),
            (
                post(""),
                None,
                false,
                "POST / HTTP/1.1\r\n\r\n",
                RequestFraming::Length(0),
            ),
            (
                post("0"),
                None,
                false,
                "POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
                RequestFraming::Length(0),
            ),
            (
                post("5"),
                None,
                false,
                "POST / HTTP/1.1\r\n\r\n",
                RequestFraming::Length(0),
            ),
        ] {
            assert_eq!(written(request, host, has_body), (head.to_owned(), framing));
        }
    }
}

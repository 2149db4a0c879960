//! Parses the head of a response (RFC 9112 §4 to §6).

use std::io;
use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{HeaderValue, Method, Response, StatusCode, Version, header};
use hyper::ext::ReasonPhrase;

use super::chunked::{ChunkedDecoder, Decoded};
use super::fields::{MAX_HEADERS, append, find_end, parse_length};

/// Maximum length of a response head.
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
/// The search for its end skips the bytes that were `searched` before.
///
/// # Errors
/// [`HeadError`].
pub(super) fn read_head(
    read: &mut BytesMut,
    searched: &mut usize,
    method: &Method,
) -> Result<Option<ResponseHead>, HeadError> {
    let mut response = Response::new(());
    let end = read_head_into(&mut response, read, searched, method)?;
    Ok(end.map(|(framing, keep_alive)| ResponseHead {
        response,
        framing,
        keep_alive,
    }))
}

/// As [`read_head`], into a response that is there: it is replaced, but for the capacity of its
/// header map. Returns how the body ends, and whether another request may follow.
///
/// # Errors
/// [`HeadError`]; what is in `response` then is of no use.
pub(super) fn read_head_into(
    response: &mut Response<()>,
    read: &mut BytesMut,
    searched: &mut usize,
    method: &Method,
) -> Result<Option<(ResponseFraming, bool)>, HeadError> {
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
    response.extensions_mut().clear();
    response.headers_mut().clear();
    if !append(response.headers_mut(), named_values) {
        return Err(HeadError::Malformed(httparse::Error::HeaderValue));
    }
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
    framing(response, method).map(Some)
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
mod tests;

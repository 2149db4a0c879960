//! Parses a response incrementally, from bytes that the caller reads.

use std::io;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, StatusCode};

use super::chunked::Decoded;
use super::response_head::{ResponseFraming, closed_early, read_head};

/// Parses one response, interim responses included (RFC 9112 §2.2).
#[derive(Debug)]
pub struct ResponseParser {
    method: Method,
    /// Bytes of the buffer that hold no end of a head.
    searched: usize,
    /// Known once the final head is parsed.
    framing: Option<ResponseFraming>,
    keep_alive: bool,
}

/// A part of a response. The parts come in the order of the variants.
#[derive(Debug)]
pub enum ResponsePart {
    /// An interim response; others and the final one follow (RFC 9110 §15.2).
    Interim(Response<()>),
    /// The head of the final response, or a 101, which another protocol follows.
    Head(Response<()>),
    /// A part of the content.
    Data(Bytes),
    /// The trailer section, where it is not empty.
    Trailers(HeaderMap),
    /// The response is complete.
    End,
}

impl ResponseParser {
    /// A parser for the response to a request with this method.
    #[must_use]
    pub fn new(method: &Method) -> Self {
        Self {
            method: method.clone(),
            searched: 0,
            framing: None,
            keep_alive: false,
        }
    }

    /// Takes the next part from `read`. `None` if more has to be read first.
    ///
    /// # Errors
    /// What was read is no response, or one that two readers may frame differently. Nothing that
    /// follows can be trusted: the connection is of no further use.
    pub fn next(&mut self, read: &mut BytesMut) -> io::Result<Option<ResponsePart>> {
        let Some(framing) = &mut self.framing else {
            return self.next_head(read);
        };
        Ok(framing.decode(read)?.map(|decoded| match decoded {
            Decoded::Data(data) => ResponsePart::Data(data),
            Decoded::Trailers(trailers) => ResponsePart::Trailers(trailers),
            Decoded::End => ResponsePart::End,
        }))
    }

    /// The connection was closed by the upstream.
    ///
    /// # Errors
    /// The response was not complete.
    pub fn end_of_input(&mut self) -> io::Result<()> {
        match &mut self.framing {
            Some(framing) => framing.end_of_input(),
            None => Err(closed_early()),
        }
    }

    /// Whether the connection takes another request once the response is complete (RFC 9112 §9.3).
    #[must_use]
    pub fn is_reusable(&self) -> bool {
        self.keep_alive
    }

    fn next_head(&mut self, read: &mut BytesMut) -> io::Result<Option<ResponsePart>> {
        let Some(head) = read_head(read, &mut self.searched, &self.method)? else {
            return Ok(None);
        };
        let status = head.response.status();
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(ResponsePart::Interim(head.response)));
        }
        self.framing = Some(head.framing);
        self.keep_alive = head.keep_alive && status != StatusCode::SWITCHING_PROTOCOLS;
        Ok(Some(ResponsePart::Head(head.response)))
    }
}

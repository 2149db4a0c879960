//! Request bodies that nobody reads, because the response did not wait for them.
//!
//! A server that closes a socket with bytes unread makes the client's kernel discard the response
//! (RFC 9112 §9.6). So what the client still sends is read and discarded, for at most
//! [`UNREAD_TIMEOUT`]:
//!
//! 1. A small body over HTTP/1 is discarded before the response ends, and the connection stays
//!    open. It is small if its announced length is at most [`MAX_UNREAD_BODY`].
//! 2. Any other body over HTTP/1 ends the connection: the response says `Connection: close`, and
//!    the server reads on after it has closed its own side.
//! 3. Over HTTP/2 the stream is read on before it is reset. Its window bounds what the client may
//!    send.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version, header};
use http_body::Body;

use crate::clock::{Deadline, Ticker};

/// How long an unread body is discarded, whatever its length.
pub const UNREAD_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum length of a body that is discarded so that its connection can stay open.
pub const MAX_UNREAD_BODY: u64 = 64 * 1024;

/// The body of a request over HTTP/1 whose response does not wait for it.
pub enum UnreadBody<B> {
    /// Nothing is left to discard here.
    Empty,
    /// It is discarded before the response ends. The deadline is armed.
    Discard(B, Deadline),
    /// It ends the connection: it is too large to discard, of unknown length, or not sent before a 100.
    Close,
}

/// The announced length of a body, in bytes.
#[must_use]
pub fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

impl<B: Body + Unpin> UnreadBody<B> {
    /// Applies the policy to the body of this request.
    pub fn new(parts: &Parts, body: B, ticker: &Rc<Ticker>) -> Self {
        if body.is_end_stream() || parts.version == Version::HTTP_2 {
            return Self::Empty;
        }
        // Discarding a body makes hyper send a 100, on which the client would upload it for
        // nothing.
        let is_small = !parts.headers.contains_key(header::EXPECT)
            && content_length(&parts.headers).is_some_and(|length| length <= MAX_UNREAD_BODY);
        if !is_small {
            return Self::Close;
        }
        let deadline = ticker.deadline();
        deadline.arm(UNREAD_TIMEOUT);
        Self::Discard(body, deadline)
    }

    /// Sets `Connection: close` if the body ends the connection.
    pub fn set_connection(&self, headers: &mut HeaderMap) {
        match self {
            Self::Empty | Self::Discard(..) => {}
            Self::Close => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
    }

    /// Discards a small body. Ready when it has ended, broken off, or taken too long.
    pub fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Discard(body, deadline) = self {
            while let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
                if !matches!(frame, Some(Ok(_))) {
                    *self = Self::Empty;
                    return Poll::Ready(());
                }
            }
            ready!(deadline.poll_passed(context));
            *self = Self::Empty;
        }
        Poll::Ready(())
    }
}

//! What a client of HTTP/1 has still to send of a request that was refused already.
//!
//! Where it is little, it is read for nothing, so that the connection can be kept. Where it may be much, the client is told
//! that the connection ends. Over HTTP/2 it is for the stream to end.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Version, header};
use http_body::Body;

use crate::clock::{Deadline, Ticker};
use crate::upstream::RequestBody;

/// The rest of a request that was refused.
pub(super) enum Unread {
    /// Nothing, or nothing that matters.
    Nothing,
    /// Little. The deadline is armed.
    Little(RequestBody, Deadline),
    /// Nobody knows how much.
    Much,
}

impl Unread {
    /// More than this is not read for nothing.
    const MOST: u64 = 64 * 1024;
    const PATIENCE: Duration = Duration::from_secs(1);

    pub(super) fn of(parts: &Parts, body: RequestBody, ticker: &Rc<Ticker>) -> Self {
        if body.is_end_stream() || parts.version == Version::HTTP_2 {
            return Self::Nothing;
        }
        let length = || {
            parts
                .headers
                .get(header::CONTENT_LENGTH)?
                .to_str()
                .ok()?
                .parse::<u64>()
                .ok()
        };
        // Who waits to be told to send shall not be told so for nothing.
        let is_little = !parts.headers.contains_key(header::EXPECT)
            && length().is_some_and(|length| length <= Self::MOST);
        if !is_little {
            return Self::Much;
        }
        let deadline = ticker.deadline();
        deadline.arm(Self::PATIENCE);
        Self::Little(body, deadline)
    }

    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        match self {
            Self::Nothing | Self::Little(..) => {}
            Self::Much => _ = headers.insert(header::CONNECTION, HeaderValue::from_static("close")),
        }
    }

    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Self::Little(body, deadline) = self {
            while let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) {
                if !matches!(frame, Some(Ok(_))) {
                    *self = Self::Nothing;
                    return Poll::Ready(());
                }
            }
            ready!(deadline.poll_passed(context));
            *self = Self::Nothing;
        }
        Poll::Ready(())
    }
}

//! The body of every answer, and the end of every request.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::unread::Unread;
use crate::clock::Deadline;
use crate::net::Exchange;
use crate::telemetry::{Outcome, Record};
use crate::upstream::{ForwardedBody, Progress};

/// An answer's body: a refusal's few words, or an upstream's stream.
///
/// Its end is the request's end: the record is told, and the connection may wait for the next request.
pub struct AnswerBody {
    content: Content,
    /// None where the request does not end with its answer.
    record: Option<Record>,
    request: Option<Rc<Progress>>,
    exchange: Exchange,
    /// When the token ends, where the answer is to end with it.
    expiry: Option<Deadline>,
}

/// Why a stream broke off that was to end with its token; for logs and metrics.
pub(super) const TOKEN_ENDED: &str = "token_ended";

enum Content {
    Fixed(Bytes, Unread),
    Forwarded(ForwardedBody),
}

impl AnswerBody {
    pub(super) fn fixed(
        text: Bytes,
        record: Record,
        request: Option<Rc<Progress>>,
        exchange: Exchange,
        unread: Unread,
    ) -> Self {
        Self { content: Content::Fixed(text, unread), record: Some(record), request, exchange, expiry: None }
    }

    /// Nothing: what follows the answer is another protocol, and whoever carries it tells the record.
    pub(super) fn switched(exchange: Exchange) -> Self {
        Self {
            content: Content::Fixed(Bytes::new(), Unread::Nothing),
            record: None,
            request: None,
            exchange,
            expiry: None,
        }
    }

    pub(super) fn forwarded(
        body: ForwardedBody,
        record: Record,
        request: Option<Rc<Progress>>,
        exchange: Exchange,
        expiry: Option<Deadline>,
    ) -> Self {
        Self { content: Content::Forwarded(body), record: Some(record), request, exchange, expiry }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.expiry.as_ref().is_some_and(|expiry| expiry.poll_passed(context).is_ready()) {
            if let Some(record) = &mut this.record {
                record.outcome = Outcome::Broken(TOKEN_ENDED);
            }
            // Broken off, not finished: half a body must not look whole.
            return Poll::Ready(Some(Err(io::Error::other("the access token has ended"))));
        }
        let frame = match &mut this.content {
            Content::Fixed(text, unread) => {
                ready!(unread.poll_read(context));
                let text = std::mem::take(text);
                if text.is_empty() { None } else { Some(Ok(Frame::data(text))) }
            }
            Content::Forwarded(body) => ready!(Pin::new(body).poll_frame(context)),
        };
        match (&frame, &mut this.record) {
            (Some(Ok(frame)), Some(record)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                record.response_bytes += length as u64;
                this.exchange.gave(length);
            }
            (Some(Err(error)), Some(record)) => {
                record.outcome = Outcome::Broken("upstream_broke_off");
                record.cause = Some(error.to_string());
            }
            (Some(_), None) | (None, _) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Fixed(text, _) => text.is_empty(),
            Content::Forwarded(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Fixed(text, _) => SizeHint::with_exact(text.len() as u64),
            Content::Forwarded(body) => body.size_hint(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(record) = &mut self.record {
            record.request_bytes = self.request.as_ref().map_or(0, |request| request.bytes());
        }
    }
}

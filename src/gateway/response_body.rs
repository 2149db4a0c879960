//! The body of every response, which ends its request. An upload that lasts longer than its response
//! ends it instead.

use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};

use super::grpc;
use super::panics::catch_panic_now;
use super::refusal::Refusal;
use super::token_end::TokenWatch;
use crate::telemetry::{Outcome, Record};
use crate::transport::{Exchange, UnreadBody};
use crate::upstream::{ForwardedBody, RequestBody, RequestBodyProgress, Upload};

/// The body of an upstream's response.
pub trait UpstreamBody: Body<Data = Bytes, Error = io::Error> + Unpin + 'static {
    /// The rest of the request, if the response has ended and the request has not.
    fn take_upload(&mut self) -> Option<Box<Upload>>;
}

impl UpstreamBody for ForwardedBody {
    fn take_upload(&mut self) -> Option<Box<Upload>> {
        Self::take_upload(self)
    }
}

/// A response body: the text of a refusal, or an upstream's stream. None where another protocol follows
/// the response, and the request ends with its tunnel.
///
/// With it the request ends: the record is logged, and the connection may take the next request. If
/// the client still uploads, that happens when the upload ends, or its token where the route has
/// `close_at_expiry`.
pub struct ResponseBody<B: UpstreamBody = ForwardedBody>(Option<Box<Completion<B>>>);

/// What ends with the response body: the record of the request, and the exchange on its connection.
///
/// It is boxed when the request begins: it moves with the response through the gateway and hyper, which
/// costs more copying than an allocation.
pub(super) struct Completion<B: UpstreamBody = ForwardedBody> {
    /// The upstream's stream, once it responds.
    pub(super) forwarded: Option<B>,
    /// The text of a response of our own.
    text: Bytes,
    /// What the client still sends then.
    unread: UnreadBody<RequestBody>,
    pub(super) record: Record,
    pub(super) request: Option<Rc<RequestBodyProgress>>,
    pub(super) exchange: Exchange,
    /// The end of the token, where the response is to end with it.
    token_watch: Option<Box<TokenWatch>>,
    /// Whether the response has ended. What is left then is the upload.
    response_has_ended: bool,
}

const PANICKED: &str = "panicked";

/// Whether a response lasts as long as its client likes: server-sent events, and responses of
/// streaming gRPC methods.
pub(super) fn is_stream(headers: &HeaderMap, body: &impl Body) -> bool {
    const EVENTS: &str = "text/event-stream";
    if body.is_end_stream() || body.size_hint().exact().is_some() {
        return false;
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let is_events = content_type
        .get(..EVENTS.len())
        .is_some_and(|name| name.eq_ignore_ascii_case(EVENTS.as_bytes()));
    is_events || grpc::is_call(headers)
}

impl<B: UpstreamBody> Completion<B> {
    /// Of a request that begins.
    pub(super) fn new(
        record: Record,
        request: Option<Rc<RequestBodyProgress>>,
        exchange: Exchange,
    ) -> Box<Self> {
        Box::new(Self {
            forwarded: None,
            text: Bytes::new(),
            unread: UnreadBody::Empty,
            record,
            request,
            exchange,
            token_watch: None,
            response_has_ended: false,
        })
    }
}

impl<B: UpstreamBody> ResponseBody<B> {
    /// A body of our own. What the client still sends is left to `unread`.
    pub(super) fn fixed(
        text: Bytes,
        unread: UnreadBody<RequestBody>,
        mut completion: Box<Completion<B>>,
    ) -> Self {
        completion.forwarded = None;
        completion.text = text;
        completion.unread = unread;
        Self(Some(completion))
    }

    /// The upstream's body, which is there already.
    pub(super) fn forwarded(
        token_watch: Option<Box<TokenWatch>>,
        mut completion: Box<Completion<B>>,
    ) -> Self {
        completion.token_watch = token_watch;
        let mut body = Self(Some(completion));
        body.detach_upload();
        body
    }

    /// No body: another protocol follows the response, and its tunnel completes the request.
    pub(super) fn switched() -> Self {
        Self(None)
    }

    // A response that has ended may be dropped at once. Its upload goes on in a task of its own.
    fn detach_upload(&mut self) {
        let forwarded =
            |completion: &mut Box<Completion<B>>| completion.forwarded.as_mut()?.take_upload();
        if let Some(upload) = self.0.as_mut().and_then(forwarded)
            && let Some(mut completion) = self.0.take()
        {
            // At once: the connection may be closed before the task runs.
            completion.end_response();
            completion.exchange.continue_as_upload();
            tokio::task::spawn_local(Self(Some(completion)).finish_upload(upload));
        }
    }

    // The request ends when this is dropped.
    async fn finish_upload(self, upload: Box<Upload>) {
        upload.finish().await;
    }
}

impl<B: UpstreamBody> Completion<B> {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(body) = &mut self.forwarded {
            return Pin::new(body).poll_frame(context);
        }
        ready!(self.unread.poll_discard(context));
        let text = mem::take(&mut self.text);
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text))))
    }

    // The response was handed over, or nobody wants the rest of it.
    fn end_response(&mut self) {
        if mem::replace(&mut self.response_has_ended, true)
            || matches!(self.record.outcome, Outcome::Broken(_))
        {
            return;
        }
        if self.is_end_stream() {
            self.exchange.complete();
        } else if self.forwarded.is_some() {
            self.record.mark_incomplete();
        }
    }

    fn end_request(&mut self) {
        let Some(request) = &self.request else {
            return;
        };
        self.record.request_bytes = request.bytes();
        // Of a request that was refused, the refusal says it.
        if self.forwarded.is_none() || matches!(self.record.outcome, Outcome::Broken(_)) {
            return;
        }
        if let Some(reason) = request.cut_off() {
            self.record.outcome = Outcome::Broken(reason);
        } else if let Some(fault) = request.fault() {
            let refusal = Refusal::BodyFault(fault);
            self.record.outcome = Outcome::Broken(refusal.reason());
            self.record.cause = refusal.cause();
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.forwarded {
            Some(body) => body.is_end_stream(),
            None => self.text.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.forwarded {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(self.text.len() as u64),
        }
    }
}

impl<B: UpstreamBody> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let body = self.get_mut();
        let Some(this) = &mut body.0 else {
            return Poll::Ready(None);
        };
        if let Some(token_watch) = &this.token_watch
            && let Poll::Ready(reason) = token_watch.poll_ended(context)
        {
            this.record.outcome = Outcome::Broken(reason);
            // An error, not an end: half a body must not look whole.
            return Poll::Ready(Some(Err(io::Error::other("the access token has ended"))));
        }
        let Some(polled) = catch_panic_now(|| this.poll_frame(context)) else {
            this.record.outcome = Outcome::Broken(PANICKED);
            this.record.panicked();
            return Poll::Ready(Some(Err(io::Error::other("a panic"))));
        };
        let frame = ready!(polled);
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                this.record.response_bytes += length as u64;
                this.exchange.record_sent(length);
            }
            Some(Err(error)) => record_break(this, error),
            None => {}
        }
        body.detach_upload();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|completion| completion.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Some(completion) => completion.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

// The gateway or the client may have broken off the request, and the upstream its response then.
#[cold]
fn record_break<B: UpstreamBody>(completion: &mut Completion<B>, error: &io::Error) {
    completion.end_request();
    let record = &mut completion.record;
    if !matches!(record.outcome, Outcome::Broken(_)) {
        record.outcome = Outcome::Broken("upstream_broke_off");
        record.cause = Some(error.to_string());
    }
}

impl<B: UpstreamBody> Drop for ResponseBody<B> {
    fn drop(&mut self) {
        if let Some(completion) = &mut self.0 {
            completion.end_response();
            completion.end_request();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::task::Waker;

    use http::Method;

    use super::*;
    use crate::telemetry::{self, RequestLog, Telemetry};
    use crate::transport::ConnectionState;

    /// A frame, and then a panic.
    struct Faulty(Option<Bytes>);

    impl Body for Faulty {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            Poll::Ready(Some(Ok(Frame::data(self.0.take().expect("more")))))
        }
    }

    impl UpstreamBody for Faulty {
        fn take_upload(&mut self) -> Option<Box<Upload>> {
            None
        }
    }

    #[test]
    fn panic_breaks_the_response_off_and_ends_the_exchange() {
        let (state, counted) = (ConnectionState::idle(), telemetry::panicked_requests());
        let record = Record::begin(
            &Telemetry::new().worker(),
            IpAddr::from(Ipv4Addr::LOCALHOST).into(),
            Method::GET,
            RequestLog::default(),
        );
        let body = Faulty(Some(Bytes::from_static(b"half")));
        let mut completion = Completion::new(record, None, state.begin_exchange());
        completion.forwarded = Some(body);
        let mut body = ResponseBody::forwarded(None, completion);
        let mut poll = || Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll(), Poll::Ready(Some(Ok(_)))));
        assert!(matches!(poll(), Poll::Ready(Some(Err(_)))));
        assert!(!state.is_idle());
        assert!(
            body.0
                .as_ref()
                .is_some_and(|completion| completion.record.outcome == Outcome::Broken(PANICKED))
        );
        drop(body);
        assert!(state.is_idle());
        assert!(telemetry::panicked_requests() > counted);
    }
}

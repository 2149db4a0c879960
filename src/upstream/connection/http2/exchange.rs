//! One request and its response, on a stream of an HTTP/2 connection.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{HeaderMap, Response, StatusCode, Uri};
use http_body::{Body, Frame, SizeHint};

use super::connection::StreamSlot;
use super::grpc_timeout::grpc_timeout;
use super::request::{RequestTarget, copy_if_repeatable, take_head};
use crate::clock::IdleTimeout;
use crate::transport::{ConnectionState, IncomingBody, send_body};
use crate::upstream::connection::exchange::{
    ExchangeError, ExchangeFailure, ExchangeTimeouts, OnInterim, UpstreamRequest,
};
use crate::upstream::connection::upload::{Upload, UploadOutcome};
use crate::upstream::request_body::RequestBody;

/// The body of a response. Its stream is reset when this is dropped before the end.
pub(in crate::upstream) struct ResponseStream {
    body: IncomingBody,
    slot: StreamSlot,
    /// Whether its gRPC client set a deadline.
    has_call_deadline: bool,
    /// What is left of the request is sent for as long as the response is read.
    _upload: Option<Upload>,
}

/// How long the response head is waited for.
#[derive(Clone, Copy)]
struct HeadTimeout {
    duration: Duration,
    /// Whether the client chose it for the whole call (gRPC), however long the upload takes.
    is_call_deadline: bool,
    /// Whether the client chose a deadline at all.
    has_call_deadline: bool,
}

/// Sends a request on the stream of `slot` and waits for the response head. Returns the response
/// body.
///
/// Sending empties the request. With `keep_copy`, one that may be sent twice is restored when the
/// exchange fails.
pub(in crate::upstream) async fn exchange(
    slot: StreamSlot,
    outgoing: &mut UpstreamRequest<'_>,
    target: RequestTarget,
    keep_copy: bool,
    timeouts: ExchangeTimeouts<'_>,
) -> Result<ResponseStream, ExchangeError> {
    let head_timeout = HeadTimeout::of(&outgoing.head.headers, timeouts.response);
    let mut sender = ready_sender(&slot, head_timeout.duration, timeouts).await?;
    let copy = keep_copy.then(|| copy_if_repeatable(outgoing)).flatten();
    let body = mem::take(outgoing.body);
    let head = take_head(outgoing.head, outgoing.added, target);
    let progress = body.progress();
    let has_body = !body.is_end_stream();
    let (mut response, mut stream) = match sender.send_request(head, !has_body) {
        Ok((response, stream)) => (response, Some(stream)),
        Err(error) => {
            let blames_endpoint = slot.blames_endpoint(&error, head_timeout.has_call_deadline);
            return Err(restore(copy, outgoing, error, blames_endpoint));
        }
    };
    let is_upload_stalled = Rc::new(Cell::new(false));
    let upload = stream
        .take_if(|_| has_body)
        .map(|stream| spawn_upload(body, stream, timeouts, &is_upload_stalled));
    let watched = progress.as_ref().filter(|_| !head_timeout.is_call_deadline);
    let head = read_head(
        &mut response,
        slot.connection_state(),
        outgoing.on_interim,
        outgoing.response,
    );
    match timeouts
        .wait_for_response(head_timeout.duration, watched, head)
        .await
    {
        Some(Ok(Ok(body))) => Ok(ResponseStream {
            body: IncomingBody::over_http2(body, Rc::clone(slot.connection_state())),
            slot,
            has_call_deadline: head_timeout.has_call_deadline,
            _upload: upload,
        }),
        Some(Ok(Err(malformed))) => {
            // A stream error (RFC 9113 §8.1.1). An upload that is dropped resets the stream itself.
            if let Some(stream) = &mut stream {
                stream.send_reset(Reason::PROTOCOL_ERROR);
            }
            Err(ExchangeError::no_retry(malformed.into()))
        }
        // The stalled upload has reset the stream.
        Some(Err(_)) if is_upload_stalled.get() => {
            Err(ExchangeError::no_retry(ExchangeFailure::TimedOut))
        }
        Some(Err(error)) => {
            if !error.is_reset() {
                slot.close_connection();
            }
            let blames_endpoint = slot.blames_endpoint(&error, head_timeout.has_call_deadline);
            // A refused stream was not processed (RFC 9113 §8.7).
            Err(restore(copy, outgoing, error, blames_endpoint))
        }
        None => Err(time_out(&slot, head_timeout, timeouts.upstream_response)),
    }
}

/// Gives up an exchange whose response head did not come in time.
///
/// An upstream that sends nothing at all may be gone: other exchanges must not wait for it too. The
/// deadline of a gRPC client proves nothing, for it may be too short. Half of the time, because a new
/// connection's SETTINGS are acknowledged if nothing else is.
fn time_out(
    slot: &StreamSlot,
    head_timeout: HeadTimeout,
    upstream_timeout: Duration,
) -> ExchangeError {
    let silence = head_timeout.duration.max(upstream_timeout) / 2;
    if !head_timeout.is_call_deadline && slot.is_silent_for(silence) {
        slot.close_connection();
    }
    ExchangeError {
        blames_endpoint: !head_timeout.is_call_deadline,
        ..ExchangeError::no_retry(ExchangeFailure::TimedOut)
    }
}

impl HeadTimeout {
    fn of(headers: &HeaderMap, response_timeout: Duration) -> Self {
        match grpc_timeout(headers) {
            Some(timeout) if timeout < response_timeout => Self {
                duration: timeout,
                is_call_deadline: true,
                has_call_deadline: true,
            },
            later => Self {
                duration: response_timeout,
                is_call_deadline: false,
                has_call_deadline: later.is_some(),
            },
        }
    }
}

async fn ready_sender(
    slot: &StreamSlot,
    within: Duration,
    timeouts: ExchangeTimeouts<'_>,
) -> Result<SendRequest<Bytes>, ExchangeError> {
    let ready = slot.sender().ready();
    match timeouts.wait_for_response(within, None, ready).await {
        Some(Ok(sender)) => Ok(sender),
        Some(Err(error)) => {
            slot.close_connection();
            Err(ExchangeError {
                cause: ExchangeFailure::from_error(error),
                can_retry: true,
                is_stale: true,
                blames_endpoint: false,
            })
        }
        // The upstream allows fewer streams than before, and the open ones do not end.
        None => Err(ExchangeError {
            blames_endpoint: false,
            ..ExchangeError::no_retry(ExchangeFailure::TimedOut)
        }),
    }
}

fn spawn_upload(
    body: RequestBody,
    mut stream: SendStream<Bytes>,
    timeouts: ExchangeTimeouts<'_>,
    is_stalled: &Rc<Cell<bool>>,
) -> Upload {
    let idle = IdleTimeout::new(timeouts.ticker, timeouts.body_idle);
    let is_stalled = Rc::clone(is_stalled);
    Upload::spawn(async move {
        // Any other error shows in the response or in the progress of the body.
        let Err(error) = send_body(body, &mut stream, idle).await else {
            return UploadOutcome::Complete;
        };
        is_stalled.set(error.kind() == io::ErrorKind::TimedOut);
        UploadOutcome::Broken
    })
}

fn restore(
    copy: Option<(Uri, HeaderMap)>,
    outgoing: &mut UpstreamRequest<'_>,
    error: h2::Error,
    blames_endpoint: bool,
) -> ExchangeError {
    let can_retry = copy.is_some();
    (outgoing.head.uri, outgoing.head.headers) = copy.unwrap_or_default();
    ExchangeError {
        cause: ExchangeFailure::from_error(error),
        can_retry,
        is_stale: false,
        blames_endpoint,
    }
}

/// A response head that h2 accepts and HTTP/2 does not have.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    /// A 101 (RFC 9113 §8.6). An HTTP/1.1 client would take it for a real one, and what follows for
    /// another protocol.
    #[error("expected no 101 over HTTP/2, but found one")]
    SwitchingProtocols,
    /// A pseudo-header field beside `:status` (RFC 9113 §8.3.2).
    #[error("expected no pseudo-header field of a request in a response, but found one")]
    PseudoField,
}

impl From<Malformed> for ExchangeFailure {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::SwitchingProtocols => Self::InvalidUpgrade,
            Malformed::PseudoField => Self::from_error(malformed),
        }
    }
}

/// Reads the interim responses and the head of the final response. Returns the response body.
async fn read_head(
    incoming: &mut ResponseFuture,
    connection: &ConnectionState,
    on_interim: OnInterim<'_>,
    response: &mut Response<()>,
) -> Result<Result<h2::RecvStream, Malformed>, h2::Error> {
    let stream = incoming.stream_id();
    poll_fn(|context| {
        while let Poll::Ready(Some(interim)) = incoming.poll_informational(context) {
            let interim = interim?;
            if interim.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(Err(Malformed::SwitchingProtocols)));
            }
            if !connection.is_malformed(stream) {
                on_interim(interim.status(), interim.headers());
            }
        }
        let received = ready!(Pin::new(&mut *incoming).poll(context))?;
        if connection.is_malformed(stream) {
            return Poll::Ready(Ok(Err(Malformed::PseudoField)));
        }
        let (head, body) = received.into_parts();
        *response = Response::from_parts(head, ());
        Poll::Ready(Ok(Ok(body)))
    })
    .await
}

impl ResponseStream {
    pub(in crate::upstream) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    /// Whether an error of this body shows that the endpoint serves badly.
    pub(in crate::upstream) fn blames_endpoint(&self, error: &io::Error) -> bool {
        let error = error.get_ref().and_then(|inner| inner.downcast_ref());
        error.is_none_or(|error| self.slot.blames_endpoint(error, self.has_call_deadline))
    }

    pub(in crate::upstream) fn is_ended(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(in crate::upstream) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

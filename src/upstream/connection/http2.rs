//! One attempt at an exchange over HTTP/2.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use h2::Reason;
use h2::client::ResponseFuture;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::Body;

use crate::clock::IdleTimeout;
use crate::transport::{ConnectionState, IncomingBody, send_body};
use crate::upstream::Upstream;
use crate::upstream::connect::connect_shared;
use crate::upstream::connection::upload::{Upload, Uploaded};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint::http2_pool::{Http2Pool, StreamSlot};
use crate::upstream::endpoint::state::{EndpointState, InFlight};
use crate::upstream::forwarded_body::{ForwardedBody, Incoming};
use crate::upstream::headers::AddedHeaders;
use crate::upstream::request_body::RequestBody;
use crate::upstream::send::{
    Attempt, Failed, OnInterim, UpstreamError, UpstreamRequest, is_repeatable, no_connection,
};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

impl Upstream {
    /// Sends the request as a stream of a connection that exchanges share.
    pub(in crate::upstream) async fn attempt_http2(
        &self,
        in_flight: InFlight,
        streams: &Rc<Http2Pool>,
        UpstreamRequest {
            request,
            added,
            on_interim,
        }: &mut UpstreamRequest<'_>,
        Attempt {
            is_first: _,
            may_repeat,
        }: Attempt,
    ) -> Result<Response<ForwardedBody>, Failed> {
        let endpoint = &in_flight.endpoint;
        let place = match self.place(&in_flight, streams).await {
            Ok(place) => place,
            Err(source) => return Err(Failed::unsent(no_connection(endpoint, source))),
        };
        let (within, is_deadline) = match grpc_timeout(request.headers()) {
            Some(timeout) if timeout < self.settings.response_timeout => (timeout, true),
            Some(_) | None => (self.settings.response_timeout, false),
        };
        let mut sender = match self.answered(within, None, place.sender().ready()).await {
            Some(Ok(sender)) => sender,
            Some(Err(source)) => {
                place.is_going();
                // It was found closed before anything was sent.
                return Err(Failed {
                    was_idle: true,
                    ..Failed::unsent(UpstreamError::broken(endpoint, source))
                });
            }
            // It allows fewer streams than it did, and those under way do not end.
            None => {
                return Err(Failed::for_good(UpstreamError::TimedOut {
                    target: endpoint.to_string(),
                }));
            }
        };
        let spare = if may_repeat {
            copy_of_repeatable(request)
        } else {
            None
        };
        let (head, body) = self.framed(mem::take(request), added, endpoint);
        let (progress, is_bodiless) = (body.progress(), body.is_end_stream());
        let (mut answer, stream) = match sender.send_request(head, is_bodiless) {
            Ok(sent) => sent,
            Err(source) => {
                return Err(put_back(
                    spare,
                    request,
                    UpstreamError::broken(endpoint, source),
                ));
            }
        };
        let idle_timeout = self.settings.body_idle_timeout;
        let stall = IdleTimeout::new(&self.ticker, idle_timeout);
        let is_untaken = Rc::new(Cell::new(false));
        let mut stream = Some(stream);
        let body_stream = stream.take_if(|_| !is_bodiless);
        let upload = body_stream.map(|mut stream| {
            let is_untaken = Rc::clone(&is_untaken);
            Upload::begin(async move {
                // What else went wrong is told by the answer, or by the body's progress.
                let sent = send_body(body, &mut stream, stall).await;
                let Err(error) = sent else {
                    return Uploaded::Whole;
                };
                is_untaken.set(error.kind() == io::ErrorKind::TimedOut);
                Uploaded::Broken
            })
        });
        // Who set a deadline did so for the whole call, however much of it is still uploaded.
        let watched = progress.as_ref().filter(|_| !is_deadline);
        match self
            .answered(
                within,
                watched,
                head_of(&mut answer, place.pace(), on_interim),
            )
            .await
        {
            Some(Ok(Head::Malformed(malformed))) => {
                // A stream error (RFC 9113 §8.1.1); an upload that is under way is cancelled with it.
                if let Some(stream) = &mut stream {
                    stream.send_reset(Reason::PROTOCOL_ERROR);
                }
                let target = endpoint.to_string();
                Err(Failed::for_good(match malformed {
                    Malformed::SwitchingProtocols => UpstreamError::NotSwitched { target },
                    Malformed::PseudoField => UpstreamError::broken(endpoint, malformed),
                }))
            }
            Some(Ok(Head::Final(answer))) => Ok(answer.map(|body| {
                let arriving = IncomingBody::over_http2(body, Rc::clone(place.pace()));
                let incoming = Incoming::Stream {
                    arriving,
                    _place: place,
                    _upload: upload,
                };
                ForwardedBody::new(incoming, in_flight, progress, &self.ticker, idle_timeout)
            })),
            // We reset the stream ourselves then.
            Some(Err(_)) if is_untaken.get() => Err(Failed::for_good(UpstreamError::TimedOut {
                target: endpoint.to_string(),
            })),
            Some(Err(source)) => {
                if !source.is_reset() {
                    place.is_going();
                }
                // What was refused was not looked at (RFC 9113 §8.7).
                Err(put_back(
                    spare,
                    request,
                    UpstreamError::broken(endpoint, source),
                ))
            }
            None => {
                // Who says nothing at all may be gone: others had better not wait for it, too. A deadline that a client
                // chose may be too short for anybody; and a new connection's settings are acknowledged, if nothing else is.
                if !is_deadline && place.is_silent_for(within / 2) {
                    place.is_going();
                }
                Err(Failed::for_good(UpstreamError::TimedOut {
                    target: endpoint.to_string(),
                }))
            }
        }
    }

    async fn place(&self, peer: &EndpointState, streams: &Rc<Http2Pool>) -> io::Result<StreamSlot> {
        loop {
            if let Some(place) = streams.take() {
                return Ok(place);
            }
            let connect = || {
                let (settings, endpoint) = (Arc::clone(&self.settings), Arc::clone(&peer.endpoint));
                let (traffic, ticker) = (Arc::clone(&peer.traffic), Rc::clone(&self.ticker));
                async move { connect_shared(&settings, &endpoint, &traffic, &ticker).await }
            };
            let (is_ours, connected) = streams.more(connect).await;
            if is_ours {
                self.noted(peer, connected)?
            } else {
                connected?
            }
        }
    }

    // The host becomes a part of the target (RFC 9113 §8.3.1).
    fn framed(
        &self,
        request: Request<RequestBody>,
        added: &AddedHeaders,
        endpoint: &Endpoint,
    ) -> (Request<()>, RequestBody) {
        let host = self.host(endpoint);
        let (mut parts, body) = request.into_parts();
        let host = parts
            .headers
            .remove(header::HOST)
            .map(|passed| host.unwrap_or(passed));
        parts.uri = absolute(
            parts.uri,
            self.settings.targets[endpoint.target].scheme(),
            host.as_ref(),
        );
        parts.extensions.clear();
        added.append_to(&mut parts.headers);
        (Request::from_parts(parts, ()), body)
    }
}

// What may be sent twice has no body, so a copy of its head is a copy of it all.
fn copy_of_repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !is_repeatable(request.method()) || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

fn put_back(
    spare: Option<Request<RequestBody>>,
    request: &mut Request<RequestBody>,
    error: UpstreamError,
) -> Failed {
    let is_unspent = spare.is_some();
    *request = spare.unwrap_or_default();
    Failed {
        error,
        is_unspent,
        was_idle: false,
    }
}

// A host that was admitted is an authority; where it should not be, none is sent rather than another one.
pub(in crate::upstream) fn absolute(uri: Uri, scheme: Scheme, host: Option<&HeaderValue>) -> Uri {
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = uri.into_parts();
    parts
        .path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    if authority.is_some() {
        (parts.scheme, parts.authority) = (Some(scheme), authority);
    }
    Uri::from_parts(parts).unwrap_or_default()
}

/// The head that ends the waiting for a response.
enum Head {
    Final(Response<h2::RecvStream>),
    Malformed(Malformed),
}

/// What the protocol's library takes for the head of a response, and is none.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    /// A 101, which HTTP/2 does not have (RFC 9113 §8.6). To a client of HTTP/1.1 it would look like a real one, and what
    /// follows like another protocol.
    #[error("expected no 101 over HTTP/2, but found one")]
    SwitchingProtocols,
    /// A pseudo-header field beside `:status` (RFC 9113 §8.3.2).
    #[error("expected no pseudo-header field of a request in a response, but found one")]
    PseudoField,
}

async fn head_of(
    answer: &mut ResponseFuture,
    pace: &ConnectionState,
    on_interim: OnInterim<'_>,
) -> Result<Head, h2::Error> {
    let stream = answer.stream_id();
    poll_fn(|context| {
        while let Poll::Ready(Some(interim)) = answer.poll_informational(context) {
            let interim = interim?;
            if interim.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(Head::Malformed(Malformed::SwitchingProtocols)));
            }
            if !pace.is_malformed(stream) {
                on_interim(interim.status(), interim.headers());
            }
        }
        let head = ready!(Pin::new(&mut *answer).poll(context))?;
        let is_malformed = pace.is_malformed(stream);
        Poll::Ready(Ok(if is_malformed {
            Head::Malformed(Malformed::PseudoField)
        } else {
            Head::Final(head)
        }))
    })
    .await
}

/// How long a client of gRPC will wait for the end of its call: up to eight digits and a unit.
fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count = digits
        .parse()
        .ok()
        .filter(|_| digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_grpc_are_up_to_eight_digits_and_a_unit() {
        let told = [
            ("5S", Some(Duration::from_secs(5))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("250m", Some(Duration::from_millis(250))),
            ("1M", Some(Duration::from_secs(60))),
            ("70u", Some(Duration::from_micros(70))),
            ("8n", Some(Duration::from_nanos(8))),
            ("0S", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("5", None),
            ("+5S", None),
            ("5s", None),
            ("999999999S", None),
            ("5\u{e9}", None),
        ];
        for (text, expected) in told {
            let mut headers = HeaderMap::new();
            headers.insert(
                GRPC_TIMEOUT,
                HeaderValue::from_bytes(text.as_bytes()).expect("a header value"),
            );
            assert_eq!(grpc_timeout(&headers), expected, "{text:?}");
        }
    }
}

//! A prepared request goes to its upstream, and the head of the response comes back.

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::{HeaderMap, Request, Response, StatusCode, Version, header};

use super::prepare::Prepared;
use super::refusal::Refusal;
use super::response_body::TOKEN_EXPIRED;
use crate::clock::{Deadline, Ticker};
use crate::transport::Interim;
use crate::upstream::headers;
use crate::upstream::{
    ForwardedBody, RequestBody, UpgradeResponse, UpgradedConnection, Upstream, UpstreamRequest,
};

/// What an upstream responded. `expiry` is the end of the token, where the response is to end with
/// it.
pub(super) enum Forwarded {
    /// A response whose body streams.
    Response {
        response: Response<ForwardedBody>,
        expiry: Option<Deadline>,
    },
    /// 101: another protocol follows.
    Upgraded {
        response: Response<()>,
        upstream: UpgradedConnection,
        expiry: Option<Deadline>,
    },
}

/// Sends a prepared request to its upstream. Interim responses go to `interim` meanwhile.
///
/// # Errors
/// The upstream failed, or the token ended before there was a response.
pub(super) async fn forward(
    prepared: Prepared<'_>,
    mut request: Request<RequestBody>,
    upstream: &Upstream,
    interim: &Interim,
    ticker: &Rc<Ticker>,
) -> Result<Forwarded, Refusal> {
    let Prepared {
        permit,
        added,
        is_upgrade,
        token_end,
        forwarding,
        omitted,
        upstream: _,
    } = prepared;
    for (header, found) in omitted {
        header.log_omitted(&forwarding.label, found, ticker.now());
    }
    let expiry = token_end.map(|end| {
        let deadline = ticker.deadline();
        deadline.arm(end.since(ticker.wall()));
        deadline
    });
    let is_http11 = request.version() == Version::HTTP_11;
    let on_interim = |status, headers: &HeaderMap| {
        if is_http11 {
            forward_interim(interim, status, headers);
        }
    };
    // Ours, whatever the client's was (RFC 9110 §2.5): a connection of HTTP/1.0 could not be kept.
    *request.version_mut() = Version::HTTP_11;
    let request = UpstreamRequest {
        request,
        added: &added,
        on_interim: &on_interim,
    };
    let expiring = expiry.as_ref();
    let response = if is_upgrade {
        let upgrading = pin!(upstream.upgrade(permit, request));
        unless_expired(expiring, upgrading).await
    } else {
        let sending = pin!(upstream.send(permit, request));
        let response = unless_expired(expiring, sending).await;
        response.map(|response| response.map(UpgradeResponse::Declined))
    };
    interim.discard_late();
    match response
        .ok_or_else(token_ended)?
        .map_err(Refusal::Upstream)?
    {
        UpgradeResponse::Declined(response) => Ok(Forwarded::Response {
            response: to_client(response),
            expiry,
        }),
        UpgradeResponse::Upgraded(response, upstream) => Ok(Forwarded::Upgraded {
            response: switching_to_client(response),
            upstream,
            expiry,
        }),
    }
}

// The token also ends an upload: that is a stream, too.
// The future is pinned by the caller and not moved, because the state of an exchange is large.
async fn unless_expired<T>(
    expiry: Option<&Deadline>,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|context| match (future.as_mut().poll(context), expiry) {
        (Poll::Ready(outcome), _) => Poll::Ready(Some(outcome)),
        (Poll::Pending, Some(expiry)) => expiry.poll_passed(context).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}

fn token_ended() -> Refusal {
    let detail = "the token ended before there was an answer".to_owned();
    Refusal::InvalidToken {
        reason: TOKEN_EXPIRED,
        detail,
        issuer: None,
    }
}

fn to_client<B>(mut response: Response<B>) -> Response<B> {
    // Ours, whatever the upstream's was (RFC 9110 §2.5).
    let version = mem::replace(response.version_mut(), Version::HTTP_11);
    let status = response.status();
    headers::rewrite_response(response.headers_mut(), version, status);
    response
}

// 101 names the protocol that follows, in a header that ends at each hop otherwise.
fn switching_to_client(response: Response<()>) -> Response<()> {
    let protocol = response.headers().get(header::UPGRADE).cloned();
    let mut response = to_client(response);
    if let Some(protocol) = protocol {
        headers::set_upgrade(response.headers_mut(), protocol);
    }
    response
}

// RFC 9110 §15.2 has a proxy forward interim responses. A client of HTTP/1.0 does not know them, and
// 100 responds to an `Expect` that the gateway has answered itself.
fn forward_interim(interim: &Interim, status: StatusCode, headers: &HeaderMap) {
    if status != StatusCode::CONTINUE {
        let mut headers = headers.clone();
        headers::rewrite_response(&mut headers, Version::HTTP_11, status);
        interim.queue(status, &headers);
    }
}

//! Sends a prepared request to its upstream, and waits for the head of the response.

use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::request::Parts;
use http::{HeaderMap, Response, StatusCode, Version, header};

use super::prepare::Prepared;
use super::refusal::Refusal;
use super::token_end::{TokenEnd, TokenWatch};
use crate::clock::Ticker;
use crate::transport::Interim;
use crate::upstream::headers;
use crate::upstream::{
    RequestBody, ResponseDestination, UpgradeResponse, UpgradedConnection, Upstream, UpstreamError,
    UpstreamRequest,
};

/// What follows the head of an upstream's response. `token_watch` waits for the end of the
/// token, where the response is to end with it.
pub(super) enum Forwarded {
    /// A body, which streams.
    Body {
        token_watch: Option<Box<TokenWatch>>,
    },
    /// Another protocol, after a 101.
    Upgraded {
        /// Boxed: it is large and rare.
        upstream: Box<UpgradedConnection>,
        token_watch: Option<Box<TokenWatch>>,
    },
}

/// Sends a prepared request to its upstream. The response goes to `response`. Interim responses go to
/// `interim` meanwhile.
///
/// # Errors
/// The upstream failed, or the token ended before there was a response.
pub(super) async fn forward(
    prepared: Prepared<'_>,
    head: &mut Parts,
    body: &mut RequestBody,
    response: ResponseDestination<'_>,
    upstream: &Upstream,
    interim: &Interim,
) -> Result<Forwarded, Refusal> {
    let ticker = upstream.ticker();
    let Prepared {
        permit,
        added,
        is_upgrade,
        websocket,
        token_end,
        forwarding,
        omitted,
    } = prepared;
    for (header, found) in omitted {
        header.log_omitted(&forwarding.label, found, ticker.now());
    }
    let token_watch = token_end.map(|end| watch_token(end, body, ticker));
    let is_http11 = head.version == Version::HTTP_11;
    let on_interim = |status, headers: &HeaderMap| {
        if is_http11 {
            forward_interim(interim, status, headers);
        }
    };
    let request = UpstreamRequest {
        head,
        body,
        response: &mut *response.head,
        added: &added,
        response_timeout: forwarding.response_timeout,
        on_interim: &on_interim,
    };
    let watch = token_watch.as_deref();
    if is_upgrade {
        let outcome = {
            // Boxed: its state is large, and few requests have it.
            let mut upgrading = Box::pin(upstream.upgrade(permit, request));
            unless_ended(watch, upgrading.as_mut()).await
        };
        interim.discard_late();
        match outcome? {
            UpgradeResponse::Declined(body) => *response.body = Some(body),
            UpgradeResponse::Upgraded(upstream) => {
                rewrite_switching_response(response.head);
                if let Some(offered) = websocket {
                    offered.select(response.head.headers_mut());
                }
                return Ok(Forwarded::Upgraded {
                    upstream: Box::new(upstream),
                    token_watch,
                });
            }
        }
    } else {
        let sending = pin!(upstream.send(permit, request, response.body));
        let outcome = unless_ended(watch, sending).await;
        interim.discard_late();
        outcome?;
    }
    rewrite_response(response.head);
    Ok(Forwarded::Body { token_watch })
}

// The body has a watch of its own: the upload goes on while the client reads nothing of the response.
fn watch_token(end: TokenEnd, body: &mut RequestBody, ticker: &Rc<Ticker>) -> Box<TokenWatch> {
    body.cut_off_when(|| {
        let watch = end.clone().watch(ticker);
        Box::pin(async move { watch.ended().await })
    });
    end.watch(ticker)
}

// The end of the token also ends the wait for a response.
// The future is pinned by the caller and not moved, because the state of an exchange is large.
async fn unless_ended<T>(
    token_watch: Option<&TokenWatch>,
    mut future: Pin<&mut impl Future<Output = Result<T, UpstreamError>>>,
) -> Result<T, Refusal> {
    poll_fn(
        |context| match (future.as_mut().poll(context), token_watch) {
            (Poll::Ready(outcome), _) => Poll::Ready(outcome.map_err(Refusal::Upstream)),
            (Poll::Pending, Some(watch)) => watch
                .poll_ended(context)
                .map(|reason| Err(token_ended(reason))),
            (Poll::Pending, None) => Poll::Pending,
        },
    )
    .await
}

/// The refusal of a request whose token ended before there was a response.
pub(super) fn token_ended(reason: &'static str) -> Refusal {
    let detail = "the token expired or was revoked before the response came".to_owned();
    Refusal::InvalidToken {
        reason,
        detail,
        issuer: None,
        scope: None,
    }
}

fn rewrite_response(response: &mut Response<()>) {
    // Ours, whatever the upstream's was (RFC 9110 §2.5).
    let version = mem::replace(response.version_mut(), Version::HTTP_11);
    let status = response.status();
    headers::rewrite_response(response.headers_mut(), version, status);
}

// 101 names the protocol that follows, in a header that ends at each hop otherwise.
fn rewrite_switching_response(response: &mut Response<()>) {
    let protocol = response.headers().get(header::UPGRADE).cloned();
    rewrite_response(response);
    if let Some(protocol) = protocol {
        headers::set_upgrade(response.headers_mut(), protocol);
    }
}

// RFC 9110 §15.2 has a proxy forward interim responses. A client of HTTP/1.0 does not know them, and
// 100 is the response to an `Expect`, which the gateway has sent itself.
fn forward_interim(interim: &Interim, status: StatusCode, headers: &HeaderMap) {
    if status != StatusCode::CONTINUE {
        let mut headers = headers.clone();
        headers::rewrite_response(&mut headers, Version::HTTP_11, status);
        interim.queue(status, &headers);
    }
}

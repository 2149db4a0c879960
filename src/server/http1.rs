//! A client that speaks HTTP/1.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::server::conn::http1::Parts;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::connection::{Arrival, Serving};
use crate::transport::{End, IncomingBody, Interim};

/// Serves a client until one side closes the connection, or has it switched to another protocol and is done with that.
///
/// # Errors
/// What broke the connection.
pub(super) async fn serve(serving: &Serving, arrival: Arrival) -> hyper::Result<()> {
    let interim = Interim::default();
    let connection = arrival.connection(serving, interim.clone());
    let (connection, pace) = (&connection, &arrival.pace);
    let service = service_fn(async move |request: http::Request<_>| {
        let is_http10 = request.version() == Version::HTTP_10;
        let mut answer = serving
            .gate
            .handle(connection, request.map(IncomingBody::Http1))
            .await;
        if is_http10 && is_delimited_by_close(&answer) {
            pace.delimit_by_close();
        }
        if serving.is_ending() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(answer)
    });
    let mut exchanges = arrival
        .manners
        .http1
        .serve_connection(TokioIo::new(arrival.paced.with_interim(interim)), service);
    let (mut told, mut was_idle) = (false, false);
    let outcome = poll_fn(|context| {
        let polled = Pin::new(&mut exchanges).poll(context);
        // After the poll, and not within a head: hyper would forget what it has read of a request.
        let ends = || serving.is_draining() && !pace.is_within_head() || serving.is_evicted(pace);
        if polled.is_ready() || told || !ends() {
            return polled;
        }
        (told, was_idle) = (true, pace.is_idle());
        Pin::new(&mut exchanges).graceful_shutdown();
        Pin::new(&mut exchanges).poll(context)
    })
    .await;
    let Parts { io, read_buf, .. } = exchanges.into_parts();
    let mut stream = io.into_inner();
    stream.settle();
    match (&outcome, connection.take_tunnel()) {
        (Ok(()), Some(tunnel)) => {
            // The tunnel bounds the waiting from here on.
            let _exchange = pace.begin_exchange();
            tunnel
                .carry(
                    End {
                        stream,
                        early: read_buf,
                    },
                    &serving.ticker,
                )
                .await;
        }
        // It had its answer some time ago.
        (Ok(()), None) if was_idle => {}
        (Ok(()), None) => serving.linger(stream, pace).await,
        (Err(error), _) if error.is_parse() => serving.linger(stream, pace).await,
        // Nobody is there to be told anything.
        (Err(_), _) => {}
    }
    outcome
}

// HTTP/1.0 has no chunks: what does not tell its length ends with the connection (RFC 9112 §6.3).
fn is_delimited_by_close<B: Body>(response: &Response<B>) -> bool {
    response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(header::CONTENT_LENGTH)
}

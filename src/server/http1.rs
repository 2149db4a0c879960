//! A client that speaks HTTP/1.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::server::conn::http1::Parts;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::worker_state::{AcceptedConnection, WorkerState};
use crate::transport::{IncomingBody, Interim, TunnelEnd};

/// Serves a client until one side closes the connection. After an upgrade that is the end of the
/// tunnel.
///
/// # Errors
/// What broke the connection.
pub(super) async fn serve(worker: &WorkerState, accepted: AcceptedConnection) -> hyper::Result<()> {
    let interim = Interim::default();
    let connection = accepted.connection(worker, interim.clone());
    let (connection, state) = (&connection, &accepted.state);
    let service = service_fn(async move |request: http::Request<_>| {
        let is_http10 = request.version() == Version::HTTP_10;
        let mut response = worker
            .gate
            .handle(connection, request.map(IncomingBody::Http1))
            .await;
        if is_http10 && is_delimited_by_close(&response) {
            state.delimit_by_close();
        }
        if worker.is_stopping() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response
                .headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(response)
    });
    let mut exchanges = accepted
        .connection_config
        .http1
        .serve_connection(TokioIo::new(accepted.stream.with_interim(interim)), service);
    let (mut shuts_down, mut was_idle) = (false, false);
    let outcome = poll_fn(|context| {
        let polled = Pin::new(&mut exchanges).poll(context);
        // After the poll, and not within a head: hyper would discard what it has read of a request.
        let should_close =
            || worker.is_draining() && !state.is_within_head() || worker.is_evicted(state);
        if polled.is_ready() || shuts_down || !should_close() {
            return polled;
        }
        (shuts_down, was_idle) = (true, state.is_idle());
        Pin::new(&mut exchanges).graceful_shutdown();
        Pin::new(&mut exchanges).poll(context)
    })
    .await;
    let Parts { io, read_buf, .. } = exchanges.into_parts();
    let mut stream = io.into_inner();
    stream.allow_normal_close();
    match (&outcome, connection.take_tunnel()) {
        (Ok(()), Some(tunnel)) => {
            // From here on the tunnel has its own timeouts.
            let _exchange = state.begin_exchange();
            tunnel
                .carry(
                    TunnelEnd {
                        stream,
                        buffered: read_buf,
                    },
                    &worker.ticker,
                )
                .await;
        }
        // The connection was idle: its last response was sent long ago.
        (Ok(()), None) if was_idle => {}
        (Ok(()), None) => worker.linger(stream, state).await,
        (Err(error), _) if error.is_parse() => worker.linger(stream, state).await,
        // The client is gone.
        (Err(_), _) => {}
    }
    outcome
}

// HTTP/1.0 has no chunks: a body without a length ends with the connection (RFC 9112 §6.3).
fn is_delimited_by_close<B: Body>(response: &Response<B>) -> bool {
    response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(header::CONTENT_LENGTH)
}

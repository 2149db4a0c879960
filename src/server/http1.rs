//! A client that speaks HTTP/1.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use http::{HeaderValue, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::Parts;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};

use super::worker_state::{AcceptedConnection, WorkerState};
use crate::transport::{IncomingBody, Interim, Stream, TimeoutStream, TunnelEnd};

/// Serves a client until one side closes the connection. After an upgrade that is the end of the
/// tunnel.
///
/// # Errors
/// What broke the connection.
pub(super) async fn serve(worker: &WorkerState, accepted: AcceptedConnection) -> hyper::Result<()> {
    let interim = Interim::default();
    let connection = accepted.connection(worker, interim.clone());
    let (connection, state, is_tls) = (&connection, &accepted.state, accepted.is_tls);
    let may_send_more = &Cell::new(true);
    // A block, and no async closure, which would copy its argument.
    let service = service_fn(move |request: http::Request<Incoming>| async move {
        let (mut parts, incoming) = request.into_parts();
        let is_http10 = parts.version == Version::HTTP_10;
        let has_body = !incoming.is_end_stream();
        let incoming = IncomingBody::Http1(incoming);
        let mut response = worker.gate.handle(connection, &mut parts, incoming).await;
        if is_http10 && is_delimited_by_close(&response) {
            state.delimit_by_close();
        }
        if worker.is_stopping() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        may_send_more.set(has_body || worker.is_stopping() || is_closed_by_refusal(&response));
        Ok::<_, Infallible>(response)
    });
    let mut exchanges = accepted
        .connection_config
        .http1
        .serve_connection(TokioIo::new(accepted.stream.with_interim(interim)), service);
    let (mut shuts_down, mut was_idle) = (false, false);
    let outcome = poll_fn(|context| {
        let polled = Pin::new(&mut exchanges).poll(context);
        // After the poll, and not within a head or an upload: hyper would discard what it has read of a
        // request.
        let is_receiving = || state.is_within_head() || state.is_uploading();
        let should_close = || worker.is_draining() && !is_receiving() || worker.is_evicted(state);
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
            // Its exchange lasts as long as the tunnel, which has its own timeouts.
            let buffered = read_buf;
            let end = TunnelEnd { stream, buffered };
            // Boxed: a connection without a tunnel must not take more memory for it.
            Box::pin(tunnel.carry(end, &worker.ticker)).await;
        }
        // The connection was idle: its last response was sent long ago.
        (Ok(()), None) if was_idle => {}
        // This side has not ended it, so the client has: it sends nothing after that (RFC 9112
        // §9.6). Over TLS an alert may follow.
        (Ok(()), None)
            if !shuts_down
                && !may_send_more.get()
                && !is_tls
                && read_buf.is_empty()
                && !has_arrived(&mut stream).await => {}
        (Ok(()), None) => worker.linger(stream, state).await,
        (Err(error), _) if error.is_parse() => worker.linger(stream, state).await,
        // The client is gone.
        (Err(_), _) => {}
    }
    outcome
}

// A refusal ends the connection if what follows its request is not known to be a request.
fn is_closed_by_refusal<B>(response: &Response<B>) -> bool {
    response.status().as_u16() >= 400 && response.headers().contains_key(header::CONNECTION)
}

// Whether a byte has arrived, as far as the reactor knows: it is not asked again.
async fn has_arrived(stream: &mut TimeoutStream<Stream>) -> bool {
    let mut byte = [0];
    let mut byte = ReadBuf::new(&mut byte);
    poll_fn(|context| {
        let _ = Pin::new(&mut *stream).poll_read(context, &mut byte);
        Poll::Ready(!byte.filled().is_empty())
    })
    .await
}

// HTTP/1.0 has no chunks: a body without a length ends with the connection (RFC 9112 §6.3).
fn is_delimited_by_close<B: Body>(response: &Response<B>) -> bool {
    response.body().size_hint().exact().is_none()
        && !response.headers().contains_key(header::CONTENT_LENGTH)
}

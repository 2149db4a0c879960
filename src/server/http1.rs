//! A client that speaks HTTP/1.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use http::{HeaderValue, StatusCode, header};
use hyper::server::conn::http1::Parts;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::connection::{Arrival, Serving};
use crate::net::{Arriving, End, Interim};

/// Serves a client until one side closes the connection, or has it switched to another protocol and is done with that.
///
/// # Errors
/// What broke the connection.
pub(super) async fn serve(serving: &Serving, arrival: Arrival) -> hyper::Result<()> {
    let interim = Interim::default();
    let connection = arrival.connection(serving, interim.clone());
    let connection = &connection;
    let service = service_fn(async move |request: http::Request<_>| {
        let mut answer = serving.gate.handle(connection, request.map(Arriving::Http1)).await;
        if serving.is_ending() && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok::<_, Infallible>(answer)
    });
    let pace = Rc::clone(&arrival.pace);
    let mut exchanges =
        arrival.manners.http1.serve_connection(TokioIo::new(arrival.paced.with_interim(interim)), service);
    let (mut told, mut was_idle) = (false, false);
    let outcome = poll_fn(|context| {
        let polled = Pin::new(&mut exchanges).poll(context);
        // After the poll, and not within a head: hyper would forget what it has read of a request.
        if polled.is_ready() || told || !serving.is_draining() || pace.is_within_head() {
            return polled;
        }
        (told, was_idle) = (true, pace.is_idle());
        Pin::new(&mut exchanges).graceful_shutdown();
        Pin::new(&mut exchanges).poll(context)
    })
    .await;
    let Parts { io, read_buf, .. } = exchanges.into_parts();
    let stream = io.into_inner();
    match (&outcome, connection.take_tunnel()) {
        (Ok(()), Some(tunnel)) => {
            // The tunnel bounds the waiting from here on.
            let _exchange = pace.begin_exchange();
            tunnel.carry(End { stream, early: read_buf }, &serving.ticker).await;
        }
        // It had its answer some time ago.
        (Ok(()), None) if was_idle => {}
        (Ok(()), None) => serving.linger(stream).await,
        (Err(error), _) if error.is_parse() => serving.linger(stream).await,
        // Nobody is there to be told anything.
        (Err(_), _) => {}
    }
    outcome
}

//! A client that speaks HTTP/2 (RFC 9113).
//!
//! Each stream is an exchange in a task of its own. These are bounded for each stream and for the
//! connection:
//!
//! 1. Concurrent streams, and the head and window of each.
//! 2. Streams that the client resets as soon as they begin (rapid reset, CVE-2023-44487), or that
//!    it makes the server reset (MadeYouReset, CVE-2025-8671).
//! 3. Frames without content; see
//!    [`TimeoutStream::with_http2_client`](crate::transport::TimeoutStream::with_http2_client).
//! 4. The time for which a client reads nothing of a stream.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;

use super::worker_state::{AcceptedConnection, ConnectionConfig, WorkerState};
use crate::clock::IdleTimeout;
use crate::gateway::Connection;
use crate::transport::{DetachedBody, IncomingBody, Interim, UNREAD_TIMEOUT, send_body};

const MAX_STREAMS: u32 = 100;
/// Maximum memory for the body of a request before the upstream reads it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same for the bodies of all streams together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Maximum memory for the body of a response before the client's socket accepts it.
const SEND_BUFFER: usize = 64 * 1024;
/// Maximum memory for the overhead of small DATA frames. A full window of messages of 30 bytes,
/// which the upstream does not read for a moment, is no attack.
const MAX_SMALL_FRAMES: usize = 8 * 1024 * 1024;
/// Streams that were reset before this server accepted them.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that this server had to reset because of what the client sent.
const MAX_PROVOKED_RESETS: usize = 100;

fn builder(config: &ConnectionConfig) -> Builder {
    let max_header_size = u32::try_from(config.settings.max_header_size).unwrap_or(u32::MAX);
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(max_header_size)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_PROVOKED_RESETS))
        .data_frame_budget(MAX_SMALL_FRAMES);
    builder
}

/// Serves a client until one side closes the connection.
///
/// # Errors
/// What broke the connection.
pub(super) async fn serve(
    worker: &Rc<WorkerState>,
    accepted: AcceptedConnection,
) -> Result<(), h2::Error> {
    // Interim responses are forwarded over HTTP/1 only.
    let connection = Rc::new(accepted.connection(worker, Interim::default()));
    let (state, connection_config) = (accepted.state, accepted.connection_config);
    let handshake =
        builder(&connection_config).handshake::<_, Bytes>(accepted.stream.with_http2_client());
    let Some(handshake) = worker.until_first_request(&state, handshake).await else {
        return Ok(());
    };
    let mut streams = handshake?;
    let (mut has_served, mut has_sent_goaway, mut is_too_late) = (false, false, false);
    let goaway_timeout = worker.ticker.deadline();
    loop {
        let accepted = poll_fn(|context| {
            is_too_late = has_sent_goaway && goaway_timeout.poll_passed(context).is_ready();
            // While the server stops, a new connection gets its GOAWAY after the first request.
            // Sent at once, it would only make the client connect to this server again.
            let is_stopping = worker.is_draining() || has_served && worker.is_stopping();
            if !has_sent_goaway && (is_stopping || state.poll_idle(context).is_ready()) {
                has_sent_goaway = true;
                goaway_timeout.arm(connection_config.timeouts.header);
                state.record_goaway();
                // Requests that cross the GOAWAY are still served (RFC 9113 §6.8).
                streams.graceful_shutdown();
            }
            let polled = streams.poll_accept(context);
            if polled.is_ready() || !worker.is_evicted(&state) {
                return polled;
            }
            // No stream is open. The GOAWAY shows a client that begins one meanwhile that it was
            // not processed (RFC 9113 §6.8). The close does not wait until the client reads it.
            streams.abrupt_shutdown(Reason::NO_ERROR);
            let _ = streams.poll_accept(context);
            Poll::Ready(None)
        });
        let Some(accepted) = accepted.await else {
            return Ok(());
        };
        let (request, mut respond) = accepted?;
        has_served = true;
        if is_too_late {
            // It cannot have crossed the GOAWAY. REFUSED_STREAM says that it was not processed.
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        // Boxed: moving the task when it begins and ends cost 3 % of the instructions of an
        // exchange.
        let (worker, connection, connection_config) = (
            Rc::clone(worker),
            Rc::clone(&connection),
            Rc::clone(&connection_config),
        );
        tokio::task::spawn_local(Box::pin(exchange(
            worker,
            connection,
            connection_config,
            request,
            respond,
        )));
    }
}

async fn exchange(
    worker: Rc<WorkerState>,
    connection: Rc<Connection>,
    connection_config: Rc<ConnectionConfig>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    if request.headers().len() > connection_config.settings.max_headers {
        // The same status as hyper's over HTTP/1.
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        response
            .headers_mut()
            .insert(header::DATE, worker.gate.date());
        // An error means that the stream is gone.
        let _ = respond.send_response(response, true);
        return;
    }
    let is_head = request.method() == Method::HEAD;
    let mut expects = request
        .headers()
        .get(header::EXPECT)
        .is_some_and(|expected| expected == "100-continue");
    let detached = DetachedBody::default();
    let (mut parts, body) = request.into_parts();
    let incoming = IncomingBody::over_http2_detachable(body, connection.state(), detached.clone());
    let mut handling = pin!(worker.gate.handle(&connection, &mut parts, incoming));
    let response = poll_fn(|context| match handling.as_mut().poll(context) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => {
            if expects && detached.poll_read_started(context).is_ready() {
                expects = false;
                let mut interim = Response::new(());
                *interim.status_mut() = StatusCode::CONTINUE;
                // An error means that the stream is gone.
                let _ = respond.send_informational(interim);
            }
            // The client has reset the stream. Dropping the exchange cancels it at the upstream
            // too.
            respond.poll_reset(context).map(|_| None)
        }
    });
    let Some(response) = response.await else {
        return;
    };
    let (mut head, body) = response.into_parts();
    head.headers.remove(header::CONNECTION);
    if let Some(length) = body.size_hint().exact().filter(|&length| length > 0) {
        head.headers
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
    let is_bodiless = is_head || body.is_end_stream();
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), is_bodiless) else {
        return;
    };
    if !is_bodiless {
        // An error shows in the record of the request.
        let _ = send_body(
            body,
            &mut stream,
            IdleTimeout::new(&worker.ticker, connection_config.timeouts.write),
        )
        .await;
    } else {
        drop(body);
    }
    // Some clients that are still uploading treat a response and a reset together as a broken
    // stream.
    if let Some(discarding) = detached.discard() {
        let _ = tokio::time::timeout(UNREAD_TIMEOUT, discarding).await;
    }
}

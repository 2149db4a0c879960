//! A client that speaks HTTP/2 (RFC 9113).
//!
//! Each stream is an exchange in a task of its own. What a client may ask for is bounded for each stream and for the
//! connection:
//!
//! 1. Streams at a time, and the heads and windows of each.
//! 2. Streams that are reset as soon as they are begun (rapid reset, CVE-2023-44487), or that the client makes us reset
//!    (MadeYouReset, CVE-2025-8671).
//! 3. Frames that carry nothing; see [`TimeoutStream::sharing_exchanges`](crate::transport::TimeoutStream::sharing_exchanges).
//! 4. How long a stream takes nothing that was sent on it.

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
/// What a request's body may fill of our memory before its upstream takes it, and the bodies of all streams together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What an answer's body may fill of our memory before the client's socket takes it.
const SEND_BUFFER: usize = 64 * 1024;
/// What frames of a few bytes may cost beside their bytes: a whole window of messages of 30 bytes, whose upstream takes
/// none for a moment, is no attack.
const MAX_SMALL_FRAMES: usize = 8 * 1024 * 1024;
/// Streams that were reset before we looked at them.
const MAX_PENDING_RESETS: usize = 20;
/// Streams that we had to reset because of what the client sent on them.
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
    // Interim answers go by HTTP/1 only.
    let connection = Rc::new(accepted.connection(worker, Interim::default()));
    let (state, connection_config) = (accepted.state, accepted.connection_config);
    let handshake =
        builder(&connection_config).handshake::<_, Bytes>(accepted.stream.sharing_exchanges());
    let Some(handshake) = worker.until_first_request(&state, handshake).await else {
        return Ok(());
    };
    let mut streams = handshake?;
    let (mut has_asked, mut told, mut is_late, goodbye) =
        (false, false, false, worker.ticker.deadline());
    loop {
        let accepted = poll_fn(|context| {
            is_late = told && goodbye.poll_passed(context).is_ready();
            // A client that has only just come asks first: told to go at once, it would come back, and find the same.
            let is_stopping = worker.is_draining() || has_asked && worker.is_stopping();
            if !told && (is_stopping || state.poll_idle(context).is_ready()) {
                told = true;
                goodbye.arm(connection_config.timeouts.header);
                state.leave();
                // What is on its way is still served (RFC 9113 §6.8).
                streams.graceful_shutdown();
            }
            let polled = streams.poll_accept(context);
            if polled.is_ready() || !worker.is_evicted(&state) {
                return polled;
            }
            // There is no stream, and a client that begins one meanwhile is told that nobody has looked at it (RFC 9113
            // §6.8). A client that does not take even this is not waited for.
            streams.abrupt_shutdown(Reason::NO_ERROR);
            let _ = streams.poll_accept(context);
            Poll::Ready(None)
        });
        let Some(accepted) = accepted.await else {
            return Ok(());
        };
        let (request, mut respond) = accepted?;
        has_asked = true;
        if is_late {
            // It did not cross our goodbye on its way; its client knows now that nothing of it was looked at.
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        // Boxed, because tasks are moved when they begin and end: 3 % of the instructions of an exchange.
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
        // As hyper answers over HTTP/1.
        let mut answer = Response::new(());
        *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        answer
            .headers_mut()
            .insert(header::DATE, worker.gate.date());
        // An error means that the stream is gone.
        let _ = respond.send_response(answer, true);
        return;
    }
    let is_head = request.method() == Method::HEAD;
    let mut expects = request
        .headers()
        .get(header::EXPECT)
        .is_some_and(|expected| expected == "100-continue");
    let rest = DetachedBody::default();
    let request = request
        .map(|body| IncomingBody::over_http2_detachable(body, connection.state(), rest.clone()));
    let mut handling = pin!(worker.gate.handle(&connection, request));
    let answer = poll_fn(|context| match handling.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending => {
            if expects && rest.poll_read_started(context).is_ready() {
                expects = false;
                let mut go_on = Response::new(());
                *go_on.status_mut() = StatusCode::CONTINUE;
                // An error means that the stream is gone.
                let _ = respond.send_informational(go_on);
            }
            // The client wants no answer any more: to drop what is under way cancels it upstream as well.
            respond.poll_reset(context).map(|_| None)
        }
    });
    let Some(answer) = answer.await else { return };
    let (mut head, body) = answer.into_parts();
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
        // The record of the request tells how far it came.
        let _ = send_body(
            body,
            &mut stream,
            IdleTimeout::new(&worker.ticker, connection_config.timeouts.write),
        )
        .await;
    } else {
        drop(body);
    }
    // Some clients that are still sending take an answer together with a reset for a broken stream.
    let _ = tokio::time::timeout(UNREAD_TIMEOUT, rest.discard()).await;
}

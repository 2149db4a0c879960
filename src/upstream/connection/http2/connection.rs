//! A connection whose streams exchanges share.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;

use crate::clock::Ticker;
use crate::telemetry::metrics::Gauge;
use crate::transport::{ConnectionState, ConnectionTimeouts, Stream};
use crate::upstream::connection::socket::with_timeouts;

/// The maximum number of streams per connection, even if the upstream allows more. Most servers
/// allow 100. Above that, more connections work better than more streams.
const MAX_STREAMS: usize = 100;
/// The maximum memory of a response body before the client reads it. The window of the connection is
/// the sum for all its streams, so clients that do not read cannot block the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MAX_STREAMS as u32;
/// The maximum memory of a request body before the upstream reads it.
const SEND_BUFFER: usize = 64 * 1024;
/// The maximum memory overhead of small DATA frames: full windows of 20-byte messages. Clients that do
/// not read must not end the connection that others share.
const SMALL_FRAME_BUDGET: usize = 12 * CONNECTION_WINDOW as usize;
/// Maximum size of a decompressed response head.
const MAX_HEADER_LIST: u32 = 128 * 1024;

/// A connection that exchanges share.
pub(in crate::upstream) struct Http2Connection {
    sender: SendRequest<Bytes>,
    state: Rc<ConnectionState>,
    streams: Cell<usize>,
    is_closing: Cell<bool>,
    /// Whether an exchange has found it broken.
    is_known_broken: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// One of the streams that a connection may have at a time, until this is dropped.
pub(in crate::upstream) struct StreamSlot {
    connection: Rc<Http2Connection>,
    ticker: Rc<Ticker>,
}

/// Starts HTTP/2 on `stream`: where that is plain TCP, by prior knowledge (RFC 9113 §3.3). The
/// connection counts in `open` from then on.
///
/// # Errors
/// When the upstream does not speak HTTP/2.
pub(in crate::upstream) async fn connect(
    stream: Stream,
    timeouts: ConnectionTimeouts,
    ticker: &Rc<Ticker>,
    open: &Gauge,
) -> io::Result<Rc<Http2Connection>> {
    let (stream, state) = with_timeouts(stream, timeouts, ticker);
    let (sender, mut driver) = h2::client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .data_frame_budget(SMALL_FRAME_BUDGET)
        .handshake(stream.with_http2_server())
        .await
        .map_err(io::Error::other)?;
    // The upstream's SETTINGS come first (RFC 9113 §3.4), with the number of streams it allows.
    poll_fn(|context| match pin!(&mut driver).poll(context) {
        Poll::Ready(Ok(())) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        Poll::Ready(Err(error)) => Poll::Ready(Err(not_http2(error))),
        Poll::Pending if state.bytes_read() > 0 => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let connection = Rc::new(Http2Connection {
        sender,
        state,
        streams: Cell::new(0),
        is_closing: Cell::new(false),
        is_known_broken: Cell::new(false),
        idle_since: Cell::new(ticker.now()),
    });
    // Weak: the driver ends when the pool and the last exchange drop the connection.
    let driven = Rc::downgrade(&connection);
    let is_open = open.enter();
    tokio::task::spawn_local(async move {
        // The exchanges that an error breaks get it themselves.
        let _ = driver.await;
        drop(is_open);
        if let Some(connection) = driven.upgrade() {
            connection.close();
        }
    });
    Ok(connection)
}

impl Http2Connection {
    /// Takes no more exchanges. Those in flight may end.
    fn close(&self) {
        self.is_closing.set(true);
    }

    pub(in crate::upstream) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    /// Whether it has had no exchange for `time`.
    pub(in crate::upstream) fn is_idle_for(&self, time: Duration, now: Instant) -> bool {
        self.streams.get() == 0 && now.duration_since(self.idle_since.get()) >= time
    }

    /// A slot, where one is free.
    pub(in crate::upstream) fn take_slot(
        self: &Rc<Self>,
        ticker: &Rc<Ticker>,
    ) -> Option<StreamSlot> {
        if !self.has_free_slot() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        Some(StreamSlot {
            connection: Rc::clone(self),
            ticker: Rc::clone(ticker),
        })
    }

    fn has_free_slot(&self) -> bool {
        let allowed = self.sender.current_max_send_streams().clamp(1, MAX_STREAMS);
        !self.is_closing() && self.streams.get() < allowed && self.accepts_streams()
    }

    // The driver of a connection with a GOAWAY runs on until its last response has ended.
    fn accepts_streams(&self) -> bool {
        let ready = self
            .sender
            .clone()
            .poll_ready(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(Err(_)) = ready {
            self.close();
        }
        !self.is_closing()
    }
}

impl StreamSlot {
    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.connection.sender.clone()
    }

    /// Whether nothing at all arrived on this connection for `time`.
    pub(super) fn is_silent_for(&self, time: Duration) -> bool {
        let last_read = self.connection.state.last_read();
        last_read.is_none_or(|last_read| self.ticker.now().duration_since(last_read) >= time)
    }

    /// What the connection waits for.
    pub(super) fn connection_state(&self) -> &Rc<ConnectionState> {
        &self.connection.state
    }

    /// Whether an error of an exchange shows that the endpoint serves badly.
    ///
    /// Not if it refused the stream, closes the connection in order, or objects to what clients do on
    /// it, such as to cancel many requests. A broken connection shows it once, however many exchanges
    /// it carried. With `has_call_deadline`, the endpoint may have reset the stream at that deadline,
    /// which its client chose.
    pub(super) fn blames_endpoint(&self, error: &h2::Error, has_call_deadline: bool) -> bool {
        match error.reason() {
            Some(Reason::REFUSED_STREAM | Reason::ENHANCE_YOUR_CALM) => false,
            Some(Reason::NO_ERROR) if error.is_go_away() => false,
            Some(_) if error.is_reset() => !has_call_deadline,
            Some(_) | None => {
                let is_broken = error.is_io() || error.is_go_away();
                is_broken && !self.connection.is_known_broken.replace(true)
            }
        }
    }

    /// The connection takes no more exchanges.
    pub(super) fn close_connection(&self) {
        self.connection.close();
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let streams = &self.connection.streams;
        streams.set(streams.get() - 1);
        self.connection.idle_since.set(self.ticker.now());
    }
}

fn not_http2(error: h2::Error) -> io::Error {
    io::Error::other(format!(
        "expected HTTP/2 (protocol = \"http2\"), but found something else: {error}"
    ))
}

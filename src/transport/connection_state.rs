//! What a connection waits for, and for how long.
//!
//! 1. Between two requests the peer may be silent for the keep-alive timeout.
//! 2. A request head must arrive within the header timeout, from its first byte to its last.
//! 3. During an exchange, the reader of the body has its own timeout; see
//!    [`ConnectionState::begin_exchange`].
//! 4. Over HTTP/2 these rules hold for all exchanges of the connection together. A head extends
//!    from the first frame of its field block to the last. A peer that is silent for too long gets
//!    a GOAWAY, and has the header timeout to close. What it sends besides requests is counted; see
//!    [`frame_reader`](super::frame_reader).
//! 5. A connection without a request in flight may be evicted; see [`ConnectionState::evict`].

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::StreamId;

use super::frame_reader::{FrameBudget, FrameReader};
use crate::clock::{Deadline, TICK, Ticker};

/// A connection with more malformed messages than this is closed.
const MAX_MALFORMED: usize = 100;

/// The timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// For the first byte of the next request.
    pub keep_alive: Duration,
    /// From the first byte of a request's head to its end.
    pub header: Duration,
    /// Between two writes of at least one byte.
    pub write: Duration,
}

/// What a connection waits for. The connection and the task that serves it share this.
#[derive(Default)]
pub struct ConnectionState {
    phase: Cell<Phase>,
    exchanges: Cell<usize>,
    /// Exchanges whose response has ended, and whose request has not.
    uploads: Cell<usize>,
    /// A client that speaks HTTP/2, which has several exchanges at once.
    is_http2_client: Cell<bool>,
    has_goaway: Cell<bool>,
    /// The peer has not read everything that was written.
    is_write_blocked: Cell<bool>,
    is_evicted: Cell<bool>,
    bytes_read: Cell<u64>,
    last_read: Cell<Option<Instant>>,
    fragment: Cell<Option<usize>>,
    /// HTTP/2 streams with a malformed message.
    malformed: RefCell<Vec<u32>>,
    /// Whether the end of the connection delimits the response in flight.
    is_delimited_by_close: Cell<bool>,
    frame_budget: FrameBudget,
    read_timeout: OnceCell<ReadTimeout>,
}

/// An exchange; it ends when this is dropped.
pub struct Exchange {
    connection: Rc<ConnectionState>,
    /// Whether only the upload is left of it.
    is_upload: bool,
}

/// The deadline for the peer to send something.
struct ReadTimeout {
    deadline: Deadline,
    timeouts: ConnectionTimeouts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Idle,
    Head,
    Exchange,
    /// As `Idle`, after a GOAWAY was sent.
    GoingAway,
}

impl ConnectionState {
    /// The state of an accepted connection, on which the peer sends first.
    #[must_use]
    pub fn idle() -> Rc<Self> {
        Rc::default()
    }

    /// The state of a connection to an upstream. Each exchange has timeouts of its own.
    #[must_use]
    pub fn outbound() -> Rc<Self> {
        let state = Self::idle();
        state.set_phase(Phase::Exchange);
        state
    }

    /// Begins an exchange after its request head was read. The timeout of the body's reader holds
    /// from here on, and the keep-alive timeout after the exchange is dropped.
    #[must_use]
    pub fn begin_exchange(self: &Rc<Self>) -> Exchange {
        self.exchanges.set(self.exchanges.get() + 1);
        // The next head may have begun already.
        if !(self.is_http2_client.get() && self.phase.get() == Phase::Head) {
            self.set_phase(Phase::Exchange);
        }
        Exchange {
            connection: Rc::clone(self),
            is_upload: false,
        }
    }

    /// Ready when an HTTP/2 connection was idle for the keep-alive timeout. A GOAWAY is due then.
    pub fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.phase.get() == Phase::Idle && self.is_http2_client.get() {
            self.poll_timeout(context)
        } else {
            Poll::Pending
        }
    }

    /// Whether no request is in flight, and none has begun to arrive.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase.get() == Phase::Idle
    }

    /// Since when the connection has had no request in flight: since it was accepted, or since its
    /// last exchange ended. `None` while there is one, while its head arrives, or while the peer
    /// has not read the whole response.
    ///
    /// Computed from the deadline: requests do not pay for recording it.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        let ReadTimeout { deadline, timeouts } = self.read_timeout.get()?;
        let timeout = match self.phase.get() {
            Phase::Idle if !self.is_write_blocked.get() => timeouts.keep_alive,
            Phase::GoingAway => timeouts.header,
            Phase::Idle | Phase::Head | Phase::Exchange => return None,
        };
        deadline.due()?.checked_sub(timeout + TICK)
    }

    /// Marks the connection as evicted and wakes its task, which closes it unless a request has
    /// begun meanwhile.
    pub fn evict(&self) {
        self.is_evicted.set(true);
        self.wake();
    }

    // Wakes the task that serves the connection.
    fn wake(&self) {
        if let Some(read_timeout) = self.read_timeout.get() {
            read_timeout.deadline.wake();
        }
    }

    /// Whether the connection is evicted.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.is_evicted.get()
    }

    /// Cancels the eviction, because a request has begun.
    pub fn cancel_eviction(&self) {
        self.is_evicted.set(false);
    }

    /// Registers the task, so that [`evict`](Self::evict) wakes it while it waits for something
    /// else.
    pub fn watch_eviction(&self, context: &mut Context<'_>) {
        let _ = self.poll_timeout(context);
    }

    /// Whether the request of a response that has ended is still arriving.
    #[must_use]
    pub fn is_uploading(&self) -> bool {
        self.uploads.get() > 0
    }

    /// Whether a part of a request head has arrived.
    #[must_use]
    pub fn is_within_head(&self) -> bool {
        self.phase.get() == Phase::Head
    }

    /// Records that a GOAWAY was sent. After its last exchange, the peer has the header timeout to
    /// close the connection.
    pub fn record_goaway(&self) {
        self.has_goaway.set(true);
        if self.phase.get() == Phase::Idle {
            self.become_idle();
        }
    }

    fn end_exchange(&self) {
        self.exchanges.set(self.exchanges.get() - 1);
        if self.exchanges.get() == 0 && self.phase.get() == Phase::Exchange {
            self.become_idle();
        }
    }

    pub(super) fn become_idle(&self) {
        self.set_phase(if self.has_goaway.get() {
            Phase::GoingAway
        } else {
            Phase::Idle
        });
    }

    /// Enters or leaves the phase of a request head, as the frames say that were read.
    pub(super) fn follow_frames(&self, frames: &FrameReader) {
        match (frames.is_within_head(), self.phase.get()) {
            (true, Phase::Idle | Phase::Exchange | Phase::GoingAway) => self.set_phase(Phase::Head),
            (false, Phase::Head) if self.exchanges.get() > 0 => self.set_phase(Phase::Exchange),
            (false, Phase::Head) => self.become_idle(),
            (true, Phase::Head) | (false, Phase::Idle | Phase::Exchange | Phase::GoingAway) => {}
        }
    }

    // The deadline is armed here and not by reads: after an exchange ends, there is no read until
    // the peer sends something.
    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        let Some(ReadTimeout { deadline, timeouts }) = self.read_timeout.get() else {
            return;
        };
        match phase {
            Phase::Idle => deadline.arm(timeouts.keep_alive),
            Phase::Head | Phase::GoingAway => deadline.arm(timeouts.header),
            Phase::Exchange => deadline.disarm(),
        }
    }

    pub(super) fn poll_timeout(&self, context: &mut Context<'_>) -> Poll<()> {
        self.read_timeout
            .get()
            .map_or(Poll::Pending, |read_timeout| {
                read_timeout.deadline.poll_passed(context)
            })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn frame_budget(&self) -> &FrameBudget {
        &self.frame_budget
    }

    /// Starts the timeouts. A second call only arms the deadline again.
    pub fn start_timeouts(&self, timeouts: ConnectionTimeouts, ticker: &Rc<Ticker>) {
        self.read_timeout.get_or_init(|| ReadTimeout {
            deadline: ticker.deadline(),
            timeouts,
        });
        self.set_phase(self.phase.get());
    }

    /// The peer has begun a TLS handshake.
    pub fn begin_handshake(&self) {
        self.set_phase(Phase::Head);
    }

    /// The TLS handshake is complete.
    pub fn end_handshake(&self) {
        self.become_idle();
    }

    pub(super) fn set_unwritten(&self, is_write_blocked: bool) {
        self.is_write_blocked.set(is_write_blocked);
    }

    pub(super) fn begin_http2(&self) {
        self.is_http2_client.set(true);
        self.set_phase(Phase::Head);
    }

    pub(super) fn record_read(&self, bytes: usize, now: Instant) {
        self.bytes_read.set(self.bytes_read.get() + bytes as u64);
        self.last_read.set(Some(now));
    }

    /// The end of the connection delimits the response in flight (RFC 9112 §6.3). If the connection
    /// ends before the response is complete, it is reset.
    pub fn delimit_by_close(&self) {
        self.is_delimited_by_close.set(true);
    }

    /// Whether a normal close would look like the end of the response.
    #[must_use]
    pub fn is_delimited_by_close(&self) -> bool {
        self.is_delimited_by_close.get()
    }

    /// Records that a request line has a `#` after this many bytes.
    pub(super) fn record_fragment(&self, bytes_before: usize) {
        self.fragment.set(Some(bytes_before));
    }

    /// The number of bytes before the fragment of the request line, if it has one. Returned once.
    pub fn take_fragment(&self) -> Option<usize> {
        self.fragment.take()
    }

    /// Records streams with a malformed message that h2 accepts.
    pub(super) fn record_malformed(&self, streams: Vec<u32>) -> io::Result<()> {
        let mut malformed = self.malformed.borrow_mut();
        malformed.extend(streams);
        if malformed.len() > MAX_MALFORMED {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer has sent too many malformed messages",
            ));
        }
        Ok(())
    }

    /// Whether a message on a stream was found to be malformed (RFC 9113 §8.1.1).
    #[must_use]
    pub fn is_malformed(&self, stream: StreamId) -> bool {
        let malformed = self.malformed.borrow();
        !malformed.is_empty() && malformed.contains(&stream.as_u32())
    }

    /// The number of bytes that were read from the peer.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// When bytes were last read from the peer, within a tick.
    #[must_use]
    pub fn last_read(&self) -> Option<Instant> {
        self.last_read.get()
    }
}

impl Exchange {
    /// Records that this many bytes of a response were sent.
    pub fn record_sent(&self, bytes: usize) {
        self.connection.frame_budget.earn(bytes);
    }

    /// The whole response was handed to the connection.
    pub fn complete(&self) {
        self.connection.is_delimited_by_close.set(false);
    }

    /// The response has ended, and the request has not.
    pub fn continue_as_upload(&mut self) {
        self.is_upload = true;
        let uploads = &self.connection.uploads;
        uploads.set(uploads.get() + 1);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.is_upload {
            let uploads = &self.connection.uploads;
            uploads.set(uploads.get() - 1);
            // A drain may have waited for it.
            self.connection.wake();
        }
        self.connection.end_exchange();
    }
}

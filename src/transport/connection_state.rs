//! What a connection is waiting for, and for how long.
//!
//! 1. Between two requests the peer may be silent for the keep-alive time-out.
//! 2. From the first byte of a request's head to its last it has the header time-out, however it trickles.
//! 3. While an exchange is under way, reading is bounded by whoever reads the body; see [`ConnectionState::begin_exchange`].
//! 4. Where exchanges share the connection (HTTP/2), this holds for all of them together, and a head is what stands between
//!    the first frame of its fields and the last. A peer that is silent too long is told to go, and has the header
//!    time-out to do so. What it sends besides requests is counted; see [`frame_reader`](super::frame_reader).
//! 5. A connection with no request in flight may be asked to make room for another one; see [`ConnectionState::evict`].

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use h2::StreamId;

use super::frame_reader::{FrameBudget, FrameReader};
use crate::clock::{Deadline, TICK, Ticker};

/// A connection with more malformed messages is closed.
const MAX_MALFORMED: usize = 100;

/// How long a peer may keep a connection waiting.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// For the first byte of the next request.
    pub keep_alive: Duration,
    /// From the first byte of a request's head to its end.
    pub header: Duration,
    /// Between two writes that take at least one byte.
    pub write: Duration,
}

/// What the connection is waiting for. Shared between the connection and whoever serves it.
#[derive(Default)]
pub struct ConnectionState {
    phase: Cell<Phase>,
    exchanges: Cell<usize>,
    is_shared: Cell<bool>,
    is_leaving: Cell<bool>,
    /// The peer has not taken all that was written.
    is_unwritten: Cell<bool>,
    is_evicted: Cell<bool>,
    bytes_read: Cell<u64>,
    last_read: Cell<Option<Instant>>,
    fragment: Cell<Option<usize>>,
    /// Streams of HTTP/2 with a malformed message.
    malformed: RefCell<Vec<u32>>,
    /// A response is in flight whose end is that of the connection.
    is_delimited_by_close: Cell<bool>,
    frame_budget: FrameBudget,
    reading: OnceCell<Reading>,
}

/// An exchange that is under way until this is dropped.
pub struct Exchange(Rc<ConnectionState>);

/// What ends the waiting for a peer that does not send.
struct Reading {
    deadline: Deadline,
    timeouts: ConnectionTimeouts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Idle,
    Head,
    Exchange,
    /// As idle, but the peer was asked to go.
    Leaving,
}

impl ConnectionState {
    /// The state of a connection on which the peer is to speak first.
    #[must_use]
    pub fn idle() -> Rc<Self> {
        Rc::default()
    }

    /// The state of a connection on which we speak, and bound the answers ourselves.
    #[must_use]
    pub fn ours() -> Rc<Self> {
        let state = Self::idle();
        state.enter(Phase::Exchange);
        state
    }

    /// A request's head is complete: from here on its reader bounds the waiting. When the exchange is dropped, the peer
    /// may send its next request, or nothing for the keep-alive time-out.
    #[must_use]
    pub fn begin_exchange(self: &Rc<Self>) -> Exchange {
        self.exchanges.set(self.exchanges.get() + 1);
        // The head of the next one may have begun already.
        if !(self.is_shared.get() && self.phase.get() == Phase::Head) {
            self.enter(Phase::Exchange);
        }
        Exchange(Rc::clone(self))
    }

    /// Whether nothing was asked on a shared connection for the keep-alive time-out. The peer should be told to go then.
    pub fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.phase.get() == Phase::Idle && self.is_shared.get() {
            self.poll_time_out(context)
        } else {
            Poll::Pending
        }
    }

    /// Whether nothing was asked that is not answered, and nothing has begun to be asked.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phase.get() == Phase::Idle
    }

    /// Since when the connection has had no request in flight: since it was accepted, or since its last exchange ended.
    /// `None` while there is one, while its head arrives, or while the peer has not taken the whole response.
    ///
    /// It is read off the deadline that ends the waiting. Nothing is recorded for it when requests begin and end.
    #[must_use]
    pub fn idle_since(&self) -> Option<Instant> {
        let Reading { deadline, timeouts } = self.reading.get()?;
        let timeout = match self.phase.get() {
            Phase::Idle if !self.is_unwritten.get() => timeouts.keep_alive,
            Phase::Leaving => timeouts.header,
            Phase::Idle | Phase::Head | Phase::Exchange => return None,
        };
        deadline.due()?.checked_sub(timeout + TICK)
    }

    /// Asks whoever serves the connection to close it, unless a request has begun meanwhile. Its task is woken.
    pub fn evict(&self) {
        self.is_evicted.set(true);
        if let Some(reading) = self.reading.get() {
            reading.deadline.wake();
        }
    }

    /// Whether the connection is to make room for another one.
    #[must_use]
    pub fn is_evicted(&self) -> bool {
        self.is_evicted.get()
    }

    /// A request has begun on a connection that was to make room: it stays.
    pub fn stay(&self) {
        self.is_evicted.set(false);
    }

    /// Waits for the peer beside something else that is waited for: the task is woken by [`evict`](Self::evict).
    pub fn watch_eviction(&self, context: &mut Context<'_>) {
        let _ = self.poll_time_out(context);
    }

    /// Whether a request's head has come in part.
    #[must_use]
    pub fn is_within_head(&self) -> bool {
        self.phase.get() == Phase::Head
    }

    /// The peer was told to go. It has the header time-out to do so, from when all exchanges are over.
    pub fn leave(&self) {
        self.is_leaving.set(true);
        if self.phase.get() == Phase::Idle {
            self.rest();
        }
    }

    fn end_exchange(&self) {
        self.exchanges.set(self.exchanges.get() - 1);
        if self.exchanges.get() == 0 && self.phase.get() == Phase::Exchange {
            self.rest();
        }
    }

    pub(super) fn rest(&self) {
        self.enter(if self.is_leaving.get() {
            Phase::Leaving
        } else {
            Phase::Idle
        });
    }

    pub(super) fn read_frames(&self, frames: &FrameReader) {
        match (frames.is_within_head(), self.phase.get()) {
            (true, Phase::Idle | Phase::Exchange | Phase::Leaving) => self.enter(Phase::Head),
            (false, Phase::Head) if self.exchanges.get() > 0 => self.enter(Phase::Exchange),
            (false, Phase::Head) => self.rest(),
            (true, Phase::Head) | (false, Phase::Idle | Phase::Exchange | Phase::Leaving) => {}
        }
    }

    // The deadline is set here and not where the connection is read: nobody reads again when an exchange ends, as long as
    // the peer sends nothing.
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        let Some(Reading { deadline, timeouts }) = self.reading.get() else {
            return;
        };
        match phase {
            Phase::Idle => deadline.arm(timeouts.keep_alive),
            Phase::Head | Phase::Leaving => deadline.arm(timeouts.header),
            Phase::Exchange => deadline.disarm(),
        }
    }

    pub(super) fn poll_time_out(&self, context: &mut Context<'_>) -> Poll<()> {
        self.reading.get().map_or(Poll::Pending, |reading| {
            reading.deadline.poll_passed(context)
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn frame_budget(&self) -> &FrameBudget {
        &self.frame_budget
    }

    /// Begins to bound the waiting. One state watches one connection; what bounded it before still does.
    pub fn watch(&self, timeouts: ConnectionTimeouts, ticker: &Rc<Ticker>) {
        self.reading.get_or_init(|| Reading {
            deadline: ticker.deadline(),
            timeouts,
        });
        self.enter(self.phase.get());
    }

    /// The peer has begun what comes before its first request, such as a TLS handshake.
    pub fn begin_handshake(&self) {
        self.enter(Phase::Head);
    }

    /// It has ended that.
    pub fn end_handshake(&self) {
        self.rest();
    }

    pub(super) fn set_unwritten(&self, is_unwritten: bool) {
        self.is_unwritten.set(is_unwritten);
    }

    pub(super) fn share(&self) {
        self.is_shared.set(true);
        self.enter(Phase::Head);
    }

    pub(super) fn count(&self, bytes: usize, now: Instant) {
        self.bytes_read.set(self.bytes_read.get() + bytes as u64);
        self.last_read.set(Some(now));
    }

    /// The response in flight ends with the connection (RFC 9112 §6.3): until all of it has been handed over, the connection
    /// breaks off where it ends.
    pub fn delimit_by_close(&self) {
        self.is_delimited_by_close.set(true);
    }

    /// Whether the end of the connection would look like that of the response.
    #[must_use]
    pub fn is_delimited_by_close(&self) -> bool {
        self.is_delimited_by_close.get()
    }

    /// A request line has a `#` behind so many bytes.
    pub(super) fn found_fragment(&self, bytes_before: usize) {
        self.fragment.set(Some(bytes_before));
    }

    /// How many bytes of the request line stand before a fragment, where it has one; known once.
    pub fn take_fragment(&self) -> Option<usize> {
        self.fragment.take()
    }

    /// Messages on these streams are malformed, although the protocol's library takes them.
    pub(super) fn found_malformed(&self, streams: Vec<u32>) -> io::Result<()> {
        let mut malformed = self.malformed.borrow_mut();
        malformed.extend(streams);
        if malformed.len() > MAX_MALFORMED {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer sends one malformed message after another",
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

    /// Bytes that the peer has sent so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }

    /// When the peer last sent something, give or take a tick.
    #[must_use]
    pub fn last_read(&self) -> Option<Instant> {
        self.last_read.get()
    }
}

impl Exchange {
    /// The peer was given so many bytes of an answer.
    pub fn took(&self, bytes: usize) {
        self.0.frame_budget.earn(bytes);
    }

    /// All of the response has been handed over.
    pub fn complete(&self) {
        self.0.is_delimited_by_close.set(false);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.end_exchange();
    }
}

//! A connection whose peer may not keep it waiting without end.
//!
//! 1. Between two requests the peer may be silent for the keep-alive time-out.
//! 2. From the first byte of a request's head to its last it has the header time-out, however it trickles.
//! 3. While an exchange is under way, reading is bounded by whoever reads the body; see [`Pace::begin_exchange`].
//! 4. A write that makes no progress for the write time-out ends the connection, whatever the phase.
//! 5. Where exchanges share the connection (HTTP/2), the first three hold for all of them together, and a head is what
//!    stands between the first frame of its fields and the last. A peer that is silent too long is told to go, and has
//!    the header time-out to do so. What it sends besides requests is counted; see [`frames`](super::frames).

use std::cell::{Cell, OnceCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Allowance, Frames};
use super::interim::Interim;
use crate::clock::{Deadline, Ticker};

/// How long a peer may keep a connection waiting.
#[derive(Clone, Copy, Debug)]
pub struct PaceLimits {
    /// For the first byte of the next request.
    pub keep_alive: Duration,
    /// From the first byte of a request's head to its end.
    pub header: Duration,
    /// Between two writes that take at least one byte.
    pub write: Duration,
}

/// What the connection is waiting for. Shared between the connection and whoever serves it.
#[derive(Default)]
pub struct Pace {
    phase: Cell<Phase>,
    exchanges: Cell<usize>,
    is_shared: Cell<bool>,
    is_leaving: Cell<bool>,
    bytes_read: Cell<u64>,
    allowance: Allowance,
    reading: OnceCell<Reading>,
}

/// An exchange that is under way until this is dropped.
pub struct Exchange(Rc<Pace>);

/// What ends the waiting for a peer that does not send.
struct Reading {
    deadline: Deadline,
    limits: PaceLimits,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Head,
    Exchange,
    /// As idle, but the peer was asked to go.
    Leaving,
}

impl Pace {
    /// The pace of a connection on which the peer is to speak first.
    #[must_use]
    pub fn idle() -> Rc<Self> {
        Rc::default()
    }

    /// The pace of a connection on which we speak, and bound the answers ourselves.
    #[must_use]
    pub fn ours() -> Rc<Self> {
        let pace = Self::idle();
        pace.enter(Phase::Exchange);
        pace
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

    fn rest(&self) {
        self.enter(if self.is_leaving.get() { Phase::Leaving } else { Phase::Idle });
    }

    fn read_frames(&self, frames: &Frames) {
        match (frames.is_within_head(), self.phase.get()) {
            (true, Phase::Idle | Phase::Exchange | Phase::Leaving) => self.enter(Phase::Head),
            (false, Phase::Head) if self.exchanges.get() > 0 => self.enter(Phase::Exchange),
            (false, Phase::Head) => self.rest(),
            (true, Phase::Head) | (false, Phase::Idle | Phase::Exchange | Phase::Leaving) => {}
        }
    }

    // The deadline is set here and not where the connection is read: nobody reads again when an exchange ends, as long as
    // the peer sends nothing.
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        let Some(Reading { deadline, limits }) = self.reading.get() else { return };
        match phase {
            Phase::Idle => deadline.arm(limits.keep_alive),
            Phase::Head | Phase::Leaving => deadline.arm(limits.header),
            Phase::Exchange => deadline.disarm(),
        }
    }

    fn poll_time_out(&self, context: &mut Context<'_>) -> Poll<()> {
        self.reading.get().map_or(Poll::Pending, |reading| reading.deadline.poll_passed(context))
    }

    /// Bytes that the peer has sent so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.get()
    }
}

impl Exchange {
    /// The peer was given so many bytes of an answer.
    pub fn gave(&self, bytes: usize) {
        self.0.allowance.earn(bytes);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.end_exchange();
    }
}

/// A connection that ends with [`io::ErrorKind::TimedOut`] when its peer keeps it waiting beyond its [`PaceLimits`].
pub struct Paced<S> {
    stream: S,
    pace: Rc<Pace>,
    limits: PaceLimits,
    writing: Deadline,
    write_stalled: bool,
    /// What is written past whoever owns this connection, if anything may be.
    interim: Option<Interim>,
    /// What was read, and given back to be read again.
    unread: Bytes,
    /// Where exchanges share the connection.
    frames: Option<Frames>,
}

impl<S> Paced<S> {
    /// Watches `stream` at the given pace.
    pub fn new(stream: S, pace: Rc<Pace>, limits: PaceLimits, ticker: &Rc<Ticker>) -> Self {
        let (reading, writing) = (Reading { deadline: ticker.deadline(), limits }, ticker.deadline());
        // One pace watches one connection.
        let _ = pace.reading.set(reading);
        pace.enter(pace.phase.get());
        let (interim, unread, frames) = (None, Bytes::new(), None);
        Self { stream, pace, limits, writing, write_stalled: false, interim, unread, frames }
    }

    /// Gives back what was read, to be read again first.
    pub fn unread(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    /// From the next byte on it is HTTP/2 that the client speaks, its preface first.
    #[must_use]
    pub fn sharing_exchanges(self) -> Self {
        self.pace.is_shared.set(true);
        self.pace.enter(Phase::Head);
        Self { frames: Some(Frames::after_preface()), ..self }
    }

    /// Lets interim answers be written as well.
    #[must_use]
    pub fn with_interim(self, interim: Interim) -> Self {
        interim.flushed();
        Self { interim: Some(interim), ..self }
    }

    fn poll_read_time_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let timed_out = self.pace.poll_time_out(context);
        // Whoever serves a shared connection asks the peer to go first.
        if self.frames.is_some() && self.pace.phase.get() == Phase::Idle {
            return Poll::Pending;
        }
        ready!(timed_out);
        // Who has not taken the whole answer yet does not keep anybody waiting for a request.
        if self.write_stalled && self.pace.phase.get() == Phase::Idle {
            return Poll::Pending;
        }
        Poll::Ready(Err(time_out("the peer sent nothing in time")))
    }

    fn poll_write_time_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.write_stalled {
            self.write_stalled = true;
            self.writing.arm(self.limits.write);
        }
        ready!(self.writing.poll_passed(context));
        Poll::Ready(Err(time_out("the peer took nothing in time")))
    }

    fn wrote(&mut self) {
        if let Some(interim) = &self.interim {
            interim.written();
        }
        if self.write_stalled {
            self.write_stalled = false;
            self.writing.disarm();
        }
        // The last of an answer may be written long after its end was handed over.
        if self.pace.phase.get() == Phase::Idle && self.frames.is_none() {
            self.pace.rest();
        }
    }
}

impl<S: AsyncWrite + Unpin> Paced<S> {
    fn write_interim(&mut self, context: &mut Context<'_>) {
        let Some(interim) = &self.interim else { return };
        let mut stream = Pin::new(&mut self.stream);
        // An error will be met again by whoever writes next.
        interim.write_with(|bytes| match stream.as_mut().poll_write(context, bytes) {
            Poll::Ready(written) => written.ok(),
            Poll::Pending => None,
        });
        let _ = stream.poll_flush(context);
    }

    // Whether the way is free for another write.
    fn poll_interim_written(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.interim.as_ref().is_some_and(Interim::goes_first) {
            self.write_interim(context);
            if self.interim.as_ref().is_some_and(Interim::goes_first) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> Paced<S> {
    fn poll_read_anew(&mut self, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        }
        buf.put_slice(&self.unread.split_to(self.unread.len().min(buf.remaining())));
        Poll::Ready(Ok(()))
    }
}

fn time_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Paced<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let _ = this.poll_interim_written(context);
        let before = buf.filled().len();
        let Poll::Ready(outcome) = this.poll_read_anew(context, buf) else {
            if let Some(interim) = this.interim.as_ref().filter(|_| this.pace.phase.get() == Phase::Exchange) {
                interim.register(context);
            }
            return this.poll_read_time_out(context);
        };
        let read = buf.filled().len() - before;
        this.pace.bytes_read.set(this.pace.bytes_read.get() + read as u64);
        if let Some(frames) = &mut this.frames {
            let counted = frames.read(&buf.filled()[before..], &this.pace.allowance, this.writing.now());
            counted.map_err(io::Error::other)?;
            this.pace.read_frames(frames);
        } else if this.pace.phase.get() == Phase::Idle {
            this.pace.enter(Phase::Head);
        }
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.poll_interim_written(context).is_pending() {
            return this.poll_write_time_out(context);
        }
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_write(context, buf) else {
            return this.poll_write_time_out(context);
        };
        this.wrote();
        Poll::Ready(outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.poll_interim_written(context).is_pending() {
            return this.poll_write_time_out(context);
        }
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_write_vectored(context, bufs) else {
            return this.poll_write_time_out(context);
        };
        this.wrote();
        Poll::Ready(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let Poll::Ready(outcome) = Pin::new(&mut this.stream).poll_flush(context) else {
            return this.poll_write_time_out(context).map_ok(|_| ());
        };
        if let Some(interim) = &this.interim {
            interim.flushed();
        }
        // Plain TCP flushes at once whatever was written before, so only a write may end the stall.
        Poll::Ready(outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

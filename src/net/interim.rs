//! Interim answers (1xx) on their way to a client (RFC 9110 §15.2).
//!
//! hyper's server has no way to send one, so they go past it, in front of whatever it writes next. That is safe only
//! between two answers: when all that it wrote before has been flushed. While an earlier answer is still on its way, one
//! is dropped; a client cannot tell it from one that was never sent.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use http::{HeaderMap, StatusCode};

/// More than this is no early hint, but an attempt to fill our memory.
const MAX_WAITING_BYTES: usize = 16 * 1024;

/// Interim answers that wait to be written to one client. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Interim(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether something waits: all that is looked at where nothing does.
    is_waiting: AtomicBool,
    /// Whether all that was written before has been flushed.
    is_flushed: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Whether some of the first bytes are on their way already.
    has_begun: bool,
    waker: Option<Waker>,
}

impl Interim {
    /// Has an interim answer written to the client, soon.
    pub fn tell(&self, status: StatusCode, headers: &HeaderMap) {
        let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default());
        let mut waiting = self.waiting();
        for (name, value) in headers {
            // Writing to a String cannot fail, and what is no text is no hint.
            let _ = value.to_str().map(|value| write!(head, "{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        if waiting.bytes.len() + head.len() > MAX_WAITING_BYTES {
            return;
        }
        waiting.bytes.extend_from_slice(head.as_bytes());
        self.0.is_waiting.store(true, Ordering::Release);
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// The exchange has its final answer: drops what cannot be written in front of it.
    pub fn settle(&self) {
        if self.is_waiting() && !self.may_be_written() {
            self.waiting().bytes.clear();
            self.0.is_waiting.store(false, Ordering::Release);
        }
    }

    /// Whether something waits that has to be written before anything else.
    pub(super) fn goes_first(&self) -> bool {
        self.is_waiting() && self.may_be_written()
    }

    pub(super) fn flushed(&self) {
        self.0.is_flushed.store(true, Ordering::Relaxed);
    }

    pub(super) fn written(&self) {
        self.0.is_flushed.store(false, Ordering::Relaxed);
    }

    fn may_be_written(&self) -> bool {
        self.0.is_flushed.load(Ordering::Relaxed) || self.waiting().has_begun
    }

    fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Acquire)
    }

    /// Has the task woken when something comes.
    pub(super) fn register(&self, context: &Context<'_>) {
        let mut waiting = self.waiting();
        match &mut waiting.waker {
            Some(waker) => waker.clone_from(context.waker()),
            None => waiting.waker = Some(context.waker().clone()),
        }
    }

    /// Writes as much as `write` takes; what is left waits on.
    pub(super) fn write_with(&self, mut write: impl FnMut(&[u8]) -> Option<usize>) {
        let mut waiting = self.waiting();
        while !waiting.bytes.is_empty() {
            let Some(written) = write(&waiting.bytes).filter(|&written| written > 0) else { return };
            waiting.bytes.drain(..written);
            waiting.has_begun = !waiting.bytes.is_empty();
        }
        self.0.is_waiting.store(false, Ordering::Release);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Bytes are added whole, so a panic elsewhere leaves nothing half-told.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

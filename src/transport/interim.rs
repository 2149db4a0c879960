//! Interim answers (1xx) on their way to a client (RFC 9110 §15.2).
//!
//! hyper's server has no way to send one, so they go past it, in front of whatever it writes next. That is safe only
//! between two answers: when all that it wrote before has been flushed. While an earlier answer is still on its way, one
//! is dropped; a client cannot tell it from one that was never sent.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;

use http::{HeaderMap, StatusCode};

/// More than this is no early hint, but an attempt to fill our memory.
const MAX_WAITING_BYTES: usize = 16 * 1024;

/// Interim answers that wait to be written to one client. Clones share them.
///
/// They are told by the task that serves the client, which flushes what it wrote whenever it waits for more: nobody has to
/// be woken to write them.
#[derive(Clone, Debug, Default)]
pub struct Interim(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether something waits: all that is looked at where nothing does.
    is_waiting: Cell<bool>,
    /// Whether all that was written before has been flushed.
    is_flushed: Cell<bool>,
    /// Whether some of the first bytes that wait are on their way already.
    has_begun: Cell<bool>,
    bytes: RefCell<Vec<u8>>,
}

impl Interim {
    /// Has an interim answer written to the client, soon.
    pub fn tell(&self, status: StatusCode, headers: &HeaderMap) {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        );
        for (name, value) in headers {
            // Writing to a String cannot fail, and what is no text is no hint.
            let _ = value
                .to_str()
                .map(|value| write!(head, "{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = self.0.bytes.borrow_mut();
        if bytes.len() + head.len() > MAX_WAITING_BYTES {
            return;
        }
        bytes.extend_from_slice(head.as_bytes());
        self.0.is_waiting.set(true);
    }

    /// The exchange has its final answer: drops what cannot be written in front of it.
    pub fn settle(&self) {
        if self.0.is_waiting.get() && !self.may_be_written() {
            self.0.bytes.borrow_mut().clear();
            self.0.is_waiting.set(false);
        }
    }

    /// Whether something waits that has to be written before anything else.
    pub(super) fn has_priority(&self) -> bool {
        self.0.is_waiting.get() && self.may_be_written()
    }

    pub(super) fn flushed(&self) {
        self.0.is_flushed.set(true);
    }

    pub(super) fn written(&self) {
        self.0.is_flushed.set(false);
    }

    fn may_be_written(&self) -> bool {
        self.0.is_flushed.get() || self.0.has_begun.get()
    }

    /// Writes as much as `write` takes; what is left waits on.
    pub(super) fn write_with(&self, mut write: impl FnMut(&[u8]) -> Option<usize>) {
        let mut bytes = self.0.bytes.borrow_mut();
        while !bytes.is_empty() {
            let Some(written) = write(&bytes).filter(|&written| written > 0) else {
                return;
            };
            bytes.drain(..written);
            self.0.has_begun.set(!bytes.is_empty());
        }
        self.0.is_waiting.set(false);
    }
}

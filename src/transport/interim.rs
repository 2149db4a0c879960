//! Interim responses (1xx) to a client of HTTP/1.1 (RFC 9110 §15.2).
//!
//! hyper's server cannot send them, so they are written to the connection in front of hyper's next
//! write. That is safe only between two responses, when everything that hyper wrote is flushed.
//! While an earlier response is not flushed, interim responses are dropped, as if the upstream had
//! sent none.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;

use http::{HeaderMap, StatusCode};

/// Maximum bytes in the queue. More than this is no early hint, but an attempt to exhaust memory.
const MAX_QUEUED_BYTES: usize = 16 * 1024;

/// The queue of interim responses to one client. Clones share it.
///
/// The task that serves the client fills the queue. It flushes its connection whenever it waits,
/// and the queue is written then, so no waker is needed.
#[derive(Clone, Debug, Default)]
pub struct Interim(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether `bytes` is not empty. Most connections read only this.
    is_queued: Cell<bool>,
    /// Whether everything that hyper wrote is flushed.
    is_flushed: Cell<bool>,
    /// Whether a part of the queue was written.
    is_partly_written: Cell<bool>,
    bytes: RefCell<Vec<u8>>,
}

impl Interim {
    /// Queues an interim response to the client.
    pub fn queue(&self, status: StatusCode, headers: &HeaderMap) {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\n",
            status.as_u16(),
            status.canonical_reason().unwrap_or_default()
        );
        for (name, value) in headers {
            // Writing to a String cannot fail. A value outside ASCII is left out.
            let _ = value
                .to_str()
                .map(|value| write!(head, "{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = self.0.bytes.borrow_mut();
        if bytes.len() + head.len() > MAX_QUEUED_BYTES {
            return;
        }
        bytes.extend_from_slice(head.as_bytes());
        self.0.is_queued.set(true);
    }

    /// Drops the queue, if it cannot be written before the final response, which comes next.
    pub fn discard_late(&self) {
        if self.0.is_queued.get() && !self.can_be_written() {
            self.0.bytes.borrow_mut().clear();
            self.0.is_queued.set(false);
        }
    }

    /// Whether the queue has to be written before anything else.
    pub(super) fn has_priority(&self) -> bool {
        self.0.is_queued.get() && self.can_be_written()
    }

    pub(super) fn record_flush(&self) {
        self.0.is_flushed.set(true);
    }

    pub(super) fn record_write(&self) {
        self.0.is_flushed.set(false);
    }

    fn can_be_written(&self) -> bool {
        self.0.is_flushed.get() || self.0.is_partly_written.get()
    }

    /// Writes as much as `write` accepts. The rest stays in the queue.
    pub(super) fn write_with(&self, mut write: impl FnMut(&[u8]) -> Option<usize>) {
        let mut bytes = self.0.bytes.borrow_mut();
        while !bytes.is_empty() {
            let Some(written) = write(&bytes).filter(|&written| written > 0) else {
                return;
            };
            bytes.drain(..written);
            self.0.is_partly_written.set(!bytes.is_empty());
        }
        self.0.is_queued.set(false);
    }
}

//! An HTTP/1.1 connection and its buffers.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::telemetry::metrics::GaugeGuard;
use crate::transport::Stream;

/// The minimum buffer space for a read. It fits most response heads with a short body.
const MIN_READ: usize = 4096;
/// The largest buffer of a request head that a connection keeps.
const MAX_KEPT_HEAD: usize = 4096;
/// The maximum buffer space for a read of a long body.
const MAX_READ: usize = 64 * 1024;

/// Enough of a response to know its status.
const STATUS_LINE: usize = "HTTP/1.1 408".len();

/// What arrived on an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum IdleStatus {
    /// Nothing: it can be used.
    Quiet,
    /// Its end, or a 408 that announces it.
    Closed,
    /// Bytes that belong to no request's response.
    Unsolicited,
}

impl IdleStatus {
    // A server may close an idle connection with a 408 (RFC 9110 §15.5.9).
    fn of_bytes(bytes: &[u8]) -> Self {
        let is_end = bytes.is_empty() || bytes.starts_with(b"HTTP/1.") && bytes.ends_with(b" 408");
        if is_end {
            Self::Closed
        } else {
            Self::Unsolicited
        }
    }
}

/// A connection to an upstream. Dropping it closes it.
pub(in crate::upstream) struct Http1Connection(Box<Inner>);

/// Boxed because each exchange moves the connection several times.
struct Inner {
    /// Shared with the task that sends the rest of a request while its response is read.
    stream: Rc<RefCell<Stream>>,
    /// Bytes that were read and not consumed.
    unread: BytesMut,
    /// The buffer that request heads are written to, reused by the next exchange.
    head: Vec<u8>,
    open: GaugeGuard,
}

impl Http1Connection {
    /// A new connection; `open` is dropped when it closes.
    pub(in crate::upstream) fn new(stream: Stream, open: GaugeGuard) -> Self {
        Self(Box::new(Inner {
            stream: Rc::new(RefCell::new(stream)),
            unread: BytesMut::new(),
            head: Vec::new(),
            open,
        }))
    }

    /// What arrived while it was idle, as far as the reactor knows. No system call is made.
    pub(in crate::upstream) fn idle_status(&self) -> IdleStatus {
        let mut bytes = [0; STATUS_LINE];
        let read = self.0.stream.borrow_mut().read_arrived(&mut bytes);
        match read {
            _ if !self.0.unread.is_empty() => IdleStatus::Unsolicited,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => IdleStatus::Quiet,
            Ok(read) => IdleStatus::of_bytes(&bytes[..read]),
            Err(_) => IdleStatus::Closed,
        }
    }

    /// What arrived while it was idle, as far as the kernel knows. Unless that is nothing, the
    /// connection cannot be used any more: the bytes were read and dropped.
    pub(in crate::upstream) fn idle_status_now(&self) -> IdleStatus {
        let mut bytes = [0; STATUS_LINE];
        let read = match self.idle_status() {
            IdleStatus::Quiet => self.0.stream.borrow().read_raw(&mut bytes),
            status @ (IdleStatus::Unsolicited | IdleStatus::Closed) => return status,
        };
        match (read, &*self.0.stream.borrow()) {
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => IdleStatus::Quiet,
            (Ok(read), Stream::Plain(_)) => IdleStatus::of_bytes(&bytes[..read]),
            // TLS records that nobody decrypted: data, a close alert, or a session ticket.
            (Ok(_), Stream::Tls(_)) | (Err(_), _) => IdleStatus::Closed,
        }
    }

    /// Whether bytes were read behind the end of the response.
    pub(in crate::upstream) fn has_unread_bytes(&self) -> bool {
        !self.0.unread.is_empty()
    }

    /// Closes it between two exchanges, over TLS with a close alert (RFC 8446 §6.1) if that can be
    /// sent at once.
    pub(in crate::upstream) fn close(self) {
        if let stream @ Stream::Tls(_) = &mut *self.0.stream.borrow_mut() {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    pub(super) fn stream(&self) -> &Rc<RefCell<Stream>> {
        &self.0.stream
    }

    /// Bytes that were read and not consumed.
    pub(in crate::upstream) fn unread(&mut self) -> &mut BytesMut {
        &mut self.0.unread
    }

    /// Reads more bytes, with room for those that are `expected`. Returns their number: zero at the
    /// end of the connection.
    pub(in crate::upstream) fn poll_read(
        &mut self,
        expected: u64,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let expected = usize::try_from(expected).unwrap_or(MAX_READ).min(MAX_READ);
        // One byte more: after a read that fills its buffer, tokio does not know that the socket is
        // empty, and the next read would be a system call for nothing.
        self.0.unread.reserve(if expected < MIN_READ {
            MIN_READ
        } else {
            expected + 1
        });
        pin!(self.0.stream.borrow_mut().read_buf(&mut self.0.unread)).poll(context)
    }

    /// The buffer to write the request head to.
    pub(super) fn take_head_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0.head)
    }

    /// Keeps the buffer for the next exchange, unless it has grown large.
    pub(super) fn put_head_buffer(&mut self, mut head: Vec<u8>) {
        if head.capacity() <= MAX_KEPT_HEAD {
            head.clear();
            self.0.head = head;
        }
    }

    /// The stream, the bytes that were read from it, and the guard of the open connection. `None`
    /// while a task still sends the rest of a request.
    pub(super) fn into_parts(self) -> Option<(Stream, Bytes, GaugeGuard)> {
        let inner = *self.0;
        let stream = Rc::into_inner(inner.stream)?.into_inner();
        Some((stream, inner.unread.freeze(), inner.open))
    }
}

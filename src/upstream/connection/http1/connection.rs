//! A connection on which HTTP/1.1 is spoken.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::task::coop::unconstrained;

use crate::telemetry::numbers::GaugeGuard;
use crate::transport::Stream;

/// Most heads fit into this, with a short content, and are read in one go.
const USUAL_READ: usize = 4096;
/// How much is read at once where much is to come.
const LARGEST_READ: usize = 64 * 1024;

/// As much of a response as tells its status.
const STATUS_LINE: usize = "HTTP/1.1 408".len();

/// What came on an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum X {
    Quiet,
    /// The target has closed it, or is about to.
    Closed,
    /// Something that answers no request.
    Unsolicited,
}

impl X {
    // A server that closes an idle connection may say so with a 408 (RFC 9110 §15.5.9).
    fn in_bytes(bytes: &[u8]) -> Self {
        let is_goodbye =
            bytes.is_empty() || bytes.starts_with(b"HTTP/1.") && bytes.ends_with(b" 408");
        if is_goodbye {
            Self::Closed
        } else {
            Self::Unsolicited
        }
    }
}

/// A connection to a target; it is closed when this is dropped.
pub(in crate::upstream) struct Http1Connection(Box<Inner>);

/// In a box of its own: it goes from hand to hand with each exchange.
struct Inner {
    /// Shared with the task that sends what is left of a request while its answer is read.
    stream: Rc<RefCell<Stream>>,
    /// What was read, and not yet taken.
    read: BytesMut,
    /// Where heads are written before they are sent, kept for the next one.
    head: Vec<u8>,
    counted: GaugeGuard,
}

impl Http1Connection {
    pub(in crate::upstream) fn new(stream: Stream, counted: GaugeGuard) -> Self {
        let (read, head) = (BytesMut::new(), Vec::new());
        Self(Box::new(Inner {
            stream: Rc::new(RefCell::new(stream)),
            read,
            head,
            counted,
        }))
    }

    /// What came while it was idle, as far as is known without asking the system.
    pub(in crate::upstream) fn idle_status(&self) -> X {
        let mut bytes = [0; STATUS_LINE];
        let mut read = ReadBuf::new(&mut bytes);
        let mut stream = self.0.stream.borrow_mut();
        let reading = poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut read));
        // A task that has done much is told to wait, whatever there is to read.
        let reading = pin!(unconstrained(reading));
        match reading.poll(&mut Context::from_waker(Waker::noop())) {
            _ if !self.0.read.is_empty() => X::Unsolicited,
            Poll::Pending => X::Quiet,
            Poll::Ready(Ok(())) => X::in_bytes(read.filled()),
            Poll::Ready(Err(_)) => X::Closed,
        }
    }

    /// What came while it was idle: the system is asked as well. After anything but nothing the connection is of no use.
    pub(in crate::upstream) fn idle_status_now(&self) -> X {
        let mut bytes = [0; STATUS_LINE];
        let read = match self.idle_status() {
            X::Quiet => self.0.stream.borrow().read_at_once(&mut bytes),
            idle_status @ (X::Unsolicited | X::Closed) => return idle_status,
        };
        match (read, &*self.0.stream.borrow()) {
            (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => X::Quiet,
            (Ok(read), Stream::Plain(_)) => X::in_bytes(&bytes[..read]),
            // Nobody knows what it is: it may be of the session only.
            (Ok(_), Stream::Tls(_)) | (Err(_), _) => X::Closed,
        }
    }

    /// Whether nothing was read that stands behind the answer.
    pub(in crate::upstream) fn is_read_to_its_end(&self) -> bool {
        self.0.read.is_empty()
    }

    /// Closes it between two exchanges; a peer that speaks TLS is told, if that can be done at once (RFC 8446 §6.1).
    pub(in crate::upstream) fn close(self) {
        if let stream @ Stream::Tls(_) = &mut *self.0.stream.borrow_mut() {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    pub(super) fn stream(&self) -> &Rc<RefCell<Stream>> {
        &self.0.stream
    }

    /// What was read, and not yet taken.
    pub(in crate::upstream) fn unread(&mut self) -> &mut BytesMut {
        &mut self.0.read
    }

    /// Reads more, with room for as much as is `expected`; returns how much was read, which is nothing at the end.
    pub(in crate::upstream) fn poll_read(
        &mut self,
        expected: u64,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let expected = usize::try_from(expected)
            .unwrap_or(LARGEST_READ)
            .min(LARGEST_READ);
        // A read that fills its buffer would be followed by another one, for nothing.
        self.0.read.reserve(if expected < USUAL_READ {
            USUAL_READ
        } else {
            expected + 1
        });
        pin!(self.0.stream.borrow_mut().read_buf(&mut self.0.read)).poll(context)
    }

    pub(super) fn take_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0.head)
    }

    pub(super) fn put_head(&mut self, mut head: Vec<u8>) {
        if head.capacity() <= USUAL_READ {
            head.clear();
            self.0.head = head;
        }
    }

    /// The connection itself, what was read from it, and what it is counted by; none where a request is still being sent.
    pub(super) fn into_parts(self) -> Option<(Stream, Bytes, GaugeGuard)> {
        let Inner {
            stream,
            read,
            counted,
            ..
        } = *self.0;
        Some((Rc::into_inner(stream)?.into_inner(), read.freeze(), counted))
    }
}

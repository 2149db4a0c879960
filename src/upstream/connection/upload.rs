//! The sending of a request's body that goes on beside its answer.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

/// The sending of a body in a task of its own; it ends when this is dropped.
pub(in crate::upstream) struct Upload(JoinHandle<Uploaded>);

/// What became of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) enum Uploaded {
    /// All of it was sent.
    Whole,
    /// The target wants no more of it. What it answers counts all the same.
    Unwanted,
    /// It broke off, or the target took nothing in time: the exchange is broken.
    Broken,
}

impl Upload {
    pub(in crate::upstream) fn begin(sending: impl Future<Output = Uploaded> + 'static) -> Self {
        Self(tokio::task::spawn_local(sending))
    }

    /// Ready when it has ended; not to be polled again then.
    pub(in crate::upstream) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Uploaded> {
        let outcome = ready!(Pin::new(&mut self.0).poll(context));
        // It panicked, or the worker ends.
        Poll::Ready(outcome.unwrap_or(Uploaded::Broken))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

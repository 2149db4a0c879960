//! Uploads a request body while the response arrives.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

/// A task that uploads a body; dropping this aborts it.
pub(super) struct Upload(JoinHandle<UploadOutcome>);

/// How an upload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadOutcome {
    /// The upstream has the whole body.
    Complete,
    /// The upstream reads no more of it. Its response is valid all the same.
    NotWanted,
    /// The body broke off, or the upstream read nothing of it in time. The exchange is broken.
    Broken,
}

impl Upload {
    pub(super) fn spawn(upload: impl Future<Output = UploadOutcome> + 'static) -> Self {
        Self(tokio::task::spawn_local(upload))
    }

    /// Ready when the upload has ended; must not be polled after that.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<UploadOutcome> {
        let outcome = ready!(Pin::new(&mut self.0).poll(context));
        // An error means that the task panicked, or that the worker shuts down.
        Poll::Ready(outcome.unwrap_or(UploadOutcome::Broken))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! The sending of a request's body that goes on beside its answer.

use tokio::task::JoinHandle;

/// The sending of a body in a task of its own; it ends when this is dropped.
pub(super) struct Upload(JoinHandle<bool>);

impl Upload {
    /// `sending` tells whether the whole body was sent.
    pub(super) fn begin(sending: impl Future<Output = bool> + 'static) -> Self {
        Self(tokio::task::spawn_local(sending))
    }

    /// Waits for its end, and tells whether the whole body was sent.
    pub(super) async fn ended(mut self) -> bool {
        (&mut self.0).await.unwrap_or(false)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

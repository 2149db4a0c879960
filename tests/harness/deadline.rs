//! A time limit for asynchronous tests.

use std::time::Duration;

use super::TIMEOUT;

/// How long an asynchronous test may take: several waits, one after the other.
const MAX_TEST_DURATION: Duration = TIMEOUT.saturating_mul(3);

/// Runs a test within a time limit.
///
/// Spawned tasks run on a thread of their own, so the test itself may block.
pub fn bounded(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async { tokio::time::timeout(MAX_TEST_DURATION, test).await });
    runtime.shutdown_background();
    assert!(
        outcome.is_ok(),
        "the test took longer than {MAX_TEST_DURATION:?}"
    );
}

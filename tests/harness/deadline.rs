//! Tests that wait for several things at a time.

use std::time::Duration;

use super::TIMEOUT;

/// How long a test may take that waits for one thing after the other.
const MAX_TEST_DURATION: Duration = TIMEOUT.saturating_mul(3);

/// Runs a test to its end, which has to come in time. What it spawns has a thread of its own: the test itself may block.
pub fn bounded(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async { tokio::time::timeout(MAX_TEST_DURATION, test).await });
    runtime.shutdown_background();
    assert!(outcome.is_ok(), "not in {MAX_TEST_DURATION:?}");
}

//! A connection for one purpose, which is opened again whenever it fails.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::redis::{FleetError, Redis};
use super::{FleetSettings, REVOCATIONS};
use crate::clock::{self, Backoff, jitter};

/// The pauses between connections.
pub(super) const RECONNECT: Backoff = Backoff {
    first: Duration::from_millis(200),
    max: Duration::from_secs(1),
};

/// Connections in a row that have failed and had not lasted.
#[derive(Debug, Default)]
pub(super) struct Failures(u32);

impl Failures {
    /// Counts one more; one that `has_lasted` begins a new row. Returns whether it is the first.
    pub(super) fn count(&mut self, has_lasted: bool) -> bool {
        self.0 = if has_lasted { 1 } else { self.0 + 1 };
        self.0 == 1
    }

    /// Waits before the next connection.
    pub(super) async fn pause(&self) {
        tokio::time::sleep(jitter(RECONNECT.after(self.0))).await;
    }
}

/// What is done on such a connection.
pub(super) trait Service {
    /// Serves what is queued, until the connection fails.
    fn run(&mut self, redis: Redis) -> impl Future<Output = Result<Infallible, FleetError>> + Send;

    /// Nothing is served from now on, and what is queued gets nothing. Returns whether it was served
    /// until now.
    fn interrupt(&mut self) -> bool;

    /// Logs that it is not served any more, and what that means.
    fn log_failure(&self, error: &FleetError);
}

/// Serves until the process ends.
pub(super) async fn keep(settings: Arc<FleetSettings>, mut service: impl Service + Send) {
    let key = settings.key(REVOCATIONS);
    let mut failures = Failures::default();
    loop {
        let began = clock::now();
        let error = match Redis::connect(&settings.redis, &key).await {
            Ok(redis) => match service.run(redis).await {
                Err(error) => error,
                Ok(never) => match never {},
            },
            Err(error) => error,
        };
        let was_served = service.interrupt();
        // A server that accepts connections and refuses commands is not asked all the time.
        let has_lasted = was_served && clock::since(began) > RECONNECT.max;
        if failures.count(has_lasted) && was_served {
            service.log_failure(&error);
        }
        failures.pause().await;
    }
}

//! A connection for one purpose, which is opened again whenever it fails.

use std::convert::Infallible;
use std::sync::Arc;

use super::redis::{FleetError, Redis};
use super::{FleetSettings, RECONNECT, REVOCATIONS};
use crate::clock::{self, jitter};

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
    let mut failures = 0;
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
        failures = if was_served && clock::since(began) > RECONNECT.max {
            1
        } else {
            failures + 1
        };
        if was_served && failures == 1 {
            service.log_failure(&error);
        }
        tokio::time::sleep(jitter(RECONNECT.after(failures))).await;
    }
}

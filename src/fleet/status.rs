//! How old the revocations of the fleet are, for requests, readiness and metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::clock;
use crate::rate_limits::{SharedBucket, Sharing};
use crate::sync::lock;
use crate::telemetry::metrics::Counter;
use crate::values::StaleRevocations;
use crate::verify::introspection::{ResponseQuery, SharedResponses, SharedResponsesReport};

/// What others may know of the fleet.
#[derive(Debug)]
pub struct FleetStatus {
    policy: StaleRevocations,
    max_age: Duration,
    started: Instant,
    /// What was logged last.
    was_stale: AtomicBool,
    is_connected: AtomicBool,
    /// Milliseconds after the start, plus one; 0 for never.
    heard: AtomicU64,
    round_trip: AtomicU64,
    peers: AtomicU64,
    /// Why the last connection ended.
    failure: Mutex<Option<String>>,
    /// What the limits share.
    limits: Arc<Sharing>,
    /// What the limits request, until the fleet is started.
    lease_requests: Mutex<Option<mpsc::Receiver<SharedBucket>>>,
    /// What introspection shares.
    responses: Arc<SharedResponses>,
    /// What introspection queries, until the fleet is started.
    response_queries: Mutex<Option<mpsc::Receiver<ResponseQuery>>>,
    pub(super) published: Counter,
    pub(super) received: Counter,
    pub(super) unopened: Counter,
    pub(super) out_of_order: Counter,
    pub(super) connections: Counter,
}

/// One look at the fleet.
#[derive(Clone, Debug)]
pub struct FleetReport {
    /// Whether the revocations are older than `max_revocation_age`, or were never read.
    pub is_stale: bool,
    /// Whether requests with tokens are refused.
    pub refuses: bool,
    /// Whether there is a connection.
    pub is_connected: bool,
    /// How old what was heard is; none if nothing was.
    pub age: Option<Duration>,
    /// From sending a heartbeat to reading it.
    pub round_trip: Duration,
    /// The other gateways.
    pub peers: u64,
    /// Why the last connection ended.
    pub failure: Option<String>,
    /// Messages that were published.
    pub published: u64,
    /// Entries that were received.
    pub received: u64,
    /// Messages that were not sealed by this fleet.
    pub unopened: u64,
    /// Messages that were repeated, or came after a gap.
    pub out_of_order: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Whether the buckets of limits can be reached.
    pub are_limits_shared: bool,
    /// Whether introspection responses can be looked up and stored.
    pub are_responses_shared: bool,
    /// Lookups of introspection responses.
    pub responses: SharedResponsesReport,
}

impl FleetStatus {
    /// Nothing was heard yet. The gateways of a fleet have one `limits_secret`. No request waits for
    /// Redis longer than `timeout`.
    #[must_use]
    pub fn new(
        policy: StaleRevocations,
        max_age: Duration,
        limits_secret: [u8; 16],
        timeout: Duration,
    ) -> Arc<Self> {
        let (limits, requested) = Sharing::new(limits_secret);
        let (responses, queries) = SharedResponses::new(timeout);
        Arc::new(Self {
            responses,
            response_queries: Mutex::new(Some(queries)),
            limits,
            lease_requests: Mutex::new(Some(requested)),
            policy,
            max_age,
            started: clock::now(),
            was_stale: AtomicBool::new(true),
            is_connected: AtomicBool::new(false),
            heard: AtomicU64::new(0),
            round_trip: AtomicU64::new(0),
            peers: AtomicU64::new(0),
            failure: Mutex::default(),
            published: Counter::default(),
            received: Counter::default(),
            unopened: Counter::default(),
            out_of_order: Counter::default(),
            connections: Counter::default(),
        })
    }

    /// Whether requests with tokens are refused, because the fleet was not heard.
    ///
    /// By the time, and not by a flag: if what would set the flag has stopped or hangs, they must be
    /// refused as well.
    #[must_use]
    pub fn refuses_tokens(&self) -> bool {
        self.policy == StaleRevocations::Closed && self.is_stale(clock::now())
    }

    // A little earlier than at `max_age`: a request may still wait for its upstream.
    fn is_stale(&self, now: Instant) -> bool {
        let max_age = self.max_age.saturating_sub(self.update_interval());
        self.age(now).is_none_or(|age| age > max_age)
    }

    fn update_interval(&self) -> Duration {
        (self.max_age / 50).clamp(Duration::from_millis(20), Duration::from_millis(500))
    }

    /// What the limits of this gateway share with the others.
    #[must_use]
    pub fn limits(&self) -> &Arc<Sharing> {
        &self.limits
    }

    /// What the limits request. `None` if the fleet was started already.
    pub(super) fn take_lease_requests(&self) -> Option<mpsc::Receiver<SharedBucket>> {
        lock(&self.lease_requests).take()
    }

    /// The introspection responses that this gateway shares with the others.
    #[must_use]
    pub fn responses(&self) -> &Arc<SharedResponses> {
        &self.responses
    }

    /// What introspection queries. `None` if the fleet was started already.
    pub(super) fn take_response_queries(&self) -> Option<mpsc::Receiver<ResponseQuery>> {
        lock(&self.response_queries).take()
    }

    /// How old the revocations may be.
    #[must_use]
    pub fn max_age(&self) -> Duration {
        self.max_age
    }

    /// One look at the fleet.
    #[must_use]
    pub fn report(&self) -> FleetReport {
        FleetReport {
            is_stale: self.is_stale(clock::now()),
            refuses: self.refuses_tokens(),
            is_connected: self.is_connected.load(Ordering::Relaxed),
            age: self.age(clock::now()),
            round_trip: Duration::from_millis(self.round_trip.load(Ordering::Relaxed)),
            peers: self.peers.load(Ordering::Relaxed),
            failure: lock(&self.failure).clone(),
            published: self.published.read(),
            received: self.received.read(),
            unopened: self.unopened.read(),
            out_of_order: self.out_of_order.read(),
            connections: self.connections.read(),
            are_limits_shared: self.limits.is_connected(),
            are_responses_shared: self.responses.is_connected(),
            responses: self.responses.report(),
        }
    }

    pub(super) fn set_connected(&self, is_connected: bool) -> bool {
        self.is_connected.swap(is_connected, Ordering::Relaxed)
    }

    pub(super) fn failed(&self, failure: String) {
        *lock(&self.failure) = Some(failure);
    }

    /// The fleet was heard: all that was published before `heard` is read.
    pub(super) fn heard(&self, heard: Instant, round_trip: Duration, peers: usize) {
        let since_start = heard.saturating_duration_since(self.started);
        self.heard
            .store(milliseconds(since_start) + 1, Ordering::Relaxed);
        self.round_trip
            .store(milliseconds(round_trip), Ordering::Relaxed);
        self.peers.store(peers as u64, Ordering::Relaxed);
        self.update(clock::now());
    }

    fn age(&self, now: Instant) -> Option<Duration> {
        let heard = self.heard.load(Ordering::Relaxed).checked_sub(1)?;
        let heard = self.started + Duration::from_millis(heard);
        Some(now.saturating_duration_since(heard))
    }

    // Logs when it becomes stale, and when no more.
    fn update(&self, now: Instant) {
        let is_stale = self.is_stale(now);
        let refuses = is_stale && self.policy == StaleRevocations::Closed;
        if self.was_stale.swap(is_stale, Ordering::Relaxed) == is_stale {
            return;
        }
        if is_stale {
            tracing::error!(
                refuses,
                max_age_seconds = self.max_age.as_secs_f64(),
                "revocations of the fleet are stale"
            );
        } else {
            let peers = self.peers.load(Ordering::Relaxed);
            tracing::info!(peers, "revocations of the fleet are up to date");
        }
    }
}

/// Logs when the fleet becomes stale, and keeps the number of gateways that share the limits.
pub(super) async fn watch(status: Arc<FleetStatus>) {
    loop {
        status.update(clock::now());
        // Those that are not heard any more still count: they may serve requests.
        status
            .limits
            .set_gateways(status.peers.load(Ordering::Relaxed) + 1);
        tokio::time::sleep(status.update_interval()).await;
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(policy: StaleRevocations) -> Arc<FleetStatus> {
        FleetStatus::new(
            policy,
            Duration::from_secs(30),
            [0; 16],
            Duration::from_millis(50),
        )
    }

    #[test]
    fn closed_refuses_until_the_fleet_is_heard_and_again_once_that_is_too_old() {
        let status = status(StaleRevocations::Closed);
        assert!(status.refuses_tokens());
        let now = clock::now();
        status.heard(now, Duration::ZERO, 0);
        assert!(!status.refuses_tokens());
        assert!(!status.is_stale(now + Duration::from_secs(29)));
        // Not later than the age.
        assert!(status.is_stale(now + Duration::from_millis(29_900)));
        assert!(status.is_stale(now + Duration::from_secs(31)));
    }

    #[test]
    fn closed_refuses_also_if_the_task_that_watches_has_stopped() {
        let max_age = Duration::from_millis(200);
        let status = FleetStatus::new(StaleRevocations::Closed, max_age, [0; 16], max_age);
        status.heard(clock::now(), Duration::ZERO, 0);
        // Nothing else happens.
        std::thread::sleep(max_age);
        assert!(status.refuses_tokens());
        let report = status.report();
        assert!(report.is_stale && report.refuses);
    }

    #[test]
    fn open_never_refuses_and_reports() {
        let status = status(StaleRevocations::Open);
        assert!(!status.refuses_tokens());
        assert!(status.report().is_stale);
        assert!(status.is_stale(clock::now() + Duration::from_secs(3600)));
        assert!(!status.refuses_tokens());
    }
}

//! Whether the event loop of each worker still runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The heartbeat of a worker that has ended as requested.
const ENDED: u64 = u64::MAX;

/// The liveness of all workers. Clones share it.
#[derive(Clone, Debug)]
pub struct Liveness {
    started: Instant,
    /// The last heartbeat of each worker, in milliseconds since `started`.
    beats: Arc<[AtomicU64]>,
}

/// Records the heartbeat of one worker at each tick.
pub(super) struct WorkerHeartbeat {
    liveness: Liveness,
    worker: usize,
}

impl Liveness {
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        Self {
            started: now,
            beats: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether every worker had a heartbeat within `time` before `now`, or has ended as requested.
    ///
    /// Heartbeats come at each [`TICK`](crate::clock::TICK), so `time` should be several ticks.
    #[must_use]
    pub fn is_alive_within(&self, time: Duration, now: Instant) -> bool {
        let earliest = self
            .millis(now)
            .saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.beats
            .iter()
            .all(|beat| beat.load(Ordering::Relaxed) >= earliest)
    }

    pub(super) fn heartbeat(&self, worker: usize) -> WorkerHeartbeat {
        WorkerHeartbeat {
            liveness: self.clone(),
            worker,
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(ENDED - 1)
    }
}

impl WorkerHeartbeat {
    pub(super) fn beat(&self, now: Instant) {
        self.liveness.beats[self.worker].store(self.liveness.millis(now), Ordering::Relaxed);
    }

    /// The worker has ended as requested. Not done at drop, which a panic causes too.
    pub(super) fn end(&self) {
        self.liveness.beats[self.worker].store(ENDED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_needs_a_recent_heartbeat_unless_it_has_ended() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let liveness = Liveness::new(2, begin);
        let (first, second) = (liveness.heartbeat(0), liveness.heartbeat(1));
        let beats_at = |seconds| liveness.is_alive_within(Duration::from_secs(5), at(seconds));
        assert!(beats_at(5), "no worker is late yet");
        assert!(!beats_at(6));
        first.beat(at(6));
        assert!(!beats_at(6));
        second.beat(at(7));
        assert!(beats_at(11));
        assert!(
            !beats_at(12),
            "the last heartbeat of the first worker is too old"
        );
        first.end();
        assert!(beats_at(12));
        assert!(!beats_at(13));
    }
}

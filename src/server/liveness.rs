//! Whether the workers live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A worker that has done its work, as it was told to.
const ENDED: u64 = u64::MAX;

/// The liveness of all workers, for anybody to feel.
#[derive(Clone, Debug)]
pub struct Liveness {
    since: Instant,
    /// When each worker last beat, in milliseconds since then.
    beats: Arc<[AtomicU64]>,
}

/// The part of one worker, which has it beat at each tick of its clock.
pub(super) struct WorkerHeartbeat {
    liveness: Liveness,
    worker: usize,
}

impl Liveness {
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        Self {
            since: now,
            beats: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Whether every worker has gone round since so long before `now`, or has ended as it was told to.
    ///
    /// A worker beats at each [`TICK`](crate::clock::TICK): less than a few of those says nothing.
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
        u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(ENDED - 1)
    }
}

impl WorkerHeartbeat {
    pub(super) fn beat(&self, now: Instant) {
        self.liveness.beats[self.worker].store(self.liveness.millis(now), Ordering::Relaxed);
    }

    /// The worker has done its work. Not at drop: that comes with a panic as well.
    pub(super) fn end(&self) {
        self.liveness.beats[self.worker].store(ENDED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_has_to_have_beaten_lately_unless_it_has_ended() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let liveness = Liveness::new(2, begin);
        let (first, second) = (liveness.heartbeat(0), liveness.heartbeat(1));
        let beats_at = |seconds| liveness.is_alive_within(Duration::from_secs(5), at(seconds));
        assert!(beats_at(5), "nobody had the time yet");
        assert!(!beats_at(6));
        first.beat(at(6));
        assert!(!beats_at(6));
        second.beat(at(7));
        assert!(beats_at(11));
        assert!(!beats_at(12), "the first has beaten before, not since");
        first.end();
        assert!(beats_at(12));
        assert!(!beats_at(13));
    }
}

//! Whether the workers live.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const SILENT: u8 = 0;
const BEATEN: u8 = 1;
const ENDED: u8 = 2;

/// The pulse of all workers, to be felt now and then.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<[AtomicU8]>);

/// The part of one worker, which has it beat at each tick of its clock.
pub(super) struct Heart {
    pulse: Pulse,
    worker: usize,
}

impl Pulse {
    pub(super) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| AtomicU8::new(BEATEN)).collect())
    }

    /// Whether every worker has gone round since this was last asked, or has ended as it was told to.
    ///
    /// To be asked no more often than every few [`TICK`](crate::clock::TICK)s.
    #[must_use]
    pub fn beats(&self) -> bool {
        let beats = |worker: &AtomicU8| {
            worker.compare_exchange(BEATEN, SILENT, Ordering::Relaxed, Ordering::Relaxed) != Err(SILENT)
        };
        // Each is asked, so that a beat is not taken for one since.
        self.0.iter().filter(|worker| !beats(worker)).count() == 0
    }

    pub(super) fn heart(&self, worker: usize) -> Heart {
        Heart { pulse: self.clone(), worker }
    }
}

impl Heart {
    pub(super) fn beat(&self) {
        self.pulse.0[self.worker].store(BEATEN, Ordering::Relaxed);
    }

    /// The worker has done its work. Not at drop: that comes with a panic as well.
    pub(super) fn end(&self) {
        self.pulse.0[self.worker].store(ENDED, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_has_to_beat_between_two_questions_unless_it_has_ended() {
        let pulse = Pulse::new(2);
        let (first, second) = (pulse.heart(0), pulse.heart(1));
        assert!(pulse.beats(), "nobody had the time yet");
        assert!(!pulse.beats());
        first.beat();
        assert!(!pulse.beats());
        second.beat();
        assert!(!pulse.beats(), "the first has beaten before, not since");
        first.beat();
        second.beat();
        assert!(pulse.beats());
        first.end();
        second.beat();
        assert!(pulse.beats());
        assert!(!pulse.beats());
    }
}

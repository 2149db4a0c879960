//! Limits log lines of events that others could cause by the thousand.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// Admits one event per interval, and counts the others.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// Admits one event per `interval`.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self {
            interval,
            state: Mutex::new(State {
                last: None,
                left_out: 0,
            }),
        }
    }

    /// If the event at `now` is to be logged, returns how many were left out since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = lock(&self.state);
        if state
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < self.interval)
        {
            state.left_out += 1;
            return None;
        }
        let left_out = state.left_out;
        *state = State {
            last: Some(now),
            left_out: 0,
        };
        Some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_event_per_interval_is_admitted_with_the_number_left_out() {
        let (throttle, begin) = (Throttle::new(Duration::from_secs(10)), Instant::now());
        let at = |seconds| throttle.admit(begin + Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(1), at(9), at(10), at(11), at(30)],
            [Some(0), None, None, Some(2), None, Some(1)]
        );
    }
}

//! Backoff after failures, and jitter.

use std::time::Duration;

/// A wait that doubles with each failure in a row, up to a maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure.
    pub first: Duration,
    /// The maximum wait.
    pub max: Duration,
}

impl Backoff {
    /// The wait after this many failures in a row.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        self.first
            .saturating_mul(1 << failures.saturating_sub(1).min(16))
            .min(self.max)
    }
}

/// Between 80 and 100 percent of `span`, so that gateways that start together drift apart.
#[must_use]
pub fn jitter(span: Duration) -> Duration {
    let mut random = [0; 2];
    // If there is no randomness, there is only no jitter.
    let _ = aws_lc_rs::rand::fill(&mut random);
    part(span, u16::from_ne_bytes(random))
}

// Rounding could make it longer than `span`.
fn part(span: Duration, random: u16) -> Duration {
    let factor = 0.8 + 0.2 * f32::from(random) / f32::from(u16::MAX);
    span.mul_f32(factor).min(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_never_exceeds_its_span() {
        for span in [1, 200, 333, 400, 1_000, 6_000, 10_000].map(Duration::from_millis) {
            for random in 0..=u16::MAX {
                let part = part(span, random);
                assert!(
                    part <= span && part >= span.mul_f32(0.79),
                    "{span:?} {random}"
                );
            }
        }
    }

    #[test]
    fn wait_doubles_with_each_failure_up_to_its_maximum() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            max: Duration::from_secs(5),
        };
        let waits = [1, 2, 3, 4, 1000].map(|failures| backoff.after(failures).as_secs());
        assert_eq!(waits, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn jitter_shortens_by_at_most_a_fifth() {
        for _ in 0..1000 {
            let jittered = jitter(Duration::from_secs(10));
            assert!(
                (7.999..=10.001).contains(&jittered.as_secs_f32()),
                "{jittered:?}"
            );
        }
    }
}

//! Work that a background task repeats.

use std::sync::{Arc, Weak};
use std::time::Duration;

/// Runs `step` repeatedly, with the pause that it returns, until `subject` is dropped.
///
/// This is how a background task of the control plane ends: it holds no strong reference while it
/// sleeps, so that what it works for is dropped with the last user, and the task with it. `None`
/// ends it at once.
pub async fn repeat_while_alive<T>(
    subject: Weak<T>,
    mut step: impl AsyncFnMut(&Arc<T>) -> Option<Duration>,
) {
    while let Some(alive) = subject.upgrade() {
        let Some(pause) = step(&alive).await else {
            return;
        };
        drop(alive);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn task_ends_when_its_subject_is_dropped() {
        let subject = Arc::new(());
        let weak = Arc::downgrade(&subject);
        let mut kept = Some(subject);
        let mut steps = 0;
        repeat_while_alive(weak, async |_| {
            steps += 1;
            if steps == 3 {
                kept = None;
            }
            Some(Duration::from_millis(1))
        })
        .await;
        assert_eq!(steps, 3);
    }

    #[tokio::test]
    async fn task_ends_when_a_step_returns_no_pause() {
        let subject = Arc::new(());
        let mut steps = 0;
        repeat_while_alive(Arc::downgrade(&subject), async |_| {
            steps += 1;
            None
        })
        .await;
        assert_eq!(steps, 1);
    }
}

//! The limit of client connections of the process: `max_connections`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::lock;

/// Permits for client connections, shared by all workers.
///
/// A permit that is released goes to the accept loop that has waited longest. A loop without an
/// accepted connection holds none.
#[derive(Clone, Debug)]
pub(super) struct ConnectionLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    max: Mutex<usize>,
    /// Permits in use beyond a limit that was lowered. They are dropped when they are released.
    surplus: AtomicUsize,
}

/// Counts one connection against the limit until it is dropped.
pub(super) struct ConnectionPermit {
    permit: Option<OwnedSemaphorePermit>,
    limit: ConnectionLimit,
}

impl ConnectionLimit {
    pub(super) fn new(max: usize) -> Self {
        let permits = Arc::new(Semaphore::new(max));
        Self(Arc::new(Shared {
            permits,
            max: Mutex::new(max),
            surplus: AtomicUsize::new(0),
        }))
    }

    /// Changes the limit. Permits in use stay in use.
    pub(super) fn set(&self, max: usize) {
        let Shared {
            permits,
            max: current,
            surplus,
        } = &*self.0;
        let mut current = lock(current);
        if let Some(fewer) = current.checked_sub(max) {
            let free = permits.forget_permits(fewer);
            surplus.fetch_add(fewer - free, Ordering::Relaxed);
        } else {
            let mut more = max - *current;
            while more > 0 && self.take_surplus() {
                more -= 1;
            }
            permits.add_permits(more);
        }
        *current = max;
    }

    /// The present limit.
    pub(super) fn max(&self) -> usize {
        *lock(&self.0.max)
    }

    /// Takes a permit, and waits while none is free.
    pub(super) async fn take(&self) -> ConnectionPermit {
        // The semaphore is never closed, so there is a permit.
        let permit = Arc::clone(&self.0.permits).acquire_owned().await.ok();
        ConnectionPermit {
            permit,
            limit: self.clone(),
        }
    }

    /// Takes a permit if one is free and no other loop waits for it.
    pub(super) fn try_take(&self) -> Option<ConnectionPermit> {
        let permit = Arc::clone(&self.0.permits).try_acquire_owned().ok()?;
        Some(ConnectionPermit {
            permit: Some(permit),
            limit: self.clone(),
        })
    }

    fn take_surplus(&self) -> bool {
        let one_less = |surplus: usize| surplus.checked_sub(1);
        self.0
            .surplus
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_ok()
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if self.limit.take_surplus()
            && let Some(permit) = self.permit.take()
        {
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn permit_goes_to_the_loop_that_has_waited_longest() {
        let limit = ConnectionLimit::new(1);
        let first = limit.try_take().expect("a permit");
        let mut context = Context::from_waker(Waker::noop());
        let (mut second, mut third) = (pin!(limit.take()), pin!(limit.take()));
        assert!(
            second.as_mut().poll(&mut context).is_pending()
                && third.as_mut().poll(&mut context).is_pending()
        );
        drop(first);
        assert!(third.as_mut().poll(&mut context).is_pending());
        assert!(limit.try_take().is_none(), "a waiting loop comes first");
        assert!(second.poll(&mut context).is_ready());
    }

    #[test]
    fn permit_of_a_cancelled_wait_is_free() {
        let limit = ConnectionLimit::new(1);
        let first = limit.try_take().expect("a permit");
        {
            let mut waiting = pin!(limit.take());
            assert!(
                waiting
                    .as_mut()
                    .poll(&mut Context::from_waker(Waker::noop()))
                    .is_pending()
            );
            drop(first);
        }
        assert!(limit.try_take().is_some());
    }

    #[test]
    fn lowered_limit_holds_as_soon_as_permits_are_released() {
        let limit = ConnectionLimit::new(3);
        let mut taken: Vec<_> = (0..3)
            .map(|_| limit.try_take().expect("a permit"))
            .collect();
        limit.set(1);
        taken.truncate(1);
        assert!(limit.try_take().is_none());
        taken.clear();
        let one = limit.try_take().expect("a permit");
        assert!(limit.try_take().is_none());
        drop(one);
        limit.set(2);
        assert!(
            [limit.try_take(), limit.try_take(), limit.try_take()]
                .iter()
                .flatten()
                .count()
                == 2
        );
    }

    #[test]
    fn raised_limit_first_offsets_surplus_permits() {
        let limit = ConnectionLimit::new(3);
        let taken: Vec<_> = (0..3)
            .map(|_| limit.try_take().expect("a permit"))
            .collect();
        limit.set(1);
        limit.set(3);
        assert!(limit.try_take().is_none());
        drop(taken);
        assert_eq!(
            (0..4)
                .map_while(|_| limit.try_take())
                .collect::<Vec<_>>()
                .len(),
            3
        );
    }
}

//! Locks of the standard library, and a counter of changes.

mod epoch;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use epoch::Epoch;

/// Locks a mutex, even a poisoned one.
///
/// Every critical section of this crate makes a single change, so a panic leaves no partial update
/// behind. Another panic here would turn one failed request into an outage.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

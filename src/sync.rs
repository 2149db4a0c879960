//! Locks of the standard library.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, a poisoned one too.
///
/// No critical section of ours leaves its data half changed when it panics: each makes one change. To go on is right,
/// and to panic again would turn one failed request into an outage.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

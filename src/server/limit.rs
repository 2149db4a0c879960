//! How many clients may be connected at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Places for connections, shared by all workers.
#[derive(Clone, Debug)]
pub(super) struct ConnectionLimit {
    taken: Arc<AtomicUsize>,
    places: Arc<AtomicUsize>,
}

/// A place that is taken until this is dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl ConnectionLimit {
    pub(super) fn new(places: usize) -> Self {
        Self { taken: Arc::default(), places: Arc::new(AtomicUsize::new(places)) }
    }

    /// Has another number of places; those that are taken stay taken.
    pub(super) fn set(&self, places: usize) {
        self.places.store(places, Ordering::Relaxed);
    }

    /// A place, if one is free.
    pub(super) fn take(&self) -> Option<Place> {
        let places = self.places.load(Ordering::Relaxed);
        let take = |taken: usize| (taken < places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Place(Arc::clone(&self.taken)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

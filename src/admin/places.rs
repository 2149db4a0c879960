//! Who is connected to the admin listener: nobody takes all places, or those who watch over the gateway find none.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::verify::Shares;

/// How many connections there may be.
const MOST: usize = 64;

/// The places that are taken, by whom.
#[derive(Debug)]
pub(super) struct Places(Mutex<Shares>);

/// A place that is taken until this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Shares::new(MOST))))
    }

    /// A place for a connection of this peer, if it may have one more.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        self.shares().enter(peer).then(|| Place { places: Arc::clone(self), peer })
    }

    fn shares(&self) -> MutexGuard<'_, Shares> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.shares().leave(self.peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST_OF_ONE: usize = MOST / 4;

    #[test]
    fn one_peer_has_a_quarter_of_the_places_and_gives_them_back() {
        let places = Places::new();
        let peer = |last| IpAddr::from([10, 0, 0, last]);
        let mut taken: Vec<_> = (0..MOST_OF_ONE).map(|_| places.take(peer(1)).expect("a place")).collect();
        assert!(places.take(peer(1)).is_none());
        for other in 2..=4 {
            taken.extend((0..MOST_OF_ONE).map(|_| places.take(peer(other)).expect("a place")));
        }
        assert!(places.take(peer(5)).is_none(), "all are taken");
        taken.clear();
        assert!(places.take(peer(5)).is_some() && places.shares().is_empty());
    }
}

//! Who is connected to the admin listener: nobody takes all places, or those who watch over the gateway find none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many connections there may be.
const MOST: usize = 64;
/// How many of them may be one peer's.
const MOST_OF_ONE: usize = MOST / 4;

/// The places that are taken, by whom.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<IpAddr, usize>>);

/// A place that is taken until this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    /// A place for a connection of this peer, if it may have one more.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.values().sum::<usize>() >= MOST || taken.get(&peer).is_some_and(|own| *own >= MOST_OF_ONE) {
            return None;
        }
        *taken.entry(peer).or_default() += 1;
        Some(Place { places: Arc::clone(self), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_has_a_quarter_of_the_places_and_gives_them_back() {
        let places = Arc::new(Places::default());
        let peer = |last| IpAddr::from([10, 0, 0, last]);
        let mut taken: Vec<_> = (0..MOST_OF_ONE).map(|_| places.take(peer(1)).expect("a place")).collect();
        assert!(places.take(peer(1)).is_none());
        for other in 2..=4 {
            taken.extend((0..MOST_OF_ONE).map(|_| places.take(peer(other)).expect("a place")));
        }
        assert!(places.take(peer(5)).is_none(), "all are taken");
        taken.clear();
        assert!(places.take(peer(5)).is_some() && places.0.lock().expect("no panic").is_empty());
    }
}

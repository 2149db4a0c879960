//! Room that many clients share, of which none may have more than a quarter.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

/// Places, and who has how many of them.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

impl Shares {
    /// So many places, none of them taken.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            all: 0,
            by_client: HashMap::new(),
        }
    }

    /// Takes a place for a client, if one is left and it may have one more; returns whether it has.
    pub fn enter(&mut self, client: IpAddr) -> bool {
        let own = self.by_client.entry(client).or_default();
        let enters = self.all < self.most && *own < self.most / 4;
        if enters {
            *own += 1;
            self.all += 1;
        } else if *own == 0 {
            self.by_client.remove(&client);
        }
        enters
    }

    /// Gives back a place that a client has.
    pub fn leave(&mut self, client: IpAddr) {
        self.all -= 1;
        if let Entry::Occupied(mut own) = self.by_client.entry(client) {
            *own.get_mut() -= 1;
            if *own.get() == 0 {
                own.remove();
            }
        }
    }

    /// Whether no place is taken, and nobody remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_client.is_empty() && self.all == 0
    }
}

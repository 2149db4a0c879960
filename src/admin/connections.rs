//! The open connections of the admin listener, bounded so that idle clients cannot block probes.
//!
//! 1. A connection first sends its request head, and then reads its response. Each stage has a limit of
//!    its own, so silent clients take no room from those that sent a request.
//! 2. If a stage is full, a new connection replaces the oldest one of the client with the most. A client
//!    with one connection loses it only if no other has two.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::sync::lock;

/// The maximum number of connections in each stage.
const MAX_CONNECTIONS: usize = 64;

/// The open connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    stages: Mutex<Stages>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Stages {
    /// Connections accepted so far; the next one's key.
    count: u64,
    silent: Stage,
    asking: Stage,
}

/// Connections by their age, the oldest first.
#[derive(Debug, Default)]
struct Stage(BTreeMap<u64, Arc<Entry>>);

#[derive(Debug)]
struct Entry {
    peer: IpAddr,
    evicted: Notify,
}

/// A connection that counts as open until this is dropped.
pub(super) struct OpenConnection {
    all: Arc<Connections>,
    number: u64,
    entry: Arc<Entry>,
}

impl Connections {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a connection that has sent nothing yet.
    pub(super) fn open(self: &Arc<Self>, peer: IpAddr) -> OpenConnection {
        let entry = Arc::new(Entry {
            peer,
            evicted: Notify::new(),
        });
        let mut stages = self.stages();
        stages.count += 1;
        let number = stages.count;
        stages.silent.insert(number, &entry);
        OpenConnection {
            all: Arc::clone(self),
            number,
            entry,
        }
    }

    /// Waits until none is left.
    pub(super) async fn all_ended(&self) {
        while !self.stages().are_empty() {
            self.changed.notified().await;
        }
    }

    fn stages(&self) -> MutexGuard<'_, Stages> {
        lock(&self.stages)
    }
}

impl Stages {
    fn are_empty(&self) -> bool {
        self.silent.0.is_empty() && self.asking.0.is_empty()
    }
}

impl Stage {
    fn insert(&mut self, number: u64, entry: &Arc<Entry>) {
        if self.0.len() >= MAX_CONNECTIONS
            && let Some(evicted) = self
                .longest_held()
                .and_then(|number| self.0.remove(&number))
        {
            evicted.evicted.notify_one();
        }
        self.0.insert(number, Arc::clone(entry));
    }

    fn longest_held(&self) -> Option<u64> {
        let mut by_peer: HashMap<IpAddr, usize> = HashMap::new();
        self.0
            .values()
            .for_each(|entry| *by_peer.entry(entry.peer).or_default() += 1);
        let max = by_peer.values().copied().max()?;
        self.0
            .iter()
            .find(|(_, entry)| by_peer[&entry.peer] == max)
            .map(|(&number, _)| number)
    }
}

impl OpenConnection {
    /// Notes that its request head is complete.
    pub(super) fn request_received(&self) {
        let mut stages = self.all.stages();
        // An evicted connection is in no stage any more.
        if stages.silent.0.remove(&self.number).is_some() {
            stages.asking.insert(self.number, &self.entry);
        }
    }

    /// Waits until it is evicted.
    pub(super) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut stages = self.all.stages();
        stages.silent.0.remove(&self.number);
        stages.asking.0.remove(&self.number);
        drop(stages);
        self.all.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn is_evicted(connection: &OpenConnection) -> bool {
        pin!(connection.evicted())
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn new_connection_evicts_the_oldest_of_the_client_with_the_most() {
        let all = Connections::new();
        let alone = all.open(peer(1));
        let mut many: Vec<_> = (0..MAX_CONNECTIONS).map(|_| all.open(peer(2))).collect();
        assert!(is_evicted(&many.remove(0)));
        let other = all.open(peer(3));
        assert!(is_evicted(&many.remove(0)));
        assert!(!is_evicted(&alone) && !is_evicted(&other) && !many.iter().any(is_evicted));
        assert_eq!(all.stages().silent.0.len(), MAX_CONNECTIONS);
    }

    #[test]
    fn among_clients_with_one_connection_each_the_oldest_is_evicted() {
        let all = Connections::new();
        let each: Vec<_> = (0..=MAX_CONNECTIONS)
            .map(|last| all.open(peer(u8::try_from(last).expect("few"))))
            .collect();
        assert!(is_evicted(&each[0]) && !each[1..].iter().any(is_evicted));
    }

    #[test]
    fn clients_that_sent_a_request_have_a_limit_of_their_own() {
        let all = Connections::new();
        let asking = all.open(peer(1));
        asking.request_received();
        let silent: Vec<_> = (0..2 * MAX_CONNECTIONS)
            .map(|_| all.open(peer(1)))
            .collect();
        assert!(!is_evicted(&asking));
        let late = &silent[MAX_CONNECTIONS..];
        late.iter().for_each(OpenConnection::request_received);
        assert!(
            is_evicted(&asking) && !late.iter().any(is_evicted),
            "one request above the limit"
        );
        assert!(is_evicted(&silent[0]));
        silent[0].request_received();
        assert_eq!(
            all.stages().asking.0.len(),
            MAX_CONNECTIONS,
            "evicted connections take no room"
        );
        drop((asking, silent));
        assert!(all.stages().are_empty());
    }
}

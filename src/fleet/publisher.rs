//! What this gateway has to publish.

use std::collections::VecDeque;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::message::{Body, MAX_ENTRIES, Message, Sender};
use crate::oauth::UnixTime;
use crate::revocation::Entry;

/// Messages that still count and are known one by one; older ones are known together.
const MAX_LIVE: usize = 4096;

/// The messages of this gateway, in order.
pub(super) struct Publisher {
    me: Sender,
    added: Receiver<Entry>,
    sequence: u64,
    /// Written before anything else is added, so it is short. More entries wait in the queue of the
    /// store.
    outbox: VecDeque<Message>,
    /// Sequence numbers that still count, with their expiry.
    live: VecDeque<(u64, UnixTime)>,
    must_publish_all: bool,
}

impl Publisher {
    pub(super) fn new(me: Sender, added: Receiver<Entry>) -> Self {
        Self {
            me,
            added,
            sequence: 0,
            outbox: VecDeque::new(),
            live: VecDeque::new(),
            must_publish_all: false,
        }
    }

    pub(super) fn me(&self) -> Sender {
        self.me
    }

    /// Everything has to be published, for example because the queue of the store was full.
    pub(super) fn publish_all(&mut self) {
        self.must_publish_all = true;
    }

    /// Whether everything has to be published; true once.
    pub(super) fn take_must_publish_all(&mut self) -> bool {
        std::mem::take(&mut self.must_publish_all)
    }

    /// Waits for entries that were added here, and puts them into the outbox.
    pub(super) async fn added(&mut self) {
        let mut entries = Vec::new();
        match self.added.recv().await {
            Ok(entry) => entries.push(entry),
            Err(RecvError::Lagged(_)) => self.publish_all(),
            Err(RecvError::Closed) => std::future::pending().await,
        }
        self.push_queued(entries);
    }

    /// Puts entries that were added here into the outbox, without waiting. Whether there were any.
    pub(super) fn take_added(&mut self) -> bool {
        self.push_queued(Vec::new())
    }

    // A message with these entries and those that are queued.
    fn push_queued(&mut self, mut entries: Vec<Entry>) -> bool {
        while entries.len() < MAX_ENTRIES {
            match self.added.try_recv() {
                Ok(entry) => entries.push(entry),
                Err(TryRecvError::Lagged(_)) => self.publish_all(),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let is_some = !entries.is_empty();
        self.push_entries(entries);
        is_some
    }

    pub(super) fn push_entries(&mut self, entries: Vec<Entry>) {
        let Some(expires) = entries.iter().map(|entry| entry.expires).max() else {
            return;
        };
        let sequence = self.push(Body::Entries(entries));
        if self.live.len() >= MAX_LIVE
            && let Some(last) = self.live.back_mut()
        {
            last.1 = last.1.max(expires);
        } else {
            self.live.push_back((sequence, expires));
        }
    }

    pub(super) fn push(&mut self, body: Body) -> u64 {
        self.sequence += 1;
        self.outbox.push_back(Message {
            sender: self.me,
            sequence: self.sequence,
            body,
        });
        self.sequence
    }

    /// The messages that come next. They stay until [`sent`](Self::sent).
    pub(super) fn next(&self, count: usize) -> Vec<&Message> {
        self.outbox.iter().take(count).collect()
    }

    pub(super) fn sent(&mut self, count: usize) {
        self.outbox.drain(..count.min(self.outbox.len()));
    }

    /// The earlier messages need not be read: a snapshot follows. The sequence number of its first
    /// message.
    ///
    /// Numbers are not used again: a message that waits may be in the stream nevertheless.
    pub(super) fn begin_snapshot(&mut self) -> u64 {
        self.live.clear();
        self.outbox.clear();
        self.sequence + 1
    }

    /// The first sequence number that still counts, and the last one that was sent.
    pub(super) fn range(&mut self, now: UnixTime) -> (u64, u64) {
        while self
            .live
            .front()
            .is_some_and(|(_, expires)| *expires <= now)
        {
            self.live.pop_front();
        }
        let last = self.sequence - self.outbox.len() as u64;
        let oldest = self.live.front().map_or(last + 1, |(first, _)| *first);
        (oldest, last)
    }
}

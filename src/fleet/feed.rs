//! What a gateway has heard of its fleet, and whether something is missing. No IO and no clock.
//!
//! 1. Messages of a sender have consecutive sequence numbers, and its heartbeats say which of them
//!    still count. A message that is missing is a gap.
//! 2. Entries count whatever their order: they are authenticated, and to revoke twice changes
//!    nothing. An old or repeated message is noticed nevertheless.
//! 3. A gateway that misses something says so in its heartbeats, and one of its peers publishes all
//!    that it knows. Until then, the gateway counts as not having heard the fleet.
//! 4. A gateway has heard the fleet when it reads its own heartbeat, and misses nothing. The time is
//!    when it sent that heartbeat: whatever peers published before is read.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::message::{Body, Heartbeat, Message, Sender};

/// Gateways of one fleet. More of them come from somebody who has the key.
const MAX_PEERS: usize = 4096;
/// Own heartbeats that were sent and not read yet.
const MAX_SENT: usize = 64;

/// What this gateway knows of its fleet.
pub(super) struct Feed {
    me: Sender,
    max_age: Duration,
    started: Instant,
    /// Whether this gateway has what was published before it came.
    has_past: bool,
    /// Something could not be opened or added, and may have been a revocation.
    is_damaged: bool,
    /// Whether the stream of revocations was read to its end.
    is_drained: bool,
    peers: HashMap<Sender, Peer>,
    sent: VecDeque<(u64, Instant)>,
    heard: Option<Instant>,
    round_trip: Duration,
    snapshot_due: Option<Instant>,
    last_snapshot: Option<Instant>,
}

struct Peer {
    /// The first and the last sequence number that were read; 0 for none.
    first: u64,
    last: u64,
    /// What the last heartbeat says.
    oldest: u64,
    published: u64,
    beat: u64,
    heard: Instant,
    has_gap: bool,
}

/// How a message relates to the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageOrder {
    /// The next of its sender.
    InOrder,
    /// The messages before it are missing.
    AfterGap,
    /// Older than another of its sender, or a repetition.
    OutOfOrder,
    /// This gateway's own.
    Own,
}

impl Feed {
    pub(super) fn new(me: Sender, max_age: Duration, now: Instant) -> Self {
        Self {
            me,
            max_age,
            started: now,
            has_past: false,
            is_damaged: false,
            is_drained: false,
            peers: HashMap::new(),
            sent: VecDeque::new(),
            heard: None,
            round_trip: Duration::ZERO,
            snapshot_due: None,
            last_snapshot: None,
        }
    }

    /// The streams are read again from their beginning.
    pub(super) fn restart(&mut self, now: Instant) {
        self.peers.clear();
        self.sent.clear();
        self.is_drained = false;
        self.has_past = false;
        self.started = now;
    }

    /// The pause between two heartbeats.
    pub(super) fn interval(&self) -> Duration {
        (self.max_age / 5).clamp(Duration::from_millis(200), Duration::from_secs(10))
    }

    /// A message was read.
    pub(super) fn message(&mut self, message: &Message, now: Instant) -> MessageOrder {
        if message.sender == self.me {
            return MessageOrder::Own;
        }
        let sequence = message.sequence;
        let Some(peer) = self.peer(message.sender, now) else {
            self.is_damaged = true;
            return MessageOrder::OutOfOrder;
        };
        let order = if peer.last == 0 {
            peer.first = sequence;
            MessageOrder::InOrder
        } else if sequence <= peer.last {
            MessageOrder::OutOfOrder
        } else if sequence == peer.last + 1 {
            MessageOrder::InOrder
        } else {
            peer.has_gap = true;
            MessageOrder::AfterGap
        };
        peer.last = peer.last.max(sequence);
        self.has_past = true;
        if let Body::EndOfSnapshot { is_complete } = message.body {
            self.end_of_snapshot(message.sender, is_complete);
        }
        order
    }

    // A snapshot of a gateway that misses nothing makes up for all that others sent before.
    fn end_of_snapshot(&mut self, sender: Sender, is_complete: bool) {
        self.is_damaged = false;
        for (id, peer) in &mut self.peers {
            if is_complete || *id == sender {
                peer.has_gap = false;
                peer.first = 1;
                peer.last = peer.last.max(peer.published);
            }
        }
        self.snapshot_due = None;
    }

    /// The stream of revocations was read to its end.
    pub(super) fn drained(&mut self) {
        self.is_drained = true;
    }

    /// More of the stream is to be read.
    pub(super) fn not_drained(&mut self) {
        self.is_drained = false;
    }

    /// Something could not be opened, read or added.
    pub(super) fn damaged(&mut self) {
        self.is_damaged = true;
    }

    /// A heartbeat was read. `delay` is how long a snapshot waits for that of another peer.
    pub(super) fn heartbeat(&mut self, heartbeat: &Heartbeat, delay: Duration, now: Instant) {
        if heartbeat.sender == self.me {
            self.own_heartbeat(heartbeat.beat, now);
            return;
        }
        let Some(peer) = self.peer(heartbeat.sender, now) else {
            return;
        };
        if heartbeat.beat <= peer.beat {
            return;
        }
        peer.beat = heartbeat.beat;
        peer.heard = now;
        peer.oldest = heartbeat.oldest;
        peer.published = heartbeat.last;
        if heartbeat.wants_snapshot {
            self.snapshot_wanted(delay, now);
        }
    }

    fn own_heartbeat(&mut self, beat: u64, now: Instant) {
        let Some(at) = self.sent.iter().position(|(sent, _)| *sent == beat) else {
            return;
        };
        let (_, sent) = self.sent[at];
        self.sent.drain(..=at);
        self.round_trip = now.saturating_duration_since(sent);
        if self.is_complete(now) {
            self.heard = Some(sent);
        }
    }

    /// A peer asks for a snapshot, or Redis has lost the stream.
    pub(super) fn snapshot_wanted(&mut self, delay: Duration, now: Instant) {
        let was_recent = self
            .last_snapshot
            .is_some_and(|last| now.saturating_duration_since(last) < self.interval());
        if self.snapshot_due.is_none() && !was_recent {
            // Those who miss something themselves wait for those who do not.
            let wait = if self.is_complete(now) {
                Duration::ZERO
            } else {
                self.interval()
            };
            self.snapshot_due = Some(now + wait + delay);
        }
    }

    /// Whether this gateway publishes all that it knows now.
    pub(super) fn take_due_snapshot(&mut self, now: Instant) -> bool {
        let is_due = self.snapshot_due.is_some_and(|due| due <= now);
        if is_due {
            self.snapshot_due = None;
            self.last_snapshot = Some(now);
        }
        is_due
    }

    /// A heartbeat is sent now.
    pub(super) fn sends_heartbeat(&mut self, beat: u64, now: Instant) {
        if self.sent.len() == MAX_SENT {
            self.sent.pop_front();
        }
        self.sent.push_back((beat, now));
        self.forget_silent_peers(now);
    }

    /// Own heartbeats that were not read again.
    pub(super) fn unheard(&self) -> usize {
        self.sent.len()
    }

    /// Whether nothing is missing.
    pub(super) fn is_complete(&self, now: Instant) -> bool {
        let waited = now.saturating_duration_since(self.started) >= self.max_age;
        let is_alone = self.peers.is_empty() && waited;
        let has_past = self.has_past || is_alone;
        let is_whole = !self.is_damaged || is_alone;
        self.is_drained && has_past && is_whole && self.peers.values().all(Peer::is_whole)
    }

    /// Whether this gateway asks for a snapshot.
    pub(super) fn wants_snapshot(&self, now: Instant) -> bool {
        self.is_drained && !self.is_complete(now)
    }

    /// Since when nothing newer was heard; none if nothing was.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// From sending the last heartbeat to reading it.
    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The other gateways.
    pub(super) fn peers(&self) -> usize {
        self.peers.len()
    }

    fn peer(&mut self, sender: Sender, now: Instant) -> Option<&mut Peer> {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&sender) {
            return None;
        }
        Some(self.peers.entry(sender).or_insert(Peer {
            first: 0,
            last: 0,
            oldest: 0,
            published: 0,
            beat: 0,
            heard: now,
            has_gap: false,
        }))
    }

    // A gateway that stopped can no longer publish what is missing.
    fn forget_silent_peers(&mut self, now: Instant) {
        let max_silence = self.max_age * 2;
        self.peers
            .retain(|_, peer| now.saturating_duration_since(peer.heard) < max_silence);
    }
}

impl Peer {
    fn is_whole(&self) -> bool {
        let counts = self.published > 0 && self.oldest <= self.published;
        let has_all = self.first > 0 && self.first <= self.oldest && self.last >= self.published;
        !self.has_gap && (!counts || has_all)
    }
}

#[cfg(test)]
mod tests;

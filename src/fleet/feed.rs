//! What a gateway has heard of its fleet, and whether something is missing. No IO and no clock.
//!
//! 1. Messages of a sender have consecutive sequence numbers, and its heartbeats say which of them
//!    still count. A message that is missing is a gap.
//! 2. Entries count whatever their order: they are authenticated, and to revoke twice changes
//!    nothing. An old or repeated message is noticed nevertheless.
//! 3. A gateway that misses something says so in its heartbeats, and one of its peers publishes all
//!    that it knows. Until then, the gateway counts as not having heard the fleet.
//! 4. A snapshot makes up for what it says, and only if all of it was read, in order. So neither a
//!    snapshot that is replayed nor one that is held back hides what was removed after it.
//! 5. After an outage, what peers have revoked may still wait with them. So a gateway that has
//!    reconnected waits for the next heartbeat of each of them, as long as they take to reconnect.
//! 6. A gateway has heard the fleet when it reads its own heartbeat, and misses nothing. The time is
//!    when it sent that heartbeat: whatever peers published before is read.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::message::{Body, Coverage, Heartbeat, MAX_COVERED, Message, Sender};
use super::service::RECONNECT;

/// Gateways of one fleet. More of them come from somebody who has the key.
const MAX_PEERS: usize = MAX_COVERED;
/// The longest pause between two snapshots. What makes gateways ask again and again would otherwise
/// fill Redis with copies of all revocations.
const MAX_SNAPSHOT_PAUSE: Duration = Duration::from_secs(300);
/// Snapshots that may follow soon after each other: a fault that ends needs some.
const FREE_SNAPSHOTS: u32 = 5;
/// Own heartbeats that were sent and not read yet.
const MAX_SENT: usize = 64;
/// How long a gateway that misses something leaves a snapshot to those who do not.
const MAX_SNAPSHOT_WAIT: Duration = Duration::from_secs(1);
/// How long peers may take to reconnect. Those that take longer may have stopped.
const MAX_PEER_WAIT: Duration = RECONNECT.max.saturating_add(Duration::from_millis(200));

/// What this gateway knows of its fleet.
pub(super) struct Feed {
    me: Sender,
    max_age: Duration,
    /// Since when no other gateway says that it misses nothing; none if one does.
    nobody_complete_since: Option<Instant>,
    /// Whether this gateway has what was published before it came.
    has_past: bool,
    /// Something could not be opened, and may have been a revocation.
    is_damaged: bool,
    /// The store had no room for something. A snapshot does not help until it has.
    lacks_room: bool,
    /// Whether the stream of revocations was read to its end.
    is_drained: bool,
    peers: HashMap<Sender, Peer>,
    sent: VecDeque<(u64, Instant)>,
    heard: Option<Instant>,
    round_trip: Duration,
    snapshot_due: Option<Instant>,
    last_snapshot: Option<Instant>,
    /// How long after it the next one may follow.
    snapshot_pause: Duration,
    /// Snapshots that have followed soon after each other.
    soon_snapshots: u32,
    /// How long peers are awaited.
    awaits_until: Option<Instant>,
}

/// What a heartbeat is to say at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Completeness {
    pub(super) is_complete: bool,
    pub(super) wants_snapshot: bool,
}

struct Peer {
    /// The messages that were read last, without a gap: the first and the last sequence number; 0
    /// for none.
    first: u64,
    last: u64,
    /// Whether messages before `first` are missing.
    has_gap: bool,
    /// The last message that a snapshot makes up for, and for all before it.
    covered: u64,
    /// What the last heartbeat says.
    oldest: u64,
    published: u64,
    beat: u64,
    is_complete: bool,
    heard: Instant,
    /// It was heard before the last reconnection, and not since.
    is_awaited: bool,
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
        let mut this = Self {
            me,
            max_age,
            nobody_complete_since: Some(now),
            has_past: false,
            is_damaged: false,
            lacks_room: false,
            is_drained: false,
            peers: HashMap::new(),
            sent: VecDeque::new(),
            heard: None,
            round_trip: Duration::ZERO,
            snapshot_due: None,
            last_snapshot: None,
            snapshot_pause: Duration::ZERO,
            soon_snapshots: 0,
            awaits_until: None,
        };
        this.snapshot_pause = this.interval();
        this
    }

    /// The streams are read again from their beginning. What was read before is still known.
    pub(super) fn restart(&mut self) {
        self.sent.clear();
        self.is_drained = false;
    }

    /// This gateway was cut off, and so may have been the others. That nothing was heard of them says
    /// nothing.
    pub(super) fn reconnected(&mut self, now: Instant) {
        self.awaits_until = Some(now + MAX_PEER_WAIT);
        for peer in self.peers.values_mut() {
            peer.is_awaited = peer.beat > 0;
            peer.heard = now;
        }
    }

    /// Until when it waits for peers, if it does.
    pub(super) fn awaits_until(&self, now: Instant) -> Option<Instant> {
        let until = self.awaits_until.filter(|until| now < *until)?;
        let awaits = self.peers.values().any(|peer| peer.is_awaited);
        awaits.then_some(until)
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
            (peer.first, peer.last) = (sequence, sequence);
            MessageOrder::InOrder
        } else if sequence <= peer.last {
            MessageOrder::OutOfOrder
        } else if sequence - 1 == peer.last {
            peer.last = sequence;
            MessageOrder::InOrder
        } else {
            (peer.first, peer.last, peer.has_gap) = (sequence, sequence, true);
            MessageOrder::AfterGap
        };
        if let Body::EndOfSnapshot(coverage) = &message.body
            && order != MessageOrder::OutOfOrder
            && peer.first <= coverage.first
        {
            peer.covered = peer.covered.max(coverage.first.saturating_sub(1));
            self.end_of_snapshot(coverage, now);
        }
        order
    }

    fn end_of_snapshot(&mut self, coverage: &Coverage, now: Instant) {
        self.is_damaged = false;
        self.has_past |= coverage.is_complete;
        for (sender, last) in &coverage.read {
            if *sender != self.me
                && let Some(peer) = self.peer(*sender, now)
            {
                peer.covered = peer.covered.max(*last);
            }
        }
        if self.snapshot_due.take().is_some() {
            self.snapshot_happened(now);
        }
    }

    /// What a snapshot makes up for that begins with the message `first`.
    pub(super) fn coverage(&self, first: u64, now: Instant) -> Coverage {
        let read = self.peers.iter();
        let read = read.map(|(sender, peer)| (*sender, peer.last_without_gap()));
        Coverage {
            first,
            is_complete: self.is_complete(now),
            read: read.filter(|(_, last)| *last > 0).collect(),
        }
    }

    /// The stream of revocations was read to its end.
    pub(super) fn drained(&mut self) {
        self.is_drained = true;
    }

    /// More of the stream is to be read.
    pub(super) fn not_drained(&mut self) {
        self.is_drained = false;
    }

    /// Something could not be opened or read.
    pub(super) fn damaged(&mut self) {
        self.is_damaged = true;
    }

    /// The store had no room for something.
    pub(super) fn lacks_room(&mut self) {
        self.lacks_room = true;
    }

    /// The store has room. What it had none for before is missing.
    pub(super) fn has_room(&mut self) {
        self.is_damaged |= std::mem::take(&mut self.lacks_room);
    }

    /// Whether it is this gateway, or a peer that was heard and is not forgotten.
    pub(super) fn knows(&self, sender: Sender) -> bool {
        sender == self.me || self.peers.contains_key(&sender)
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
        peer.is_awaited = false;
        peer.oldest = heartbeat.oldest;
        peer.published = heartbeat.last;
        peer.is_complete = heartbeat.is_complete;
        if heartbeat.is_complete {
            self.nobody_complete_since = None;
        }
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
            // It stays so when others come, who ask this gateway.
            self.has_past = true;
            self.is_damaged = false;
        }
    }

    /// A peer asks for a snapshot, or Redis has lost the stream.
    pub(super) fn snapshot_wanted(&mut self, delay: Duration, now: Instant) {
        let was_recent = self
            .last_snapshot
            .is_some_and(|last| now.saturating_duration_since(last) < self.snapshot_pause);
        if self.snapshot_due.is_none() && !was_recent {
            // Those who miss something themselves wait for those who do not.
            let wait = if self.is_complete(now) {
                Duration::ZERO
            } else {
                self.interval().min(MAX_SNAPSHOT_WAIT)
            };
            self.snapshot_due = Some(now + wait + delay);
        }
    }

    /// Whether this gateway publishes all that it knows now. Another may have done so already, in the
    /// part of the stream that is not read yet.
    pub(super) fn take_due_snapshot(&mut self, now: Instant) -> bool {
        let is_due = self.is_drained && self.snapshot_due.is_some_and(|due| due <= now);
        if is_due {
            self.snapshot_due = None;
            self.snapshot_happened(now);
        }
        is_due
    }

    // More snapshots that follow soon after each other have ever longer pauses.
    fn snapshot_happened(&mut self, now: Instant) {
        let is_soon = self
            .last_snapshot
            .is_some_and(|last| now.saturating_duration_since(last) < self.snapshot_pause * 4);
        self.soon_snapshots = if is_soon {
            self.soon_snapshots.saturating_add(1)
        } else {
            0
        };
        self.snapshot_pause = if self.soon_snapshots >= FREE_SNAPSHOTS {
            (self.snapshot_pause * 4).min(MAX_SNAPSHOT_PAUSE)
        } else {
            self.interval()
        };
        self.last_snapshot = Some(now);
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
        let nobody_knows_more = self.nobody_knows_more(now);
        let has_past = self.has_past || nobody_knows_more;
        let is_whole = !self.lacks_room && (!self.is_damaged || nobody_knows_more);
        let has_all = is_whole && self.peers.values().all(Peer::is_whole);
        self.is_drained && has_past && has_all && self.awaits_until(now).is_none()
    }

    // There is no other gateway, or all of them miss something as well.
    fn nobody_knows_more(&self, now: Instant) -> bool {
        self.nobody_complete_since
            .is_some_and(|since| now.saturating_duration_since(since) >= self.max_age)
    }

    /// What the next heartbeat says. Once that changes, it need not wait.
    pub(super) fn completeness(&self, now: Instant) -> Completeness {
        let is_complete = self.is_complete(now);
        let awaits = self.awaits_until(now).is_some();
        Completeness {
            is_complete,
            wants_snapshot: self.is_drained && !self.lacks_room && !awaits && !is_complete,
        }
    }

    /// Whether this gateway asks for a snapshot.
    pub(super) fn wants_snapshot(&self, now: Instant) -> bool {
        self.completeness(now).wants_snapshot
    }

    /// Whether another gateway says that it misses nothing, so that one is published.
    pub(super) fn expects_snapshot(&self, now: Instant) -> bool {
        self.nobody_complete_since.is_none() && self.wants_snapshot(now)
    }

    /// Since when nothing newer was heard; none if nothing was.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// From sending the last heartbeat to reading it.
    pub(super) fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The other gateways that send heartbeats.
    pub(super) fn peers(&self) -> usize {
        self.live_peers().count()
    }

    // Messages of the others are from before they stopped.
    fn live_peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|peer| peer.beat > 0)
    }

    fn peer(&mut self, sender: Sender, now: Instant) -> Option<&mut Peer> {
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&sender) {
            return None;
        }
        Some(self.peers.entry(sender).or_insert(Peer {
            first: 0,
            last: 0,
            has_gap: false,
            covered: 0,
            oldest: 0,
            published: 0,
            beat: 0,
            is_complete: false,
            heard: now,
            is_awaited: false,
        }))
    }

    // A gateway that stopped can no longer publish what is missing.
    fn forget_silent_peers(&mut self, now: Instant) {
        let max_silence = self.max_age * 2;
        let last_heard = self.live_peers().map(|peer| peer.heard).max();
        self.peers
            .retain(|_, peer| now.saturating_duration_since(peer.heard) < max_silence);
        if self.live_peers().any(|peer| peer.is_complete) {
            self.nobody_complete_since = None;
        } else {
            let since = last_heard.filter(|_| self.peers() == 0).unwrap_or(now);
            self.nobody_complete_since.get_or_insert(since);
        }
    }
}

impl Peer {
    fn is_whole(&self) -> bool {
        // Those before it do not count any more, or a snapshot makes up for them.
        let from = self.oldest.max(self.covered.saturating_add(1));
        let counts = from <= self.published;
        let has_all = self.first > 0 && self.last >= self.published;
        let misses_earlier = (self.has_gap || counts) && self.first > from;
        (!counts || has_all) && !misses_earlier
    }

    // The last of the messages that this gateway has, with all before it that count.
    fn last_without_gap(&self) -> u64 {
        let from = self.oldest.max(self.covered.saturating_add(1));
        if self.first <= from || self.beat == 0 && !self.has_gap {
            self.last.max(self.covered)
        } else {
            self.covered
        }
    }
}

#[cfg(test)]
mod tests;

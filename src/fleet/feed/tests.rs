use std::time::{Duration, Instant};

use super::*;

const ME: Sender = Sender([1; 16]);
const PEER: Sender = Sender([2; 16]);
const OTHER: Sender = Sender([3; 16]);
const MAX_AGE: Duration = Duration::from_secs(30);

struct Test {
    feed: Feed,
    now: Instant,
    beat: u64,
}

impl Test {
    // The stream was read to its end, and is empty.
    fn new() -> Self {
        let now = crate::clock::now();
        let mut feed = Feed::new(ME, MAX_AGE, now);
        feed.drained();
        Self { feed, now, beat: 0 }
    }

    // The same, after a snapshot of a gateway that has stopped since.
    fn with_past() -> Self {
        let mut test = Self::new();
        test.end_of_snapshot(Sender([4; 16]), 1, true);
        assert!(test.is_complete());
        test
    }

    fn message(&mut self, sender: Sender, sequence: u64) -> MessageOrder {
        let body = Body::Entries(Vec::new());
        self.read(sender, sequence, body)
    }

    fn snapshot(&mut self, sender: Sender, sequence: u64, first: u64, read: &[(Sender, u64)]) {
        let coverage = Coverage {
            first,
            is_complete: true,
            read: read.to_vec(),
        };
        self.read(sender, sequence, Body::EndOfSnapshot(coverage));
    }

    // Without entries. A complete gateway has everything that this one has heard of.
    fn end_of_snapshot(&mut self, sender: Sender, sequence: u64, is_complete: bool) {
        let peers = self.feed.peers.iter().filter(|_| is_complete);
        let read = peers.map(|(id, peer)| (*id, peer.last.max(peer.published)));
        let coverage = Coverage {
            first: sequence,
            is_complete,
            read: read.collect(),
        };
        self.read(sender, sequence, Body::EndOfSnapshot(coverage));
    }

    fn read(&mut self, sender: Sender, sequence: u64, body: Body) -> MessageOrder {
        let message = Message {
            sender,
            sequence,
            body,
        };
        self.feed.message(&message, self.now)
    }

    fn heartbeat(&mut self, sender: Sender, oldest: u64, last: u64) {
        self.beat += 1;
        let heartbeat = Heartbeat {
            sender,
            beat: self.beat,
            oldest,
            last,
            is_complete: true,
            wants_snapshot: false,
        };
        self.feed.heartbeat(&heartbeat, Duration::ZERO, self.now);
    }

    fn asks(&mut self, sender: Sender) {
        self.beat += 1;
        let heartbeat = Heartbeat {
            sender,
            beat: self.beat,
            oldest: 1,
            last: 0,
            is_complete: false,
            wants_snapshot: true,
        };
        self.feed.heartbeat(&heartbeat, Duration::ZERO, self.now);
    }

    fn is_complete(&self) -> bool {
        self.feed.is_complete(self.now)
    }

    // Whether it counts as heard once it reads its own heartbeat.
    fn hears_itself(&mut self) -> bool {
        self.beat += 1;
        self.feed.sends_heartbeat(self.beat, self.now);
        let before = self.feed.heard();
        self.heartbeat_of_me();
        self.feed.heard() != before
    }

    fn heartbeat_of_me(&mut self) {
        let heartbeat = Heartbeat {
            sender: ME,
            beat: self.beat,
            oldest: 1,
            last: 0,
            is_complete: true,
            wants_snapshot: false,
        };
        self.now += Duration::from_millis(1);
        self.feed.heartbeat(&heartbeat, Duration::ZERO, self.now);
    }

    fn wait(&mut self, span: Duration) {
        self.now += span;
    }
}

#[test]
fn empty_stream_counts_as_not_heard_until_max_age_passes_without_peers() {
    let mut test = Test::new();
    assert!(!test.hears_itself());
    assert!(test.feed.wants_snapshot(test.now));
    test.wait(MAX_AGE);
    assert!(test.hears_itself());
}

#[test]
fn empty_stream_with_peers_counts_as_not_heard_until_the_snapshot_of_one() {
    let mut test = Test::new();
    test.heartbeat(PEER, 1, 0);
    test.wait(MAX_AGE);
    assert!(!test.hears_itself());
    test.end_of_snapshot(PEER, 1, true);
    assert!(test.hears_itself());
}

#[test]
fn reconnected_gateway_waits_for_the_peers_that_it_knows_and_not_longer_than_they_take() {
    let mut test = Test::with_past();
    test.heartbeat(PEER, 1, 0);
    test.message(OTHER, 1);
    assert!(test.hears_itself());
    test.feed.reconnected(test.now);
    assert!(
        !test.hears_itself(),
        "what the peer has revoked may wait there"
    );
    test.heartbeat(PEER, 1, 0);
    assert!(test.hears_itself(), "and the other one was never heard");
    test.wait(MAX_AGE * 3);
    test.feed.reconnected(test.now);
    assert!(
        !test.hears_itself(),
        "it was silent because this gateway was cut off"
    );
    test.wait(MAX_PEER_WAIT);
    assert!(test.hears_itself(), "the peer may have stopped");
}

#[test]
fn reading_again_keeps_what_was_read() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.message(PEER, 2);
    test.feed.restart();
    assert!(!test.is_complete(), "not read to its end");
    assert_eq!(test.message(PEER, 4), MessageOrder::AfterGap);
    test.heartbeat(PEER, 1, 4);
    test.feed.drained();
    assert!(!test.is_complete(), "the third message is missing");
}

#[test]
fn snapshot_waits_until_the_stream_is_read_to_its_end() {
    let mut test = Test::with_past();
    test.asks(PEER);
    test.feed.not_drained();
    assert!(!test.feed.take_due_snapshot(test.now));
    test.end_of_snapshot(OTHER, 1, true);
    test.feed.drained();
    assert!(
        !test.feed.take_due_snapshot(test.now),
        "another has published one"
    );
}

#[test]
fn messages_in_order_are_complete() {
    let mut test = Test::with_past();
    for sequence in 1..=3 {
        assert_eq!(test.message(PEER, sequence), MessageOrder::InOrder);
    }
    test.heartbeat(PEER, 1, 3);
    assert!(test.is_complete());
}

#[test]
fn repeated_and_reordered_messages_are_noticed() {
    let mut test = Test::with_past();
    assert_eq!(test.message(PEER, 1), MessageOrder::InOrder);
    assert_eq!(test.message(PEER, 1), MessageOrder::OutOfOrder);
    assert_eq!(test.message(PEER, 3), MessageOrder::AfterGap);
    assert_eq!(test.message(PEER, 2), MessageOrder::OutOfOrder);
    assert!(!test.is_complete());
}

#[test]
fn removed_message_is_noticed_by_the_next_message_or_heartbeat() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.heartbeat(PEER, 1, 2);
    assert!(!test.is_complete(), "the last message is missing");
    test.message(PEER, 2);
    assert!(test.is_complete(), "it arrives late");
    test.message(PEER, 4);
    assert!(!test.is_complete(), "the third message is missing");

    let mut test = Test::with_past();
    test.message(PEER, 2);
    test.heartbeat(PEER, 1, 2);
    assert!(!test.is_complete(), "the first message is missing");
    test.heartbeat(PEER, 2, 2);
    assert!(test.is_complete(), "the first message has expired");
}

#[test]
fn snapshot_of_a_complete_peer_fills_all_gaps_and_another_only_its_own() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.message(PEER, 3);
    test.heartbeat(PEER, 1, 3);
    test.end_of_snapshot(OTHER, 1, false);
    assert!(!test.is_complete());
    test.end_of_snapshot(OTHER, 2, true);
    assert!(test.is_complete());
    test.message(PEER, 5);
    assert!(!test.is_complete());
    test.end_of_snapshot(PEER, 6, false);
    assert!(test.is_complete());
}

#[test]
fn unopened_message_counts_as_missing_until_a_snapshot() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.feed.damaged();
    assert!(!test.hears_itself());
    test.end_of_snapshot(PEER, 2, false);
    assert!(test.hears_itself());
}

#[test]
fn replayed_heartbeats_say_nothing_new() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    assert!(test.hears_itself());
    let heard = test.feed.heard();
    test.heartbeat_of_me();
    assert_eq!(test.feed.heard(), heard);
    test.beat = 100;
    test.heartbeat_of_me();
    assert_eq!(test.feed.heard(), heard, "a heartbeat that was never sent");
}

#[test]
fn snapshot_is_published_once_for_several_requests() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.asks(PEER);
    assert!(test.feed.take_due_snapshot(test.now));
    test.asks(OTHER);
    assert!(!test.feed.take_due_snapshot(test.now));
    test.wait(test.feed.interval());
    test.asks(OTHER);
    assert!(test.feed.take_due_snapshot(test.now));
}

#[test]
fn snapshot_of_another_peer_is_enough() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.asks(OTHER);
    test.end_of_snapshot(PEER, 2, true);
    assert!(!test.feed.take_due_snapshot(test.now));
}

#[test]
fn own_messages_are_no_past_and_silent_peers_are_forgotten() {
    let mut test = Test::new();
    assert_eq!(test.message(ME, 1), MessageOrder::Own);
    assert!(!test.is_complete());
    test.heartbeat(PEER, 1, 4);
    assert_eq!((test.feed.peers(), test.feed.knows(PEER)), (1, true));
    test.wait(MAX_AGE * 2);
    assert!(test.hears_itself());
    assert_eq!((test.feed.peers(), test.feed.knows(PEER)), (0, false));
    assert!(test.feed.knows(ME));
}

#[test]
fn peers_are_bounded() {
    let mut test = Test::new();
    for index in 0..u32::try_from(MAX_PEERS).expect("few") + 10 {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&index.to_be_bytes());
        test.message(Sender(id), 1);
    }
    assert_eq!(test.feed.peers.len(), MAX_PEERS);
    assert!(!test.is_complete());
}

#[test]
fn snapshot_that_is_replayed_hides_nothing_that_was_removed() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.snapshot(OTHER, 1, 1, &[(PEER, 1)]);
    assert!(test.is_complete());
    test.heartbeat(PEER, 1, 2);
    assert!(!test.is_complete(), "the second message is missing");
    test.snapshot(OTHER, 1, 1, &[(PEER, 2)]);
    assert!(!test.is_complete(), "a number that was read before");
}

#[test]
fn snapshot_that_is_held_back_hides_nothing_that_came_after_it() {
    let mut test = Test::with_past();
    test.message(PEER, 1);
    test.heartbeat(PEER, 1, 2);
    test.snapshot(OTHER, 1, 1, &[(PEER, 1)]);
    assert!(
        !test.is_complete(),
        "it was published before the second message"
    );
    test.message(PEER, 3);
    test.snapshot(OTHER, 2, 2, &[(PEER, 1)]);
    assert!(!test.is_complete());
    test.snapshot(OTHER, 3, 3, &[(PEER, 2)]);
    assert!(test.is_complete());
}

#[test]
fn snapshot_counts_only_if_all_of_it_was_read() {
    let mut test = Test::with_past();
    test.heartbeat(PEER, 1, 2);
    test.message(OTHER, 1);
    test.message(OTHER, 3);
    test.snapshot(OTHER, 4, 2, &[(PEER, 2)]);
    assert!(!test.is_complete(), "its first message is missing");
    test.message(OTHER, 5);
    test.snapshot(OTHER, 6, 5, &[(PEER, 2)]);
    assert!(test.is_complete());
    assert_eq!(test.feed.coverage(9, test.now).read.len(), 3);
}

#[test]
fn gateway_claims_to_have_read_only_what_it_has() {
    let mut test = Test::with_past();
    let mut covered = |sequence: u64| {
        test.message(PEER, sequence);
        test.heartbeat(PEER, 1, sequence);
        let coverage = test.feed.coverage(1, test.now);
        let found = coverage.read.iter().find(|(sender, _)| *sender == PEER);
        (coverage.is_complete, found.map(|(_, last)| *last))
    };
    assert_eq!(covered(1), (true, Some(1)));
    assert_eq!(covered(2), (true, Some(2)));
    assert_eq!(covered(4), (false, None), "a gap");
}

#[test]
fn stream_that_lost_its_past_is_not_whole_although_it_has_messages() {
    let mut test = Test::new();
    test.message(PEER, 7);
    test.heartbeat(PEER, 7, 7);
    assert!(!test.hears_itself(), "others may have published before");
    assert!(test.feed.wants_snapshot(test.now));
    test.wait(MAX_AGE);
    test.heartbeat(PEER, 7, 7);
    assert!(!test.hears_itself(), "the peer has the past");
    test.snapshot(PEER, 8, 8, &[]);
    assert!(test.hears_itself());
}

#[test]
fn gateways_that_all_start_at_once_go_on_after_max_age() {
    let mut test = Test::new();
    test.asks(PEER);
    assert!(!test.hears_itself());
    test.wait(MAX_AGE);
    test.asks(PEER);
    assert!(test.hears_itself());
    test.heartbeat(PEER, 1, 0);
    assert!(test.hears_itself(), "it has what there is, also for others");
    // Not so if all of them miss something for a moment.
    let mut test = Test::with_past();
    test.heartbeat(PEER, 1, 0);
    test.wait(MAX_AGE);
    test.feed.damaged();
    test.asks(PEER);
    assert!(!test.hears_itself());
}

#[test]
fn store_without_room_asks_for_a_snapshot_once_it_has_room() {
    let mut test = Test::with_past();
    test.feed.lacks_room();
    assert!(!test.hears_itself());
    test.wait(MAX_AGE * 3);
    assert!(!test.hears_itself());
    assert!(
        !test.feed.wants_snapshot(test.now),
        "it has no room for one"
    );
    test.feed.has_room();
    test.heartbeat(PEER, 1, 0);
    assert!(!test.hears_itself());
    assert!(test.feed.wants_snapshot(test.now));
    test.snapshot(PEER, 1, 1, &[]);
    assert!(test.hears_itself());
}

#[test]
fn snapshots_that_are_wanted_again_and_again_have_ever_longer_pauses() {
    let mut test = Test::with_past();
    let mut published = 0;
    for _ in 0..3600 {
        test.wait(Duration::from_secs(1));
        test.asks(PEER);
        published += usize::from(test.feed.take_due_snapshot(test.now));
    }
    assert!((10..=20).contains(&published), "{published} in an hour");
    test.wait(Duration::from_secs(3600));
    test.asks(PEER);
    assert!(test.feed.take_due_snapshot(test.now));
    test.wait(test.feed.interval());
    test.asks(PEER);
    assert!(test.feed.take_due_snapshot(test.now), "as at the beginning");
}

#[test]
fn largest_numbers_break_nothing() {
    let mut test = Test::with_past();
    test.message(PEER, u64::MAX - 1);
    test.heartbeat(PEER, u64::MAX, u64::MAX - 1);
    assert!(test.is_complete());
    test.heartbeat(PEER, 1, u64::MAX - 1);
    assert!(!test.is_complete());
    test.snapshot(OTHER, u64::MAX - 1, 1, &[(PEER, u64::MAX)]);
    test.snapshot(OTHER, u64::MAX - 1, u64::MAX - 1, &[(PEER, u64::MAX)]);
    test.message(PEER, 1);
    test.heartbeat(PEER, 0, 0);
}

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

    fn message(&mut self, sender: Sender, sequence: u64) -> MessageOrder {
        let body = Body::Entries(Vec::new());
        self.read(sender, sequence, body)
    }

    fn end_of_snapshot(&mut self, sender: Sender, sequence: u64, is_complete: bool) {
        self.read(sender, sequence, Body::EndOfSnapshot { is_complete });
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
fn messages_in_order_are_complete() {
    let mut test = Test::new();
    for sequence in 1..=3 {
        assert_eq!(test.message(PEER, sequence), MessageOrder::InOrder);
    }
    test.heartbeat(PEER, 1, 3);
    assert!(test.is_complete());
}

#[test]
fn repeated_and_reordered_messages_are_noticed() {
    let mut test = Test::new();
    assert_eq!(test.message(PEER, 1), MessageOrder::InOrder);
    assert_eq!(test.message(PEER, 1), MessageOrder::OutOfOrder);
    assert_eq!(test.message(PEER, 3), MessageOrder::AfterGap);
    assert_eq!(test.message(PEER, 2), MessageOrder::OutOfOrder);
    assert!(!test.is_complete());
}

#[test]
fn removed_message_is_noticed_by_the_next_message_or_heartbeat() {
    let mut test = Test::new();
    test.message(PEER, 1);
    test.heartbeat(PEER, 1, 2);
    assert!(!test.is_complete(), "the last message is missing");
    test.message(PEER, 2);
    assert!(test.is_complete(), "it arrives late");
    test.message(PEER, 4);
    assert!(!test.is_complete(), "the third message is missing");

    let mut test = Test::new();
    test.message(PEER, 2);
    test.heartbeat(PEER, 1, 2);
    assert!(!test.is_complete(), "the first message is missing");
    test.heartbeat(PEER, 2, 2);
    assert!(test.is_complete(), "the first message has expired");
}

#[test]
fn snapshot_of_a_complete_peer_fills_all_gaps_and_another_only_its_own() {
    let mut test = Test::new();
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
    let mut test = Test::new();
    test.message(PEER, 1);
    test.feed.damaged();
    assert!(!test.hears_itself());
    test.end_of_snapshot(PEER, 2, false);
    assert!(test.hears_itself());
}

#[test]
fn replayed_heartbeats_say_nothing_new() {
    let mut test = Test::new();
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
    let mut test = Test::new();
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
    let mut test = Test::new();
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
    assert_eq!(test.feed.peers(), 1);
    test.wait(MAX_AGE * 2);
    assert!(test.hears_itself());
    assert_eq!(test.feed.peers(), 0);
}

#[test]
fn peers_are_bounded() {
    let mut test = Test::new();
    for index in 0..u32::try_from(MAX_PEERS).expect("few") + 10 {
        let mut id = [9; 16];
        id[..4].copy_from_slice(&index.to_be_bytes());
        test.message(Sender(id), 1);
    }
    assert_eq!(test.feed.peers(), MAX_PEERS);
    assert!(!test.is_complete());
}

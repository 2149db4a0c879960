//! What an HTTP/2 peer asks of us besides requests, and where it ends.
//!
//! Every frame costs us something, and most kinds of flood are made of frames that carry nothing (CVE-2019-9511 to
//! 9518, rapid reset, CONTINUATION floods). The protocol's library bounds those that it has to remember; this counts the
//! rest, whatever they are called:
//!
//! 1. A frame that carries neither a request nor a byte of a body costs one unit of the [`FrameBudget`], and so does a reset.
//! 2. The budget grows with time and with the answers that the peer takes: who downloads must send window updates.
//! 3. Who has none left is disconnected.
//!
//! A server is asked by us, and its frames are not counted. Of both the field blocks are looked at: see
//! [`pseudo_fields`](super::pseudo_fields).

use std::cell::Cell;
use std::time::Instant;

use super::pseudo_fields::{PseudoFields, Sender};

/// What may be saved up, and is there at the beginning.
const MAX_SAVED: u32 = 1000;
const PER_SECOND: u32 = 200;
/// An answer's frame is worth this, and one more for each KiB.
const PER_RESPONSE_FRAME: u32 = 2;

/// The octets before each frame's payload (RFC 9113 §4.1).
const HEADER: usize = 9;

// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// The octets of a stream's priority.
const PRIORITY_FIELDS: usize = 5;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

/// How many frames without content a peer may still send.
#[derive(Debug, Default)]
pub struct FrameBudget {
    used: Cell<u32>,
    /// When what time has brought was last counted.
    since: Cell<Option<Instant>>,
}

/// A peer has sent more frames without content than it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer floods us with frames that carry nothing")]
pub struct FrameFlood;

impl FrameBudget {
    /// The peer took a frame of so many bytes.
    pub fn earn(&self, bytes: usize) {
        let bytes = u32::try_from(bytes / 1024).unwrap_or(MAX_SAVED);
        self.used.set(
            self.used
                .get()
                .saturating_sub(PER_RESPONSE_FRAME.saturating_add(bytes)),
        );
    }

    fn spend(&self, now: Instant) -> Result<(), FrameFlood> {
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        if self.used.get() >= MAX_SAVED {
            // The time is looked at only here. At most what may be saved up, so it is small.
            let seconds = now.duration_since(since).as_secs_f64();
            let earned = (seconds * f64::from(PER_SECOND)).min(f64::from(MAX_SAVED)) as u32;
            if earned == 0 {
                return Err(FrameFlood);
            }
            self.used.set(self.used.get().saturating_sub(earned));
            self.since.set(Some(now));
        }
        self.used.set(self.used.get() + 1);
        Ok(())
    }
}

/// Reads the frame headers in what a peer sends, wherever its reads begin and end.
#[derive(Debug)]
pub struct FrameReader {
    header: [u8; HEADER],
    header_read: usize,
    payload_left: usize,
    /// Whether the payload is the preface, or a piece of a head.
    is_of_head: bool,
    /// Whether another piece has to follow.
    is_continued: bool,
    /// What stands in the payload before the field block, beside the octet that tells how much padding stands behind it.
    before_block: usize,
    has_padding: bool,
    padding: usize,
    fields: PseudoFields,
    /// Streams with a malformed message that nobody knows of yet.
    malformed: Vec<u32>,
}

impl FrameReader {
    /// For the connection of a client, which sends a preface of 24 octets before its first frame (RFC 9113 §3.4).
    pub fn after_preface() -> Self {
        Self {
            payload_left: 24,
            is_of_head: true,
            is_continued: true,
            ..Self::of(Sender::Client)
        }
    }

    /// For the connection to a server.
    pub fn of_server() -> Self {
        Self::of(Sender::Server)
    }

    pub(super) fn of(sender: Sender) -> Self {
        Self {
            header: [0; HEADER],
            header_read: 0,
            payload_left: 0,
            is_of_head: false,
            is_continued: false,
            before_block: 0,
            has_padding: false,
            padding: 0,
            fields: PseudoFields::of(sender),
            malformed: Vec::new(),
        }
    }

    /// Whether a client sends them; clients are held to a frame budget.
    pub fn are_of_client(&self) -> bool {
        self.fields.sender() == Sender::Client
    }

    /// The streams that were found to have a malformed message, each once.
    pub fn take_malformed(&mut self) -> Option<Vec<u32>> {
        (!self.malformed.is_empty()).then(|| std::mem::take(&mut self.malformed))
    }

    /// Whether something has begun that has to end before anything else: the preface, or the head of a request, whose
    /// last byte is still to come.
    pub fn is_within_head(&self) -> bool {
        self.is_continued || self.is_of_head && self.payload_left > 0
    }

    /// Looks at what was read next.
    ///
    /// # Errors
    /// [`FrameFlood`] when the peer has used up its frame_budget.
    pub fn read(
        &mut self,
        mut bytes: &[u8],
        frame_budget: &FrameBudget,
        now: Instant,
    ) -> Result<(), FrameFlood> {
        while !bytes.is_empty() {
            let skipped = self.payload_left.min(bytes.len());
            if skipped > 0 {
                self.read_payload(&bytes[..skipped]);
            }
            bytes = &bytes[skipped..];
            let taken = (HEADER - self.header_read).min(bytes.len());
            self.header[self.header_read..][..taken].copy_from_slice(&bytes[..taken]);
            self.header_read += taken;
            bytes = &bytes[taken..];
            if self.header_read == HEADER {
                self.header_read = 0;
                self.begin(frame_budget, now)?;
            }
        }
        Ok(())
    }

    // Of a head it is a piece of a field block, after its priority and before its padding (RFC 9113 §6.2).
    fn read_payload(&mut self, mut bytes: &[u8]) {
        let mut left = self.payload_left;
        self.payload_left -= bytes.len();
        // The preface is none.
        if !self.is_of_head || self.header[3] == 0 {
            return;
        }
        if self.has_padding {
            (self.has_padding, self.padding) = (false, usize::from(bytes[0]));
            (bytes, left) = (&bytes[1..], left - 1);
        }
        let before = self.before_block.min(bytes.len());
        self.before_block -= before;
        (bytes, left) = (&bytes[before..], left - before);
        let block = left.saturating_sub(self.padding).min(bytes.len());
        self.fields.read(&bytes[..block]);
        self.end_block();
    }

    fn end_block(&mut self) {
        if self.payload_left == 0 && self.is_of_head && !self.is_continued {
            self.malformed.extend(self.fields.end());
        }
    }

    fn begin(&mut self, frame_budget: &FrameBudget, now: Instant) -> Result<(), FrameFlood> {
        let [high, middle, low, kind, flags, stream @ ..] = self.header;
        self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.is_of_head = matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION);
        self.is_continued = self.is_of_head && flags & END_HEADERS == 0;
        (self.has_padding, self.padding, self.before_block) = (false, 0, 0);
        if kind == HEADERS {
            self.has_padding = flags & PADDED != 0;
            self.before_block = if flags & PRIORITY != 0 {
                PRIORITY_FIELDS
            } else {
                0
            };
            self.fields.begin(
                u32::from_be_bytes(stream) & (u32::MAX >> 1),
                flags & END_STREAM != 0,
            );
        }
        self.end_block();
        if !self.are_of_client() {
            return Ok(());
        }
        let has_content = match kind {
            DATA => self.payload_left > 0 || flags & END_STREAM != 0,
            HEADERS => true,
            _ => false,
        };
        if has_content {
            Ok(())
        } else {
            frame_budget.spend(now)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const PING: u8 = 6;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).expect("short").to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + payload, 0xff);
        frame
    }

    #[test]
    fn frames_are_found_wherever_reads_begin_and_end() {
        let all = [
            frame(HEADERS, 0, 20),
            frame(CONTINUATION, 0, 7),
            frame(CONTINUATION, END_HEADERS, 0),
            frame(DATA, 0, 30),
        ]
        .concat();
        for size in 1..all.len() {
            let (mut frames, frame_budget, now) = (
                FrameReader::of(Sender::Client),
                FrameBudget::default(),
                Instant::now(),
            );
            let mut within = Vec::new();
            for piece in all.chunks(size) {
                assert_eq!(frames.read(piece, &frame_budget, now), Ok(()));
                within.push(frames.is_within_head());
            }
            assert_eq!(
                (frames.payload_left, frames.header_read),
                (0, 0),
                "reads of {size}"
            );
            assert_eq!(frame_budget.used.get(), 2, "each CONTINUATION");
            assert_eq!(within.last(), Some(&false));
            assert!(size > 9 || within.contains(&true));
        }
    }

    #[test]
    fn field_blocks_are_found_between_priority_and_padding_and_in_all_their_pieces() {
        let whole = |kind: u8, flags: u8, payload: &[u8]| {
            let mut whole = frame(kind, flags, payload.len());
            whole[HEADER..].copy_from_slice(payload);
            whole
        };
        // `:method: GET`, then trailers with `:path: /` in the last piece; padding that looks like fields.
        let head = whole(
            HEADERS,
            END_HEADERS | PADDED | PRIORITY,
            &[3, 0, 0, 0, 0, 0x84, 0x82, 0x84, 0x84, 0x84],
        );
        let trailers = [
            whole(HEADERS, PADDED | END_STREAM, &[1, 0x40, 1, b'a', 0x84]),
            whole(CONTINUATION, 0, &[1, b'b']),
            whole(CONTINUATION, END_HEADERS, &[0x84]),
        ];
        let all = [head.clone(), trailers.concat()].concat();
        for size in 1..=all.len() {
            let (mut frames, frame_budget, now) = (
                FrameReader::of(Sender::Client),
                FrameBudget::default(),
                Instant::now(),
            );
            for piece in all.chunks(size) {
                assert_eq!(frames.read(piece, &frame_budget, now), Ok(()));
            }
            assert_eq!(frames.take_malformed(), Some(vec![1]), "reads of {size}");
            assert_eq!(frames.take_malformed(), None);
            let mut frames = FrameReader::of_server();
            for piece in head.chunks(size) {
                assert_eq!(frames.read(piece, &frame_budget, now), Ok(()));
            }
            assert_eq!(
                frames.take_malformed(),
                Some(vec![1]),
                "a response, in reads of {size}"
            );
        }
    }

    #[test]
    fn frames_of_a_server_are_not_counted() {
        let (mut frames, frame_budget, now) = (
            FrameReader::of_server(),
            FrameBudget::default(),
            Instant::now(),
        );
        for _ in 0..2 * MAX_SAVED {
            assert_eq!(frames.read(&frame(PING, 0, 8), &frame_budget, now), Ok(()));
        }
    }

    #[test]
    fn frames_without_content_are_a_flood_and_bodies_are_not() {
        let (frame_budget, now) = (FrameBudget::default(), Instant::now());
        let mut frames = FrameReader::of(Sender::Client);
        for bytes in [
            frame(DATA, 0, 1),
            frame(DATA, END_STREAM, 0),
            frame(HEADERS, END_HEADERS, 9),
        ] {
            for _ in 0..10 * MAX_SAVED {
                assert_eq!(frames.read(&bytes, &frame_budget, now), Ok(()));
            }
        }
        for (kind, payload) in [
            (DATA, 0),
            (2, 5),
            (3, 4),
            (4, 0),
            (PING, 8),
            (8, 4),
            (CONTINUATION, 0),
            (77, 3),
        ] {
            let (frame_budget, mut frames) =
                (FrameBudget::default(), FrameReader::of(Sender::Client));
            let bytes = frame(kind, 0, payload);
            let sent = (0..10 * MAX_SAVED)
                .take_while(|_| frames.read(&bytes, &frame_budget, now).is_ok())
                .count();
            assert_eq!(sent, MAX_SAVED as usize, "kind {kind}");
        }
    }

    #[test]
    fn allowance_grows_with_time_and_with_what_is_taken() {
        let (frame_budget, now) = (FrameBudget::default(), Instant::now());
        for _ in 0..MAX_SAVED {
            assert_eq!(frame_budget.spend(now), Ok(()));
        }
        frame_budget.earn(0);
        assert_eq!(
            [
                frame_budget.spend(now),
                frame_budget.spend(now),
                frame_budget.spend(now)
            ],
            [Ok(()), Ok(()), Err(FrameFlood)]
        );
        frame_budget.earn(10 * 1024 * 1024);
        assert_eq!(frame_budget.used.get(), 0);
        // What is within the rate goes on for ever.
        let mut later = now;
        for _ in 0..20 * MAX_SAVED {
            later += Duration::from_secs(1) / (PER_SECOND - 1);
            assert_eq!(frame_budget.spend(later), Ok(()));
        }
    }
}

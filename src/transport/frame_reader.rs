//! Limits the HTTP/2 frames that carry no content.
//!
//! Every frame costs CPU time, and most floods consist of frames without content (CVE-2019-9511 to
//! 9518, rapid reset, CONTINUATION floods). h2 bounds the frames that it has to store. This module
//! counts the other ones, of any type:
//!
//! 1. A frame with neither a request nor a byte of a body costs one unit of the [`FrameBudget`]. So
//!    does a reset.
//! 2. The budget grows with time and with the responses that are sent: a download needs window
//!    updates.
//! 3. A client without budget is disconnected.
//!
//! The frames of a server are not counted, because the gateway opened that connection. The field
//! blocks of both are checked by [`pseudo_fields`](super::pseudo_fields).

use std::cell::Cell;
use std::time::Instant;

use super::pseudo_fields::{PseudoFields, Sender};

/// The initial budget, and its maximum.
const MAX_BUDGET: u32 = 1000;
const PER_SECOND: u32 = 200;
/// What a frame of a response adds, besides one unit for each KiB.
const PER_RESPONSE_FRAME: u32 = 2;

/// The octets before each frame's payload (RFC 9113 §4.1).
const FRAME_HEADER: usize = 9;

// Types of frames (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

// Their flags.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY_FLAG: u8 = 0x20;

/// The octets of a stream's priority.
const PRIORITY_FIELDS: usize = 5;

/// How many frames without content a peer may still send.
#[derive(Debug, Default)]
pub struct FrameBudget {
    used: Cell<u32>,
    /// When the growth over time was last added.
    since: Cell<Option<Instant>>,
}

/// A peer has sent more frames without content than it may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer sends too many frames without content")]
pub struct FrameFlood;

impl FrameBudget {
    /// Adds the value of a response frame of this many bytes.
    pub fn earn(&self, bytes: usize) {
        let bytes = u32::try_from(bytes / 1024).unwrap_or(MAX_BUDGET);
        self.used.set(
            self.used
                .get()
                .saturating_sub(PER_RESPONSE_FRAME.saturating_add(bytes)),
        );
    }

    fn spend(&self, now: Instant) -> Result<(), FrameFlood> {
        let since = self.since.get().unwrap_or(now);
        self.since.set(Some(since));
        if self.used.get() >= MAX_BUDGET {
            // Growth over time is added only here. It is at most MAX_BUDGET, so the cast is exact.
            let seconds = now.duration_since(since).as_secs_f64();
            let earned = (seconds * f64::from(PER_SECOND)).min(f64::from(MAX_BUDGET)) as u32;
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

/// Reads the frame headers in the bytes of a peer, however reads split them.
#[derive(Debug)]
pub struct FrameReader {
    header: [u8; FRAME_HEADER],
    header_read: usize,
    payload_left: usize,
    /// Whether the payload is the preface, or a part of a field block.
    is_head_payload: bool,
    /// Whether another part has to follow.
    is_continued: bool,
    /// The octets of the payload before the field block, without the octet with the padding length.
    before_block: usize,
    has_padding: bool,
    padding: usize,
    fields: PseudoFields,
    /// Streams with a malformed message that were not returned yet.
    malformed: Vec<u32>,
}

impl FrameReader {
    /// For the connection of a client, which sends a preface of 24 octets before its first frame
    /// (RFC 9113 §3.4).
    pub fn after_preface() -> Self {
        Self {
            payload_left: 24,
            is_head_payload: true,
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
            header: [0; FRAME_HEADER],
            header_read: 0,
            payload_left: 0,
            is_head_payload: false,
            is_continued: false,
            before_block: 0,
            has_padding: false,
            padding: 0,
            fields: PseudoFields::of(sender),
            malformed: Vec::new(),
        }
    }

    /// Whether a client sends the frames. Only clients have a frame budget.
    pub fn is_from_client(&self) -> bool {
        self.fields.sender() == Sender::Client
    }

    /// Returns each stream with a malformed message once.
    pub fn take_malformed(&mut self) -> Option<Vec<u32>> {
        (!self.malformed.is_empty()).then(|| std::mem::take(&mut self.malformed))
    }

    /// Whether the preface or the field block of a request is incomplete.
    pub fn is_within_head(&self) -> bool {
        self.is_continued || self.is_head_payload && self.payload_left > 0
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    /// [`FrameFlood`] when the budget of the peer is used up.
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
            let taken = (FRAME_HEADER - self.header_read).min(bytes.len());
            self.header[self.header_read..][..taken].copy_from_slice(&bytes[..taken]);
            self.header_read += taken;
            bytes = &bytes[taken..];
            if self.header_read == FRAME_HEADER {
                self.header_read = 0;
                self.begin(frame_budget, now)?;
            }
        }
        Ok(())
    }

    // A field block stands between the priority and the padding (RFC 9113 §6.2).
    fn read_payload(&mut self, mut bytes: &[u8]) {
        let mut left = self.payload_left;
        self.payload_left -= bytes.len();
        // The preface is no field block.
        if !self.is_head_payload || self.header[3] == 0 {
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
        if self.payload_left == 0 && self.is_head_payload && !self.is_continued {
            self.malformed.extend(self.fields.end());
        }
    }

    fn begin(&mut self, frame_budget: &FrameBudget, now: Instant) -> Result<(), FrameFlood> {
        let [high, middle, low, kind, flags, stream @ ..] = self.header;
        self.payload_left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.is_head_payload = matches!(kind, HEADERS | PUSH_PROMISE | CONTINUATION);
        self.is_continued = self.is_head_payload && flags & END_HEADERS == 0;
        (self.has_padding, self.padding, self.before_block) = (false, 0, 0);
        if kind == HEADERS {
            self.has_padding = flags & PADDED != 0;
            self.before_block = if flags & PRIORITY_FLAG != 0 {
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
        if !self.is_from_client() {
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
        frame.resize(FRAME_HEADER + payload, 0xff);
        frame
    }

    #[test]
    fn frames_are_found_however_reads_split_them() {
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
    fn field_blocks_are_found_between_priority_and_padding_and_across_frames() {
        let whole = |kind: u8, flags: u8, payload: &[u8]| {
            let mut whole = frame(kind, flags, payload.len());
            whole[FRAME_HEADER..].copy_from_slice(payload);
            whole
        };
        // `:method: GET`, then trailers with `:path: /` in the last piece; padding that looks like
        // fields.
        let head = whole(
            HEADERS,
            END_HEADERS | PADDED | PRIORITY_FLAG,
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
        for _ in 0..2 * MAX_BUDGET {
            assert_eq!(frames.read(&frame(PING, 0, 8), &frame_budget, now), Ok(()));
        }
    }

    #[test]
    fn frames_without_content_are_limited_and_bodies_are_not() {
        let (frame_budget, now) = (FrameBudget::default(), Instant::now());
        let mut frames = FrameReader::of(Sender::Client);
        for bytes in [
            frame(DATA, 0, 1),
            frame(DATA, END_STREAM, 0),
            frame(HEADERS, END_HEADERS, 9),
        ] {
            for _ in 0..10 * MAX_BUDGET {
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
            let sent = (0..10 * MAX_BUDGET)
                .take_while(|_| frames.read(&bytes, &frame_budget, now).is_ok())
                .count();
            assert_eq!(sent, MAX_BUDGET as usize, "kind {kind}");
        }
    }

    #[test]
    fn budget_grows_with_time_and_with_sent_responses() {
        let (frame_budget, now) = (FrameBudget::default(), Instant::now());
        for _ in 0..MAX_BUDGET {
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
        // A rate below the limit never ends.
        let mut later = now;
        for _ in 0..20 * MAX_BUDGET {
            later += Duration::from_secs(1) / (PER_SECOND - 1);
            assert_eq!(frame_budget.spend(later), Ok(()));
        }
    }
}

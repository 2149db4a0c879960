//! Frames of an HTTP/2 peer, as the gateway reads them before its library does.
//!
//! The first byte chooses the sender and where the input is cut. The result must not depend on the
//! cut, and must equal what an HPACK decoder (RFC 7541) finds in the field blocks.

use std::collections::BTreeSet;
use std::time::Instant;

use loona_hpack::Decoder;
use scopegate::transport::{FrameBudget, FrameReader};

/// The preface of a client (RFC 9113 §3.4).
const PREFACE: usize = 24;
/// The frame header (RFC 9113 §4.1).
const HEADER: usize = 9;
/// The reader remembers the streams of more responses than a connection has at once.
const MAX_RESPONSES: usize = 100;

const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;

pub(crate) fn check(input: &[u8]) {
    let Some((first, bytes)) = input.split_first() else {
        return;
    };
    let is_server = first % 2 == 0;
    let whole = read(is_server, &[bytes]);
    let (before, after) = bytes.split_at(usize::from(first / 2).min(bytes.len()));
    let cut = read(is_server, &[before, after]);
    assert_eq!(cut, whole, "cut after {}", before.len());
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read(is_server, &each), whole, "byte by byte");
    if let Some(malformed) = whole {
        let expected = decoded(is_server, bytes);
        let found = &malformed[..expected.len().min(malformed.len())];
        assert_eq!(
            found, expected,
            "streams with a misplaced pseudo-header field"
        );
    }
}

/// The streams with a malformed message; `None` if the peer floods.
fn read(is_server: bool, pieces: &[&[u8]]) -> Option<Vec<u32>> {
    let mut frames = if is_server {
        FrameReader::of_server()
    } else {
        FrameReader::after_preface()
    };
    let (budget, now) = (FrameBudget::default(), Instant::now());
    let mut malformed = Vec::new();
    for piece in pieces {
        frames.read(piece, &budget, now).ok()?;
        malformed.extend(frames.take_malformed().into_iter().flatten());
    }
    Some(malformed)
}

/// The same streams, found with a decoder, up to the first frame that ends the connection.
fn decoded(is_server: bool, bytes: &[u8]) -> Vec<u32> {
    let preface = if is_server { 0 } else { PREFACE };
    let mut left = bytes.get(preface..).unwrap_or_default();
    let mut messages = Messages::new(is_server);
    let mut block: Option<(u32, bool, Vec<u8>)> = None;
    while let Some((header, rest)) = left.split_first_chunk::<HEADER>() {
        let [high, middle, low, kind, flags, stream @ ..] = *header;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        left = rest;
        let stream = u32::from_be_bytes(stream) & (u32::MAX >> 1);
        match (kind, &mut block) {
            // A message on stream 0 ends the connection (RFC 9113 §6.2).
            (HEADERS, _) if stream == 0 => break,
            (HEADERS, None) => {
                let Some(fragment) = fragment(flags, payload) else {
                    break;
                };
                block = Some((stream, flags & 1 != 0, fragment.to_vec()));
            }
            (CONTINUATION, Some((of, _, fragment))) if *of == stream => {
                fragment.extend_from_slice(payload);
            }
            (HEADERS | CONTINUATION | PUSH_PROMISE, _) | (_, Some(_)) => break,
            _ => continue,
        }
        if flags & 4 == 0 {
            continue;
        }
        let Some((stream, ends, fragment)) = block.take() else {
            break;
        };
        if messages.end(stream, ends, &fragment).is_none() {
            break;
        }
    }
    messages.malformed
}

// Without padding and priority (RFC 9113 §6.2).
fn fragment(flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let (padding, payload) = if flags & 8 != 0 {
        let (padding, payload) = payload.split_first()?;
        (usize::from(*padding), payload)
    } else {
        (0, payload)
    };
    let payload = payload.get(if flags & 0x20 != 0 { 5 } else { 0 }..)?;
    payload.get(..payload.len().checked_sub(padding)?)
}

struct Messages {
    is_server: bool,
    decoder: Decoder<'static>,
    last_request: u32,
    responses: BTreeSet<u32>,
    malformed: Vec<u32>,
}

impl Messages {
    fn new(is_server: bool) -> Self {
        Self {
            is_server,
            decoder: Decoder::new(),
            last_request: 0,
            responses: BTreeSet::new(),
            malformed: Vec::new(),
        }
    }

    /// `None` if the block ends the connection, or if the gateway's library judges it.
    fn end(&mut self, stream: u32, ends: bool, fragment: &[u8]) -> Option<()> {
        let fields = self.decoder.decode(fragment).ok()?;
        let status = fields.iter().filter(|(name, _)| name == b":status");
        let (mut has_final, mut has_interim) = (false, false);
        for (_, status) in status {
            if status.len() != 3 || !status.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let is_interim = status[0] == b'1';
            (has_interim, has_final) = (has_interim | is_interim, has_final | !is_interim);
        }
        let mut names = fields.iter().map(|(name, _)| name);
        let has_request = names.any(|name| name.starts_with(b":") && name != b":status");
        let is_malformed = if self.is_server {
            let is_trailers = self.responses.contains(&stream);
            if !is_trailers && !ends && has_final {
                self.responses.insert(stream);
                if self.responses.len() > MAX_RESPONSES {
                    return None;
                }
            }
            has_request || is_trailers && (has_final || has_interim)
        } else {
            let is_request = stream > self.last_request;
            self.last_request = self.last_request.max(stream);
            !is_request && (has_request || has_final || has_interim)
        };
        if is_malformed {
            self.malformed.push(stream);
        }
        Some(())
    }
}

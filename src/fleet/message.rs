//! The messages of a fleet, before they are sealed. Read as if a stranger had written them.

use crate::oauth::UnixTime;
use crate::revocation::{Digest, Entry, IssuedBefore};

/// Entries of one message: 8 KiB.
pub(super) const MAX_ENTRIES: usize = 256;
/// Other gateways that a snapshot makes up for: 96 KiB.
pub(super) const MAX_COVERED: usize = 4096;
const ENTRY: usize = 32;
const COVERED: usize = 24;

/// A gateway, from its start to its end: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sender(pub(super) [u8; 16]);

/// What the stream of revocations has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) sender: Sender,
    /// From 1, one more with each message of the sender.
    pub(super) sequence: u64,
    pub(super) body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Tokens that are revoked.
    Entries(Vec<Entry>),
    /// The sender has published all that it knew when it began.
    EndOfSnapshot(Coverage),
}

/// What a snapshot makes up for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Coverage {
    /// The sequence number of its first message. Entries of the sender's earlier messages are in it.
    pub(super) first: u64,
    /// Whether the sender missed nothing when it began.
    pub(super) is_complete: bool,
    /// The last messages of other gateways whose entries are in it, with those of all earlier ones.
    pub(super) read: Vec<(Sender, u64)>,
}

/// A sign of life, in a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heartbeat {
    pub(super) sender: Sender,
    /// From 1, one more with each heartbeat of the sender.
    pub(super) beat: u64,
    /// The sequence number of the sender's first message that still counts.
    pub(super) oldest: u64,
    /// That of its last message; 0 for none.
    pub(super) last: u64,
    /// Whether the sender misses nothing.
    pub(super) is_complete: bool,
    /// Whether the sender asks for a snapshot.
    pub(super) wants_snapshot: bool,
}

impl Message {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let kind = match &self.body {
            Body::Entries(_) => 1,
            Body::EndOfSnapshot(_) => 2,
        };
        bytes.push(kind);
        bytes.extend(self.sender.0);
        bytes.extend(self.sequence.to_be_bytes());
        match &self.body {
            Body::Entries(entries) => entries.iter().for_each(|one| write_entry(one, &mut bytes)),
            Body::EndOfSnapshot(coverage) => write_coverage(coverage, &mut bytes),
        }
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [kind] = take(&mut rest)?;
        let sender = Sender(take(&mut rest)?);
        let sequence = u64::from_be_bytes(take(&mut rest)?);
        let body = match kind {
            1 if rest.len() <= MAX_ENTRIES * ENTRY => {
                let mut entries = Vec::with_capacity(rest.len() / ENTRY);
                while !rest.is_empty() {
                    entries.push(parse_entry(&mut rest)?);
                }
                Body::Entries(entries)
            }
            2 => Body::EndOfSnapshot(parse_coverage(&mut rest, sequence)?),
            _ => return None,
        };
        (rest.is_empty() && (1..u64::MAX).contains(&sequence)).then_some(Self {
            sender,
            sequence,
            body,
        })
    }
}

impl Heartbeat {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![3];
        bytes.extend(self.sender.0);
        for number in [self.beat, self.oldest, self.last] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend([self.is_complete, self.wants_snapshot].map(u8::from));
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [3] = take(&mut rest)? else {
            return None;
        };
        let heartbeat = Self {
            sender: Sender(take(&mut rest)?),
            beat: u64::from_be_bytes(take(&mut rest)?),
            oldest: u64::from_be_bytes(take(&mut rest)?),
            last: u64::from_be_bytes(take(&mut rest)?),
            is_complete: parse_bool(&mut rest)?,
            wants_snapshot: parse_bool(&mut rest)?,
        };
        (rest.is_empty() && heartbeat.last < u64::MAX).then_some(heartbeat)
    }
}

fn write_entry(entry: &Entry, bytes: &mut Vec<u8>) {
    bytes.extend(entry.digest.as_bytes());
    let issued_before = match entry.issued_before {
        IssuedBefore::Always => i64::MIN,
        IssuedBefore::Time(at) => at.as_seconds(),
    };
    bytes.extend(issued_before.to_be_bytes());
    bytes.extend(entry.expires.as_seconds().to_be_bytes());
}

fn parse_entry(rest: &mut &[u8]) -> Option<Entry> {
    let digest = Digest::from_bytes(take(rest)?);
    let issued_before = match i64::from_be_bytes(take(rest)?) {
        i64::MIN => IssuedBefore::Always,
        at => IssuedBefore::Time(UnixTime::from_seconds(at)),
    };
    let expires = UnixTime::from_seconds(i64::from_be_bytes(take(rest)?));
    Some(Entry {
        digest,
        issued_before,
        expires,
    })
}

fn write_coverage(coverage: &Coverage, bytes: &mut Vec<u8>) {
    bytes.push(u8::from(coverage.is_complete));
    bytes.extend(coverage.first.to_be_bytes());
    for (sender, last) in coverage.read.iter().take(MAX_COVERED) {
        bytes.extend(sender.0);
        bytes.extend(last.to_be_bytes());
    }
}

fn parse_coverage(rest: &mut &[u8], sequence: u64) -> Option<Coverage> {
    let is_complete = parse_bool(rest)?;
    let first = u64::from_be_bytes(take(rest)?);
    if !(1..=sequence).contains(&first) || rest.len() > MAX_COVERED * COVERED {
        return None;
    }
    let mut read = Vec::with_capacity(rest.len() / COVERED);
    while !rest.is_empty() {
        read.push((Sender(take(rest)?), u64::from_be_bytes(take(rest)?)));
    }
    Some(Coverage {
        first,
        is_complete,
        read,
    })
}

fn parse_bool(rest: &mut &[u8]) -> Option<bool> {
    match take(rest)? {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(byte: u8) -> Entry {
        Entry {
            digest: Digest::from_bytes([byte; 16]),
            issued_before: IssuedBefore::Time(UnixTime::from_seconds(7)),
            expires: UnixTime::from_seconds(9),
        }
    }

    fn messages() -> [Message; 3] {
        let always = Entry {
            issued_before: IssuedBefore::Always,
            ..entry(2)
        };
        let bodies = [
            Body::Entries(vec![entry(1), always]),
            Body::Entries(Vec::new()),
            Body::EndOfSnapshot(Coverage {
                first: 2,
                is_complete: true,
                read: vec![(Sender([6; 16]), 9), (Sender([7; 16]), 1)],
            }),
        ];
        bodies.map(|body| Message {
            sender: Sender([5; 16]),
            sequence: 3,
            body,
        })
    }

    #[test]
    fn message_and_heartbeat_parse_back() {
        for message in messages() {
            assert_eq!(Message::parse(&message.write()), Some(message));
        }
        let heartbeat = Heartbeat {
            sender: Sender([5; 16]),
            beat: 1,
            oldest: 2,
            last: 3,
            is_complete: false,
            wants_snapshot: true,
        };
        assert_eq!(Heartbeat::parse(&heartbeat.write()), Some(heartbeat));
        assert_eq!(Message::parse(&heartbeat.write()), None);
    }

    #[test]
    fn truncated_longer_and_oversized_messages_are_refused() {
        for message in messages() {
            let bytes = message.write();
            for length in 0..bytes.len() {
                // An entry or a gateway less is a message of its own; the seal notices that.
                let (begin, part) = if bytes[0] == 1 {
                    (25, ENTRY)
                } else {
                    (34, COVERED)
                };
                let is_whole = length >= begin && (length - begin).is_multiple_of(part);
                assert_eq!(Message::parse(&bytes[..length]).is_some(), is_whole);
            }
            assert_eq!(Message::parse(&[&bytes[..], &[0]].concat()), None);
        }
        let many = Message {
            body: Body::Entries(vec![entry(1); MAX_ENTRIES + 1]),
            ..messages()[0].clone()
        };
        assert_eq!(Message::parse(&many.write()), None);
    }

    #[test]
    fn numbers_that_no_gateway_reaches_are_refused() {
        let [message, _, end] = messages();
        let at = |sequence| Message {
            sequence,
            ..message.clone()
        };
        assert_eq!(Message::parse(&at(0).write()), None);
        assert_eq!(Message::parse(&at(u64::MAX).write()), None);
        for first in [0, 4, u64::MAX] {
            let mut snapshot = end.clone();
            if let Body::EndOfSnapshot(coverage) = &mut snapshot.body {
                coverage.first = first;
            }
            assert_eq!(Message::parse(&snapshot.write()), None, "{first}");
        }
        let heartbeat = Heartbeat {
            sender: Sender([5; 16]),
            beat: 1,
            oldest: 1,
            last: u64::MAX,
            is_complete: true,
            wants_snapshot: false,
        };
        assert_eq!(Heartbeat::parse(&heartbeat.write()), None);
    }
}

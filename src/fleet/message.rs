//! The messages of a fleet, before they are sealed. Read as if a stranger had written them.

use crate::oauth::UnixTime;
use crate::revocation::{Digest, Entry, IssuedBefore};

/// Entries of one message: 8 KiB.
pub(super) const MAX_ENTRIES: usize = 256;
const ENTRY: usize = 32;

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
    /// The sender has published all that it knows.
    EndOfSnapshot {
        /// Whether the sender missed nothing itself.
        is_complete: bool,
    },
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
    /// Whether the sender asks for a snapshot.
    pub(super) wants_snapshot: bool,
}

impl Message {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let kind = match &self.body {
            Body::Entries(_) => 1,
            Body::EndOfSnapshot { .. } => 2,
        };
        bytes.push(kind);
        bytes.extend(self.sender.0);
        bytes.extend(self.sequence.to_be_bytes());
        match &self.body {
            Body::Entries(entries) => entries.iter().for_each(|one| write_entry(one, &mut bytes)),
            Body::EndOfSnapshot { is_complete } => bytes.push(u8::from(*is_complete)),
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
            2 => {
                let is_complete = parse_bool(&mut rest)?;
                Body::EndOfSnapshot { is_complete }
            }
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
        bytes.push(u8::from(self.wants_snapshot));
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
            wants_snapshot: parse_bool(&mut rest)?,
        };
        rest.is_empty().then_some(heartbeat)
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
            Body::EndOfSnapshot { is_complete: true },
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
                // An entry less is a message of its own; the seal notices that.
                let is_whole = length >= 25 && (length - 25).is_multiple_of(ENTRY) && bytes[0] == 1;
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
}

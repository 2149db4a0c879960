//! Finds misplaced pseudo-header fields (RFC 9113 §8.3): request fields in a response, and any
//! field in trailers.
//!
//! Such a message is malformed. h2 rejects fields that are unknown, repeated or out of order, but
//! silently drops misplaced ones. So the field blocks are read before h2 reads them (RFC 7541):
//!
//! 1. Only the kind of a field's name matters, and whether a status is an interim one. Names and
//!    values are skipped by their lengths; no Huffman code is decoded.
//! 2. Of the dynamic table only the kinds of its last entries are kept. They are counted from the
//!    newest, so evictions of the oldest do not matter. The library closes the connection for a
//!    reference to an evicted entry.
//! 3. An invalid field block is ignored here, because h2 rejects it.

/// Who sends the field blocks of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

/// Finds misplaced pseudo-header fields in one direction of a connection.
#[derive(Debug)]
pub(super) struct PseudoFields {
    sender: Sender,
    block: Block,
    stream: u32,
    ends_stream: bool,
    /// The highest stream with a request. Its next block is that of the trailers.
    last_request: u32,
    /// A ring of the latest streams whose final response has begun and not ended.
    responses: [u32; MAX_RESPONSES],
    next_response: usize,
}

/// More than the requests that the gateway has in flight on a connection.
const MAX_RESPONSES: usize = 128;

/// The kind of a field, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Regular,
    Request,
    FinalStatus,
    InterimStatus,
}

/// The state of reading one field block.
#[derive(Debug, Default)]
struct Block {
    step: Step,
    /// The kind of the current field, and whether the dynamic table gets it.
    kind: Kind,
    is_indexed: bool,
    name: [u8; MAX_STATUS_NAME],
    name_length: usize,
    /// Two bits for each of the last 128 entries of the dynamic table, newest lowest. By default it
    /// holds no more: 4096 octets, at least 32 for each entry (RFC 7541 §4.1).
    indexed: [u128; 2],
    has_request: bool,
    has_final_status: bool,
    has_interim_status: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Field,
    /// The rest of an integer (RFC 7541 §5.1).
    Integer(IntegerKind, u32, u32),
    NameLength,
    Name(u32),
    ValueLength,
    /// The `bool` says whether the first octet is not read yet.
    Value(u32, bool),
    /// The field block is invalid.
    Broken,
}

/// What an integer means.
#[derive(Clone, Copy, Debug)]
enum IntegerKind {
    Field,
    Name,
    NameLength,
    ValueLength,
    TableSize,
}

const STATUS: &[u8] = b":status";
/// The same in the Huffman code.
const STATUS_CODED: &[u8] = &[0xb8, 0x84, 0x8d, 0x36, 0xa3];
const MAX_STATUS_NAME: usize = STATUS.len();

impl PseudoFields {
    pub(super) fn of(sender: Sender) -> Self {
        Self {
            sender,
            block: Block::default(),
            stream: 0,
            ends_stream: false,
            last_request: 0,
            responses: [0; MAX_RESPONSES],
            next_response: 0,
        }
    }

    pub(super) fn sender(&self) -> Sender {
        self.sender
    }

    /// Begins a field block of a stream, which may end with it.
    pub(super) fn begin(&mut self, stream: u32, ends_stream: bool) {
        (self.stream, self.ends_stream) = (stream, ends_stream);
    }

    /// Reads the next octets of the block.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.block.read(bytes);
    }

    /// Ends the block. Returns its stream if a pseudo-header field is misplaced.
    pub(super) fn end(&mut self) -> Option<u32> {
        let Block {
            has_request,
            has_final_status,
            has_interim_status,
            ..
        } = self.block;
        self.block.begin();
        let is_malformed = match self.sender {
            Sender::Client => {
                let is_request = self.stream > self.last_request;
                self.last_request = self.last_request.max(self.stream);
                !is_request && (has_request || has_final_status || has_interim_status)
            }
            Sender::Server => {
                let is_trailers = self.responses.contains(&self.stream);
                if !is_trailers && !self.ends_stream && has_final_status {
                    self.responses[self.next_response] = self.stream;
                    self.next_response = (self.next_response + 1) % MAX_RESPONSES;
                }
                has_request || is_trailers && (has_final_status || has_interim_status)
            }
        };
        is_malformed.then_some(self.stream)
    }
}

impl Block {
    fn begin(&mut self) {
        // After an invalid block the connection ends, so nothing more is read.
        if !matches!(self.step, Step::Broken) {
            self.step = Step::Field;
        }
        (
            self.has_request,
            self.has_final_status,
            self.has_interim_status,
        ) = (false, false, false);
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.step {
                Step::Name(left) => {
                    bytes = self.read_name(bytes, left);
                    continue;
                }
                Step::Value(left, is_first) => {
                    bytes = self.read_value(bytes, left, is_first);
                    continue;
                }
                Step::Field => self.begin_field(byte),
                Step::Integer(of, value, shift) => {
                    let value = value.saturating_add(u32::from(byte & 0x7f) << shift);
                    if byte & 0x80 == 0 {
                        self.take(of, value);
                    } else if shift < 21 {
                        self.step = Step::Integer(of, value, shift + 7);
                    } else {
                        self.step = Step::Broken;
                    }
                }
                Step::NameLength => self.integer(IntegerKind::NameLength, byte, 7),
                Step::ValueLength => self.integer(IntegerKind::ValueLength, byte, 7),
                Step::Broken => return,
            }
            bytes = rest;
        }
    }

    // RFC 7541 §6.
    fn begin_field(&mut self, byte: u8) {
        self.is_indexed = byte & 0xc0 == 0x40;
        match byte {
            0x80.. => self.integer(IntegerKind::Field, byte, 7),
            0x40.. => self.integer(IntegerKind::Name, byte, 6),
            0x20.. => self.integer(IntegerKind::TableSize, byte, 5),
            _ => self.integer(IntegerKind::Name, byte, 4),
        }
    }

    fn integer(&mut self, of: IntegerKind, byte: u8, bits: u32) {
        let max = (1 << bits) - 1;
        let value = u32::from(byte) & max;
        if value < max {
            self.take(of, value)
        } else {
            self.step = Step::Integer(of, max, 0)
        }
    }

    fn take(&mut self, of: IntegerKind, value: u32) {
        match of {
            IntegerKind::Field => {
                self.kind = self.kind_at(value);
                self.end_field();
            }
            IntegerKind::Name => {
                self.kind = self.kind_at(value);
                self.step = if value == 0 {
                    Step::NameLength
                } else {
                    Step::ValueLength
                };
            }
            IntegerKind::NameLength => {
                self.name_length = 0;
                self.step = if value == 0 {
                    Step::ValueLength
                } else {
                    Step::Name(value)
                };
            }
            IntegerKind::ValueLength if value == 0 => self.end_field(),
            IntegerKind::ValueLength => self.step = Step::Value(value, true),
            IntegerKind::TableSize => self.step = Step::Field,
        }
    }

    // A pseudo-header field begins with a colon: 7 bits in the Huffman code.
    fn read_name<'b>(&mut self, bytes: &'b [u8], left: u32) -> &'b [u8] {
        let (read, rest) = split_at_most(bytes, left);
        let kept = read.len().min(MAX_STATUS_NAME - self.name_length);
        self.name[self.name_length..][..kept].copy_from_slice(&read[..kept]);
        // A longer name is not `:status`.
        let is_longer = kept < read.len();
        self.name_length += kept;
        let left = left - length(read);
        if left > 0 {
            self.step = Step::Name(left);
            return rest;
        }
        let name = &self.name[..self.name_length];
        self.kind = match name {
            _ if !is_longer && (name == STATUS || name == STATUS_CODED) => Kind::FinalStatus,
            [b':' | 0xb8 | 0xb9, ..] => Kind::Request,
            _ => Kind::Regular,
        };
        self.step = Step::ValueLength;
        rest
    }

    // A 1xx status begins with `1`: 5 bits in the Huffman code.
    fn read_value<'b>(&mut self, bytes: &'b [u8], left: u32, is_first: bool) -> &'b [u8] {
        let (read, rest) = split_at_most(bytes, left);
        if is_first && matches!(self.kind, Kind::FinalStatus | Kind::InterimStatus) {
            let is_interim = read
                .first()
                .is_some_and(|octet| *octet == b'1' || octet >> 3 == 1);
            self.kind = if is_interim {
                Kind::InterimStatus
            } else {
                Kind::FinalStatus
            };
        }
        let left = left - length(read);
        if left > 0 {
            self.step = Step::Value(left, false)
        } else {
            self.end_field()
        }
        rest
    }

    fn end_field(&mut self) {
        match self.kind {
            Kind::Regular => {}
            Kind::Request => self.has_request = true,
            Kind::FinalStatus => self.has_final_status = true,
            Kind::InterimStatus => self.has_interim_status = true,
        }
        if self.is_indexed {
            let kind = self.kind as u128;
            self.indexed = [
                self.indexed[0] << 1 | kind & 1,
                self.indexed[1] << 1 | kind >> 1,
            ];
        }
        self.step = Step::Field;
    }

    // RFC 7541 §2.3.3 and Appendix A.
    fn kind_at(&self, index: u32) -> Kind {
        match index {
            1..=7 => Kind::Request,
            8..=14 => Kind::FinalStatus,
            0 | 15..=61 => Kind::Regular,
            62..=189 => {
                let bit = |bits: u128| bits >> (index - 62) & 1 == 1;
                match self.indexed.map(bit) {
                    [false, false] => Kind::Regular,
                    [true, false] => Kind::Request,
                    [false, true] => Kind::FinalStatus,
                    [true, true] => Kind::InterimStatus,
                }
            }
            190.. => Kind::Regular,
        }
    }
}

fn split_at_most(bytes: &[u8], max: u32) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len().min(usize::try_from(max).unwrap_or(usize::MAX)))
}

fn length(read: &[u8]) -> u32 {
    u32::try_from(read.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

//! Decodes the chunked transfer coding (RFC 9112 §7.1).
//!
//! The decoder is strict, because the same bytes must not end in different places for two
//! recipients. A size line, a chunk and the trailers end with CRLF. A size has up to 16 hexadecimal
//! digits. Extensions are skipped. Between a size and its extensions there may be spaces and tabs,
//! and no other white space. They are also allowed without an extension: old servers pad their
//! sizes that way, and every recipient reads the same size.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::fields::{MAX_HEADERS, find_end, to_map};

/// Maximum bytes of all chunk extensions of a body, and of its trailers.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// Maximum length of a size line.
const MAX_CHUNK_LINE: usize = 4096;

/// Decodes one body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ChunkedDecoder {
    state: State,
    /// The length of the extensions so far.
    extensions: usize,
    /// How many unread bytes contain no end of the trailers.
    searched: usize,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Ended,
}

/// A part of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// The body is not in the chunked coding.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ChunkError {
    #[error(
        "expected the size of a chunk in hexadecimal digits and CRLF, but found something else"
    )]
    Size,
    #[error("expected CRLF after a chunk, but found something else")]
    DataEnd,
    #[error("expected at most {} KiB of chunk extensions, but found more", MAX_EXTENSIONS / 1024)]
    Extensions,
    #[error("expected trailers of at most {} KiB and {MAX_HEADERS} fields, but found something else", MAX_EXTENSIONS / 1024)]
    Trailers,
}

impl From<ChunkError> for io::Error {
    fn from(error: ChunkError) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

impl ChunkedDecoder {
    /// How many bytes must follow at least.
    pub(super) fn expected(&self) -> u64 {
        match self.state {
            State::Data(left) => left,
            State::Size | State::DataEnd | State::Trailers | State::Ended => 0,
        }
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Consumes a part of what was `read`; `None` where more has to be read first.
    ///
    /// # Errors
    /// [`ChunkError`]. The decoder cannot be used after that.
    pub(super) fn decode(&mut self, read: &mut BytesMut) -> Result<Option<Decoded>, ChunkError> {
        loop {
            match self.state {
                State::Size => {
                    let Some(size) = self.decode_size(read)? else {
                        return Ok(None);
                    };
                    self.state = if size == 0 {
                        State::Trailers
                    } else {
                        State::Data(size)
                    };
                }
                State::Data(left) => {
                    if read.is_empty() {
                        return Ok(None);
                    }
                    let taken = read.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let left = left - taken as u64;
                    self.state = if left == 0 {
                        State::DataEnd
                    } else {
                        State::Data(left)
                    };
                    return Ok(Some(Decoded::Data(read.split_to(taken).freeze())));
                }
                State::DataEnd => {
                    if read.len() < 2 {
                        return if b"\r\n".starts_with(read) {
                            Ok(None)
                        } else {
                            Err(ChunkError::DataEnd)
                        };
                    }
                    if !read.starts_with(b"\r\n") {
                        return Err(ChunkError::DataEnd);
                    }
                    read.advance(2);
                    self.state = State::Size;
                }
                State::Trailers => {
                    let Some(trailers) = parse_trailers(read, &mut self.searched)? else {
                        return Ok(None);
                    };
                    self.state = State::Ended;
                    return Ok(Some(if trailers.is_empty() {
                        Decoded::End
                    } else {
                        Decoded::Trailers(trailers)
                    }));
                }
                State::Ended => return Ok(Some(Decoded::End)),
            }
        }
    }

    fn decode_size(&mut self, read: &mut BytesMut) -> Result<Option<u64>, ChunkError> {
        let Some(end) = memchr::memchr(b'\n', read) else {
            return if read.len() > MAX_CHUNK_LINE {
                Err(ChunkError::Size)
            } else {
                Ok(None)
            };
        };
        let line = read.split_to(end + 1);
        let line = line.strip_suffix(b"\r\n").ok_or(ChunkError::Size)?;
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let (digits, extensions) = line.split_at(digits);
        let mut after_space = extensions
            .iter()
            .skip_while(|byte| matches!(byte, b' ' | b'\t'));
        let is_extension = after_space.next().is_none_or(|byte| *byte == b';');
        let is_text = extensions
            .iter()
            .all(|byte| !byte.is_ascii_control() || *byte == b'\t');
        if digits.len() > 16 || !is_extension || !is_text {
            return Err(ChunkError::Size);
        }
        self.extensions += extensions.len();
        if self.extensions > MAX_EXTENSIONS {
            return Err(ChunkError::Extensions);
        }
        let digits = str::from_utf8(digits).unwrap_or_default();
        u64::from_str_radix(digits, 16)
            .map(Some)
            .map_err(|_| ChunkError::Size)
    }
}

fn parse_trailers(
    read: &mut BytesMut,
    searched: &mut usize,
) -> Result<Option<HeaderMap>, ChunkError> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let Some(end) = find_end(read, searched) else {
        return if read.len() > MAX_EXTENSIONS {
            Err(ChunkError::Trailers)
        } else {
            Ok(None)
        };
    };
    let block = read.split_to(end).freeze();
    // httparse also ends a line at a bare line feed; other readers refuse it, or read on.
    if memchr::memchr_iter(b'\n', &block).any(|at| !block[..at].ends_with(b"\r")) {
        return Err(ChunkError::Trailers);
    }
    let mut parsed = [httparse::EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(&block, &mut parsed) {
        Ok(httparse::Status::Complete((length, trailers))) if length == block.len() => {
            let named_values = trailers
                .iter()
                .map(|field| (field.name, block.slice_ref(field.value)));
            to_map(named_values).map(Some).ok_or(ChunkError::Trailers)
        }
        Ok(_) | Err(_) => Err(ChunkError::Trailers),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The content, the trailers, and the bytes behind the body.
    type Read = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// Decodes bytes that arrive in pieces of a size.
    fn read(wire: &[u8], piece: usize) -> Result<Read, ChunkError> {
        let (mut decoder, mut buffer) = (ChunkedDecoder::default(), BytesMut::new());
        let (mut content, mut trailers) = (Vec::new(), None);
        let mut pieces = wire.chunks(piece);
        loop {
            match decoder.decode(&mut buffer)? {
                Some(Decoded::Data(data)) => content.extend_from_slice(&data),
                Some(Decoded::Trailers(found)) => trailers = Some(found),
                Some(Decoded::End) => {
                    assert!(decoder.is_ended());
                    buffer.extend(pieces.flatten());
                    return Ok((content, trailers, buffer.to_vec()));
                }
                None => buffer
                    .extend_from_slice(pieces.next().expect("the end is among what was written")),
            }
        }
    }

    #[test]
    fn body_is_decoded_at_every_split() {
        let wire =
            b"5 \t\r\nhello\r\n00001;a=b;c=\"d\"\r\n \r\nA \t; x\r\n0123456789\r\n0\r\nx-sum: 7\r\nX-End:\r\n\r\nHTTP/1.1";
        for piece in 1..wire.len() {
            let (content, trailers, rest) = read(wire, piece).expect("chunks");
            assert_eq!(
                (&*content, &*rest),
                (&b"hello 0123456789"[..], &b"HTTP/1.1"[..])
            );
            let trailers = trailers.expect("two");
            assert_eq!(
                (trailers.len(), &trailers["x-sum"], &trailers["x-end"]),
                (
                    2,
                    &"7".parse().expect("a value"),
                    &"".parse().expect("a value")
                )
            );
        }
        assert_eq!(
            read(b"0\r\n\r\n", 1).expect("chunks"),
            (Vec::new(), None, Vec::new())
        );
    }

    #[test]
    fn ambiguous_chunk_syntax_is_rejected() {
        for (wire, error) in [
            ("\r\n", ChunkError::Size),
            ("x\r\n", ChunkError::Size),
            ("5\nhello", ChunkError::Size),
            ("-5\r\nhello", ChunkError::Size),
            ("+5\r\nhello", ChunkError::Size),
            ("0x5\r\nhello", ChunkError::Size),
            (" 5\r\nhello", ChunkError::Size),
            ("5 5\r\nhello", ChunkError::Size),
            ("5\x0c\r\nhello", ChunkError::Size),
            ("5 \x0c\r\nhello", ChunkError::Size),
            ("5\x0c;a=b\r\nhello", ChunkError::Size),
            ("5\x0b\r\nhello", ChunkError::Size),
            ("5\0\r\nhello", ChunkError::Size),
            ("5;a=\x0c\r\nhello", ChunkError::Size),
            ("5;a=\"\0\"\r\nhello", ChunkError::Size),
            ("5\u{a0}\r\nhello", ChunkError::Size),
            ("5\r;\r\nhello", ChunkError::Size),
            ("5;a\rb\r\nhello", ChunkError::Size),
            ("5;a\nb\r\nhello", ChunkError::Size),
            (";a=b\r\n", ChunkError::Size),
            ("00000000000000005\r\nhello", ChunkError::Size),
            ("1ffffffffffffffff\r\nhello", ChunkError::Size),
            ("5\r\nhello5\r\nhello\r\n", ChunkError::DataEnd),
            ("5\r\nhello\n0\r\n\r\n", ChunkError::DataEnd),
            ("5\r\nhello\rx", ChunkError::DataEnd),
            ("0\r\nno colon\r\n\r\n", ChunkError::Trailers),
            ("0\r\na: b\r\n folded\r\n\r\n", ChunkError::Trailers),
            ("0\r\na: b\n\nc: d\r\n\r\n", ChunkError::Trailers),
        ] {
            for piece in [1, 3, wire.len()] {
                assert_eq!(
                    read(wire.as_bytes(), piece).expect_err(wire),
                    error,
                    "{wire:?}"
                );
            }
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let line = "1".repeat(MAX_CHUNK_LINE + 1);
        assert_eq!(
            read(line.as_bytes(), 100).expect_err("long"),
            ChunkError::Size
        );
        let extension = format!("1;{}\r\nx\r\n", "a".repeat(1000));
        assert_eq!(
            read(extension.repeat(17).as_bytes(), 1000).expect_err("many"),
            ChunkError::Extensions
        );
        let trailers = format!("0\r\n{}", "a: b\r\n".repeat(3000));
        assert_eq!(
            read(trailers.as_bytes(), 1000).expect_err("long"),
            ChunkError::Trailers
        );
        let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(
            read(trailers.as_bytes(), 1000).expect_err("many"),
            ChunkError::Trailers
        );
    }

    proptest! {
        #[test]
        fn encoded_body_decodes_to_itself(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..10),
            at_once in 1..400_usize,
            rest in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut wire = Vec::new();
            for piece in &pieces {
                wire.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                wire.extend_from_slice(piece);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            wire.extend_from_slice(&rest);
            prop_assert_eq!(read(&wire, at_once).expect("chunks"), (pieces.concat(), None, rest));
        }

        #[test]
        fn decoder_never_panics(wire in "[0-9a-f;\r\n x:]{0,300}") {
            let (mut decoder, mut buffer) = (ChunkedDecoder::default(), BytesMut::from(wire.as_bytes()));
            while let Ok(Some(piece)) = decoder.decode(&mut buffer) {
                if piece == Decoded::End {
                    break;
                }
            }
        }
    }
}

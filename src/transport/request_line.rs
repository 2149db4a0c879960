//! Finds a fragment in the request line of an HTTP/1 client.
//!
//! A request target has none (RFC 9112 §3.2). A `#` in it means that a proxy in front of this one
//! may read another target. [`http::Uri`] silently drops a fragment, so the bytes are searched as
//! they are read. Of pipelined requests only the first is searched: bytes that arrive during an
//! exchange may be those of a body. For the others, the target without its fragment is both judged
//! and forwarded.

/// How far a request line was read.
#[derive(Debug, Default)]
pub(super) struct RequestLine {
    /// Whether its end was not read yet.
    is_open: bool,
    length: usize,
}

impl RequestLine {
    /// Begins a request with the next byte.
    pub(super) fn begin(&mut self) {
        *self = Self {
            is_open: true,
            length: 0,
        };
    }

    /// Searches the next bytes. Returns the number of bytes of the line before a fragment.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        if !self.is_open {
            return None;
        }
        let empty_lines = if self.length == 0 {
            bytes
                .iter()
                .take_while(|byte| b"\r\n".contains(byte))
                .count()
        } else {
            0
        };
        let bytes = &bytes[empty_lines..];
        let Some(position) = memchr::memchr2(b'#', b'\n', bytes) else {
            self.length += bytes.len();
            return None;
        };
        self.is_open = false;
        (bytes[position] == b'#').then_some(self.length + position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragment_is_found_only_in_the_first_line_however_reads_split_it() {
        for (wire, expected) in [
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Some(6)),
            ("\r\n\nGET /a?b#", Some(8)),
            ("#", Some(0)),
            ("GET /a HTTP/1.1\r\nCookie: a#b\r\n\r\n", None),
            ("GET /a HTTP/1.1\nX: #\n\n", None),
            ("GET /a", None),
        ] {
            for size in 1..=wire.len() {
                let mut line = RequestLine::default();
                line.begin();
                let found: Vec<_> = wire
                    .as_bytes()
                    .chunks(size)
                    .filter_map(|piece| line.read(piece))
                    .collect();
                assert_eq!(
                    found,
                    expected.into_iter().collect::<Vec<_>>(),
                    "{wire:?} in pieces of {size}"
                );
            }
        }
    }
}

//! Looks for a fragment in the request lines of a client of HTTP/1.
//!
//! A target has none (RFC 9112 §3.2): a `#` in it means that somebody before us took the target for something else than we
//! do. [`http::Uri`] cuts a fragment off and does not tell, so the bytes are looked at as they are read. Of requests that a
//! client sends before it has its response only the first is seen: what comes while a body may be read is not looked at.
//! The target without its fragment is the one that is judged and forwarded then.

/// Where in a request line the reading is.
#[derive(Debug, Default)]
pub(super) struct RequestLine {
    /// Whether its end is still to come.
    is_open: bool,
    length: usize,
}

impl RequestLine {
    /// The next byte begins a request.
    pub(super) fn begin(&mut self) {
        *self = Self {
            is_open: true,
            length: 0,
        };
    }

    /// Looks at what was read next. Returns how many bytes of the line stand before a fragment.
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
        let Some(place) = memchr::memchr2(b'#', b'\n', bytes) else {
            self.length += bytes.len();
            return None;
        };
        self.is_open = false;
        (bytes[place] == b'#').then_some(self.length + place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragment_is_found_in_the_first_line_only_wherever_reads_begin_and_end() {
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

//! Header and trailer fields as they stand in a message (RFC 9112 §5).

use std::mem;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Maximum fields of a head or of trailers.
pub(super) const MAX_HEADERS: usize = 100;
/// Room for the headers that the gateway adds to a response: a map that grows is hashed again.
const SPARE_CAPACITY: usize = 4;

/// A header map of parsed fields; `None` for an invalid name or value.
pub(super) fn to_map<'a>(
    named_values: impl ExactSizeIterator<Item = (&'a str, Bytes)>,
) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(named_values.len() + SPARE_CAPACITY);
    for (name, value) in named_values {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        fields
            .try_append(name, HeaderValue::from_maybe_shared(value).ok()?)
            .ok()?;
    }
    Some(fields)
}

/// Finds the end of the first empty line. Lines may end with CRLF or LF (RFC 9112 §2.2).
///
/// The search skips the bytes that were `searched` before.
pub(super) fn find_end(read: &[u8], searched: &mut usize) -> Option<usize> {
    let from = mem::take(searched);
    for position in memchr::memchr_iter(b'\n', read.get(from..)?) {
        let next = from + position + 1;
        match read.get(next..)? {
            [b'\n', ..] => return Some(next + 1),
            [b'\r', b'\n', ..] => return Some(next + 2),
            // The first bytes of this line are still to come.
            [] | [b'\r'] => {
                *searched = next - 1;
                return None;
            }
            [..] => {}
        }
    }
    *searched = read.len();
    None
}

/// Parses one value of Content-Length (RFC 9110 §8.6).
pub(super) fn parse_length(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

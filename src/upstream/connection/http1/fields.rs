//! Header and trailer fields as they stand in a message (RFC 9112 §5).

use std::mem;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// How many fields a head may have, or the trailers.
pub(super) const MAX_HEADERS: usize = 100;
/// For the fields that the gateway adds to an answer: a map that has to grow is hashed anew.
const ROOM: usize = 4;

/// Makes a map of fields as they came; none where they do not fit into one.
pub(super) fn fields<'a>(
    named_values: impl ExactSizeIterator<Item = (&'a str, Bytes)>,
) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(named_values.len() + ROOM);
    for (name, value) in named_values {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        fields
            .try_append(name, HeaderValue::from_maybe_shared(value).ok()?)
            .ok()?;
    }
    Some(fields)
}

/// Where the first empty line ends, whichever way lines end (RFC 9112 §2.2); it does not begin in what was `searched`.
pub(super) fn end_of_fields(read: &[u8], searched: &mut usize) -> Option<usize> {
    let from = mem::take(searched);
    for place in memchr::memchr_iter(b'\n', read.get(from..)?) {
        let behind = from + place + 1;
        match read.get(behind..)? {
            [b'\n', ..] => return Some(behind + 1),
            [b'\r', b'\n', ..] => return Some(behind + 2),
            // What this line begins with is to come.
            [] | [b'\r'] => {
                *searched = behind - 1;
                return None;
            }
            [..] => {}
        }
    }
    *searched = read.len();
    None
}

pub(super) fn length_told(told: &[u8]) -> Option<u64> {
    let digits = told.trim_ascii();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

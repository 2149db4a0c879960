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
    let mut fields = HeaderMap::new();
    append(&mut fields, named_values).then_some(fields)
}

/// Adds parsed fields to a header map. False if a name or a value is invalid.
pub(super) fn append<'a>(
    fields: &mut HeaderMap,
    mut named_values: impl ExactSizeIterator<Item = (&'a str, Bytes)>,
) -> bool {
    fields.reserve(named_values.len() + SPARE_CAPACITY);
    named_values.all(|(name, value)| append_field(fields, name, value).is_some())
}

fn append_field(fields: &mut HeaderMap, name: &str, value: Bytes) -> Option<bool> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = HeaderValue::from_maybe_shared(value).ok()?;
    fields.try_append(name, value).ok()
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
    let add_digit = |number: u64, digit: &u8| {
        let digit = char::from(*digit).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    };
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add_digit))?
}

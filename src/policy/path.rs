//! The path of a request in its one normal form: what is matched is what is forwarded, or the request is refused.
//!
//! 1. Percent-encoded unreserved characters are decoded and hex digits put in upper case (RFC 3986 §6.2.2). Nothing
//!    else is repaired: a path that two servers might read in two ways is an attack on the one behind us.
//! 2. Refused, in every spelling: dot segments, empty segments, encoded slashes, backslashes, control characters, a
//!    percent sign that would decode to a second encoding, text that is not UTF-8, and `;` unless it is allowed.
//! 3. A segment is a dot segment as well where only what may end a name follows the dots. A server that decodes a path
//!    before it splits it reads `/a/..%23` as `/a/..`, and one that folds Unicode reads two full-width dots as `..`.
//! 4. The rules are judged on the normal form, so a normal path is normal again.

use std::borrow::Cow;

use super::skeleton::skeleton;
use crate::values::PathParameters;

/// What ends a name for some server: path parameters, a stream of NTFS, the query and the fragment of a server that
/// decodes first, and the space at which such a server ends the target of a request line.
const NAME_ENDS: [u8; 5] = *b";:?# ";

/// The path of a request in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalPath<'p> {
    text: Cow<'p, str>,
    is_plain: bool,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not start with `/`: the `*` of OPTIONS, or no path at all.
    #[error("expected a path that starts with /, but found another target")]
    NotAbsolute,
    /// A character that cannot stand in a path as it is.
    #[error("expected percent-encoded UTF-8, but found a character that cannot stand in a path")]
    ForbiddenCharacter,
    /// A `%` without two hex digits.
    #[error("expected two hex digits after %, but found something else")]
    InvalidEncoding,
    /// A `%25` before two hex digits.
    #[error("expected one percent-encoding, but found one inside another")]
    DoubleEncoding,
    /// Encoded bytes that are not UTF-8.
    #[error("expected encoded UTF-8, but found other bytes")]
    NotUtf8,
    /// A control character, encoded or not.
    #[error("expected no control character, but found one")]
    ControlCharacter,
    /// `%2F`.
    #[error("expected / to stand for itself, but found it encoded")]
    EncodedSlash,
    /// `\` or `%5C`.
    #[error("expected no backslash, but found one")]
    Backslash,
    /// `;` or `%3B` where path parameters are refused.
    #[error("expected no ; in the path, but found one (path_parameters = \"refuse\")")]
    PathParameter,
    /// `.` or `..`.
    #[error("expected no dot segment, but found one")]
    DotSegment,
    /// `//`.
    #[error("expected no empty segment, but found one")]
    EmptySegment,
}

impl<'p> NormalPath<'p> {
    /// Brings the path of a request, without its query, into normal form (RFC 3986 §6.2.2). Borrows what is normal.
    ///
    /// # Errors
    /// The first rule that the path breaks.
    pub fn parse(raw: &'p str, parameters: PathParameters) -> Result<Self, PathError> {
        if is_plain(raw) {
            return Ok(Self {
                text: Cow::Borrowed(raw),
                is_plain: true,
            });
        }
        Ok(Self {
            text: Self::parse_closely(raw, parameters)?,
            is_plain: false,
        })
    }

    fn parse_closely(raw: &'p str, parameters: PathParameters) -> Result<Cow<'p, str>, PathError> {
        let normal = normal_encoding(raw)?;
        let segments = normal.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let mut segments = segments.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_trailing_slash = segment.is_empty() && segments.peek().is_none();
            if !is_trailing_slash {
                check_segment(segment, parameters)?;
            }
        }
        Ok(normal)
    }

    /// The path, as it is matched and forwarded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether nothing in it is encoded, no segment begins with a dot and none has path parameters.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }
}

// Most paths need no second look: no rule speaks of their characters, and no segment is empty or begins with a dot.
fn is_plain(raw: &str) -> bool {
    let mut last = 0;
    let mut is_plain = raw.starts_with('/');
    for byte in raw.bytes() {
        let is_ordinary =
            matches!(byte, 0x21..=0x7E) && !matches!(byte, b'%' | b'\\' | b';' | b'?' | b'#');
        is_plain &= is_ordinary && !(last == b'/' && matches!(byte, b'/' | b'.'));
        last = byte;
    }
    is_plain
}

/// A piece of a normal path, decoded once.
pub(super) fn decoded(piece: &str) -> Cow<'_, str> {
    if !piece.contains('%') {
        return Cow::Borrowed(piece);
    }
    // A normal path decodes to UTF-8, so nothing is lost.
    let octets: Vec<u8> = octets(piece).collect();
    Cow::Owned(String::from_utf8_lossy(&octets).into_owned())
}

/// The octets of a piece of a normal path, decoded once.
pub(super) fn octets(piece: &str) -> impl Iterator<Item = u8> {
    let mut rest = piece.as_bytes();
    std::iter::from_fn(move || {
        let (octet, length) = first_octet(rest)?;
        rest = &rest[length..];
        Some(octet)
    })
}

/// The first octet of a piece of a normal path, decoded once, and how many bytes it takes there.
pub(super) fn first_octet(piece: &[u8]) -> Option<(u8, usize)> {
    match *piece {
        [b'%', high, low, ..] => Some((hex_octet(high, low)?, 3)),
        [first, ..] => Some((first, 1)),
        [] => None,
    }
}

fn normal_encoding(raw: &str) -> Result<Cow<'_, str>, PathError> {
    let mut normal = String::new();
    // Everything before this place is in `normal`. It stays 0 while there is nothing to change.
    let mut copied = 0;
    for (place, _) in raw.match_indices('%') {
        let &[high, low, ..] = &raw.as_bytes()[place + 1..] else {
            return Err(PathError::InvalidEncoding);
        };
        let octet = hex_octet(high, low).ok_or(PathError::InvalidEncoding)?;
        let is_upper_case = !high.is_ascii_lowercase() && !low.is_ascii_lowercase();
        if is_upper_case && !is_unreserved(octet) {
            continue;
        }
        normal.push_str(&raw[copied..place]);
        if is_unreserved(octet) {
            normal.push(char::from(octet));
        } else {
            normal.extend([
                '%',
                char::from(high.to_ascii_uppercase()),
                char::from(low.to_ascii_uppercase()),
            ]);
        }
        copied = place + 3;
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(raw));
    }
    normal.push_str(&raw[copied..]);
    Ok(Cow::Owned(normal))
}

fn check_segment(segment: &str, parameters: PathParameters) -> Result<(), PathError> {
    if let Some(forbidden) = segment
        .bytes()
        .find(|byte| !matches!(byte, 0x21..=0x7E) || b"?#".contains(byte))
    {
        let is_control = forbidden.is_ascii_control();
        return Err(if is_control {
            PathError::ControlCharacter
        } else {
            PathError::ForbiddenCharacter
        });
    }
    let is_ascii = !segment.contains('%') || check_encoded(segment)?;
    if segment.contains('\\') || segment.contains("%5C") {
        return Err(PathError::Backslash);
    }
    // Some servers decode first and cut path parameters off then.
    if parameters == PathParameters::Refuse && (segment.contains(';') || segment.contains("%3B")) {
        return Err(PathError::PathParameter);
    }
    if segment.is_empty() || segment.starts_with(';') || segment.starts_with("%3B") {
        return Err(PathError::EmptySegment);
    }
    if is_dot_segment(segment) || !is_ascii && has_dot_segment_when_folded(segment) {
        return Err(PathError::DotSegment);
    }
    Ok(())
}

fn is_dot_segment(segment: &str) -> bool {
    let begun = segment.trim_start_matches("%20").trim_start_matches(' ');
    let after = begun.trim_start_matches('.');
    let dots = begun.len() - after.len();
    matches!(dots, 1 | 2)
        && octets(after)
            .next()
            .is_none_or(|octet| NAME_ENDS.contains(&octet))
}

// A full-width slash separates, too, where full-width dots are dots.
fn has_dot_segment_when_folded(segment: &str) -> bool {
    let folded: String = skeleton(decoded(segment).chars()).collect();
    folded.split('/').any(is_dot_segment)
}

// Whether all of it is ASCII.
fn check_encoded(segment: &str) -> Result<bool, PathError> {
    if segment.contains("%2F") {
        return Err(PathError::EncodedSlash);
    }
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    for (place, encoded) in segment.match_indices("%25") {
        let after = &segment.as_bytes()[place + encoded.len()..];
        if is_hex(after.first()) && is_hex(after.get(1)) {
            return Err(PathError::DoubleEncoding);
        }
    }
    // The octets of a character whose last one is still to come.
    let mut begun = [0; 4];
    let mut length = 0;
    let mut is_ascii = true;
    for octet in octets(segment) {
        is_ascii &= octet.is_ascii();
        begun[length] = octet;
        length += 1;
        match std::str::from_utf8(&begun[..length]) {
            Ok(character) if character.chars().any(char::is_control) => {
                return Err(PathError::ControlCharacter);
            }
            Ok(_) => length = 0,
            Err(error) if error.error_len().is_some() => return Err(PathError::NotUtf8),
            Err(_) => {}
        }
    }
    if length == 0 {
        Ok(is_ascii)
    } else {
        Err(PathError::NotUtf8)
    }
}

fn hex_octet(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    Some(digit(high)? << 4 | digit(low)?)
}

// RFC 3986 §2.3.
fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~".contains(&octet)
}

#[cfg(test)]
mod tests;

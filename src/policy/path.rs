//! The normal form of a request's path. The path that is matched is forwarded; ambiguous paths are
//! refused.
//!
//! 1. Encoded unreserved characters are decoded, and hex digits become upper case (RFC 3986
//!    §6.2.2). Nothing else is repaired: a path that servers interpret differently may be an attack
//!    on the upstream.
//! 2. Refused in every encoding: dot segments, empty segments, encoded slashes, backslashes,
//!    control characters, double encoding, text that is not UTF-8, and `;` unless it is allowed.
//! 3. Dots followed by a character that may end a name are a dot segment too. A server that decodes
//!    before it splits reads `/a/..%23` as `/a/..`; one that folds Unicode reads two full-width
//!    dots as `..`.
//! 4. The rules are checked on the normal form, so normalization is idempotent.

use std::borrow::Cow;

use super::skeleton::skeleton;
use crate::values::PathParameters;

/// Characters that end a name for some servers: path parameters, an NTFS stream, and, for a server
/// that decodes first, the query, the fragment and the end of the request target.
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
    /// The target does not start with `/`: the `*` of OPTIONS, or no path.
    #[error("expected a path that starts with /, but found another target")]
    NotAbsolute,
    /// A character that a path must encode.
    #[error("expected percent-encoded UTF-8, but found a character that a path must encode")]
    ForbiddenCharacter,
    /// A `%` without two hex digits.
    #[error("expected two hex digits after %, but found other characters")]
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
    #[error("expected no encoded slash, but found one")]
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
    /// Normalizes the path of a request, without its query (RFC 3986 §6.2.2). Borrows a normal
    /// path.
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
            text: Self::parse_strictly(raw, parameters)?,
            is_plain: false,
        })
    }

    fn parse_strictly(raw: &'p str, parameters: PathParameters) -> Result<Cow<'p, str>, PathError> {
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

    /// The path that is matched and forwarded.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether nothing is encoded, no segment starts with a dot, and none has path parameters.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }
}

// The fast path for most requests: no rule concerns the characters of a plain path, and no segment
// is empty or starts with a dot.
fn is_plain(raw: &str) -> bool {
    let (mut faults, mut last) = (0, 0);
    for byte in raw.bytes() {
        let class = CLASSES[usize::from(byte)];
        faults |= class & (FORBIDDEN | last);
        // What must not follow a slash is one bit further than the slash.
        last = (class & SLASH) << 1;
    }
    raw.starts_with('/') && faults == 0
}

const FORBIDDEN: u8 = 1;
const SLASH: u8 = 2;
const NO_START: u8 = SLASH << 1;
/// The class of each character of a plain path. A look in a table costs less than the comparisons.
const CLASSES: [u8; 256] = {
    let mut classes = [FORBIDDEN; 256];
    let mut byte = 0x21;
    while byte <= 0x7E {
        classes[byte] = match byte as u8 {
            b'%' | b'\\' | b';' | b'?' | b'#' => FORBIDDEN,
            b'/' => SLASH | NO_START,
            b'.' => NO_START,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// Decodes a piece of a normal path once.
pub(super) fn decoded(piece: &str) -> Cow<'_, str> {
    if !piece.contains('%') {
        return Cow::Borrowed(piece);
    }
    // A normal path decodes to UTF-8, so the conversion is lossless.
    let octets: Vec<u8> = octets(piece).collect();
    Cow::Owned(String::from_utf8_lossy(&octets).into_owned())
}

/// The decoded octets of a piece of a normal path.
pub(super) fn octets(piece: &str) -> impl Iterator<Item = u8> {
    let mut rest = piece.as_bytes();
    std::iter::from_fn(move || {
        let (octet, length) = first_octet(rest)?;
        rest = &rest[length..];
        Some(octet)
    })
}

/// The first decoded octet of a piece of a normal path, and the length of its encoding.
pub(super) fn first_octet(piece: &[u8]) -> Option<(u8, usize)> {
    match *piece {
        [b'%', high, low, ..] => Some((hex_octet(high, low)?, 3)),
        [first, ..] => Some((first, 1)),
        [] => None,
    }
}

fn normal_encoding(raw: &str) -> Result<Cow<'_, str>, PathError> {
    let mut normal = String::new();
    // Everything before this offset is in `normal`. It stays 0 until the first change.
    let mut copied = 0;
    for (offset, _) in raw.match_indices('%') {
        let &[high, low, ..] = &raw.as_bytes()[offset + 1..] else {
            return Err(PathError::InvalidEncoding);
        };
        let octet = hex_octet(high, low).ok_or(PathError::InvalidEncoding)?;
        let is_upper_case = !high.is_ascii_lowercase() && !low.is_ascii_lowercase();
        if is_upper_case && !is_unreserved(octet) {
            continue;
        }
        normal.push_str(&raw[copied..offset]);
        if is_unreserved(octet) {
            normal.push(char::from(octet));
        } else {
            normal.extend([
                '%',
                char::from(high.to_ascii_uppercase()),
                char::from(low.to_ascii_uppercase()),
            ]);
        }
        copied = offset + 3;
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
    // `%3B` too: some servers decode first and then cut off path parameters.
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
    let name = segment.trim_start_matches("%20").trim_start_matches(' ');
    let after = name.trim_start_matches('.');
    let dots = name.len() - after.len();
    matches!(dots, 1 | 2)
        && octets(after)
            .next()
            .is_none_or(|octet| NAME_ENDS.contains(&octet))
}

// A server that folds full-width dots folds full-width slashes too.
fn has_dot_segment_when_folded(segment: &str) -> bool {
    let folded: String = skeleton(decoded(segment).chars()).collect();
    folded.split('/').any(is_dot_segment)
}

// Checks the encoded characters; returns whether all are ASCII.
fn check_encoded(segment: &str) -> Result<bool, PathError> {
    if segment.contains("%2F") {
        return Err(PathError::EncodedSlash);
    }
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    for (offset, encoded) in segment.match_indices("%25") {
        let after = &segment.as_bytes()[offset + encoded.len()..];
        if is_hex(after.first()) && is_hex(after.get(1)) {
            return Err(PathError::DoubleEncoding);
        }
    }
    // The octets of an incomplete character.
    let mut partial = [0; 4];
    let mut length = 0;
    let mut is_ascii = true;
    for octet in octets(segment) {
        is_ascii &= octet.is_ascii();
        partial[length] = octet;
        length += 1;
        match std::str::from_utf8(&partial[..length]) {
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

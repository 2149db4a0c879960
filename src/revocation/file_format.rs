//! The lines of the file: `[revocations] file`.
//!
//! ```text
//! scopegate revocations 1
//! 0f…(32 hexadecimal digits) 1764400000 1764490000 7b12c0de
//! ```
//!
//! Each line has the digest, `issued_before` (or `-`: whenever it was issued), `expires` and a
//! checksum of what precedes. A line without its line feed is one that a crash cut off: its
//! request got no 204.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use super::digest::Digest;
use super::entries::{Entry, IssuedBefore};
use crate::oauth::UnixTime;

pub(super) const HEADER: &str = "scopegate revocations 1\n";

/// What a file contains.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) entries: Vec<Entry>,
    /// The bytes of complete lines.
    pub(super) complete: usize,
}

/// The number of the line that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DamagedLine(pub(super) usize);

pub(super) fn write_line(text: &mut String, entry: &Entry) {
    let begin = text.len();
    for byte in entry.digest.as_bytes() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    let _ = match entry.issued_before {
        IssuedBefore::Always => write!(text, " -"),
        IssuedBefore::Time(at) => write!(text, " {}", at.as_seconds()),
    };
    let _ = write!(text, " {}", entry.expires.as_seconds());
    let sum = checksum(&text[begin..]);
    let _ = writeln!(text, " {sum}");
}

/// Reads a file.
pub(super) fn read(bytes: &[u8]) -> Result<Contents, DamagedLine> {
    let complete = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    // The first write was cut off.
    if complete == 0 && HEADER.as_bytes().starts_with(bytes) {
        return Ok(Contents {
            entries: Vec::new(),
            complete,
        });
    }
    let lines = bytes[..complete]
        .strip_prefix(HEADER.as_bytes())
        .ok_or(DamagedLine(1))?;
    let lines = lines.strip_suffix(b"\n").unwrap_or_default();
    let lines = lines.split(|byte| *byte == b'\n').enumerate();
    let entries = lines
        .filter(|_| complete > HEADER.len())
        .map(|(index, line)| read_line(line).ok_or(DamagedLine(index + 2)))
        .collect::<Result<_, _>>()?;
    Ok(Contents { entries, complete })
}

fn read_line(line: &[u8]) -> Option<Entry> {
    let line = str::from_utf8(line).ok()?;
    let (body, sum) = line.rsplit_once(' ')?;
    if checksum(body) != sum {
        return None;
    }
    let mut parts = body.split(' ');
    let (digest, issued_before, expires) = (parts.next()?, parts.next()?, parts.next()?);
    let entry = Entry {
        digest: read_digest(digest)?,
        issued_before: match issued_before {
            "-" => IssuedBefore::Always,
            at => IssuedBefore::Time(read_time(at)?),
        },
        expires: read_time(expires)?,
    };
    parts.next().is_none().then_some(entry)
}

fn read_digest(text: &str) -> Option<Digest> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(Digest::from_bytes(bytes))
}

fn read_time(text: &str) -> Option<UnixTime> {
    text.parse().ok().map(UnixTime::from_seconds)
}

fn checksum(body: &str) -> String {
    let hash = digest(&SHA256, body.as_bytes());
    hash.as_ref()[..4]
        .iter()
        .fold(String::new(), |mut sum, byte| {
            let _ = write!(sum, "{byte:02x}");
            sum
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(count: u8) -> (Vec<Entry>, String) {
        let mut text = HEADER.to_owned();
        let entries: Vec<_> = (0..count)
            .map(|number| Entry {
                digest: Digest::from_bytes([number; 16]),
                issued_before: if number % 2 == 0 {
                    IssuedBefore::Always
                } else {
                    IssuedBefore::Time(UnixTime::from_seconds(number.into()))
                },
                expires: UnixTime::from_seconds(1000 + i64::from(number)),
            })
            .collect();
        entries
            .iter()
            .for_each(|entry| write_line(&mut text, entry));
        (entries, text)
    }

    #[test]
    fn file_that_was_cut_off_anywhere_has_its_complete_lines() {
        let (entries, text) = file(3);
        for length in 0..=text.len() {
            let contents = read(&text.as_bytes()[..length]).expect("a prefix");
            assert!(entries.starts_with(&contents.entries), "{length}");
            let cut = &text[..length];
            assert_eq!(contents.complete, cut.rfind('\n').map_or(0, |at| at + 1));
            let lines = cut.matches('\n').count().saturating_sub(1);
            assert_eq!(contents.entries.len(), lines, "{length}");
        }
    }

    #[test]
    fn any_changed_byte_of_a_complete_line_is_damage() {
        let (entries, text) = file(3);
        for at in 0..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let found = read(&bytes);
            assert!(
                found.is_err(),
                "byte {at}: {:?}",
                found.map(|contents| contents.entries == entries)
            );
        }
        assert_eq!(read(b"something else\n"), Err(DamagedLine(1)));
        assert_eq!(read(b"something else"), Err(DamagedLine(1)));
        assert_eq!(read(format!("{HEADER}\n").as_bytes()), Err(DamagedLine(2)));
    }
}
